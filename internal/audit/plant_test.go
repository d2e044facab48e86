package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/internal/audit"
)

// where is a partition, its topic written without the stream's prefix.
type where = at

// records are the committed records of a stream.
type records contents

// find returns the first record whose value holds all of the texts.
func (r records) find(t *testing.T, texts ...string) (where, int) {
	t.Helper()
	for _, at := range slices.SortedFunc(maps.Keys(r), func(a, b where) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		for i := range r[at] {
			if !slices.ContainsFunc(texts, func(text string) bool { return !bytes.Contains(r[at][i].Value, []byte(text)) }) {
				return at, i
			}
		}
	}
	t.Fatalf("no record holds %q", texts)
	return where{}, 0
}

// last returns the last record that holds a text, in the first partition that has one.
func (r records) last(t *testing.T, text string) (where, int) {
	t.Helper()
	at, _ := r.find(t, text)
	for i, record := range slices.Backward(r[at]) {
		if bytes.Contains(record.Value, []byte(text)) {
			return at, i
		}
	}
	return at, 0
}

// remove takes records out.
func (r records) remove(at where, from, to int) { r[at] = slices.Delete(slices.Clone(r[at]), from, to) }

// replace writes another text in place of one.
func (r records) replace(t *testing.T, at where, i int, old, new string) {
	t.Helper()
	log := slices.Clone(r[at])
	if !bytes.Contains(log[i].Value, []byte(old)) {
		t.Fatalf("%s does not hold %q", log[i].Value, old)
	}
	log[i].Value = bytes.Replace(log[i].Value, []byte(old), []byte(new), 1)
	r[at] = log
}

// tell writes a verdict's findings with the position as the seq, which is the same in every run.
func tell(v *audit.Verdict) []string {
	told := []string{}
	for _, f := range v.Findings {
		_, topic, _ := strings.Cut(f.Topic, ".")
		told = append(told, strings.TrimSpace(fmt.Sprintf("%s %d %s %s", f.Kind, f.Seq, topic, f.Key)))
	}
	return told
}

// A shop's stream, copied with a fault planted into each copy. Every fault is found by the audits that can see it, and
// named; the copy without one is clean.
func TestPlantedFaultsAreFound(t *testing.T) {
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL",
		"CREATE TABLE b (id int PRIMARY KEY, n int)", "ALTER TABLE b REPLICA IDENTITY FULL", "CREATE TABLE c (id int PRIMARY KEY)")
	s.config.Partitions, s.config.Limits.Events = 2, 5
	s.start()
	s.exec("INSERT INTO a SELECT i, 'v' || i FROM generate_series(1, 8) i") // seq 1 to 8, in two parts
	s.delivered()
	s.exec("BEGIN", "INSERT INTO b VALUES (1, 1)", "UPDATE a SET v = 'w' WHERE id = 3", "COMMIT") // 9, 10
	s.delivered()
	s.exec("DELETE FROM a WHERE id = 4", "INSERT INTO c VALUES (1)", "DELETE FROM c")  // 11, 12, 13
	s.exec("TRUNCATE b", "INSERT INTO b VALUES (2, 2)", "INSERT INTO b VALUES (3, 3)") // 14, 15, 16
	s.delivered()
	original := records(s.contents())
	// A copy does not go on with the source, which writes WAL even when nobody does.
	at, last := original.last(t, "acked_upto")
	original[at][last].Value = regexp.MustCompile(`"acked_upto":"[^"]*"`).ReplaceAll(original[at][last].Value, []byte(`"acked_upto":"FFFF/0"`))

	for _, c := range []struct {
		what   string
		plant  func(t *testing.T, r records)
		stream []string
		state  []string // kinds and topics, of which the sums tell
	}{
		{"nothing", func(t *testing.T, r records) {}, nil, nil},
		{"a loss", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":16,`, `"txId"`)
			r.remove(at, i, i+1)
		}, []string{"missing 16 public.b"}, []string{"missing 0 public.b"}},
		{"a duplicate", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":9,`, `"txId"`)
			r[at] = append(slices.Clone(r[at]), r[at][i])
		}, []string{`duplicate 9 public.b {"id":1}`}, []string{"duplicate 0 public.b"}},
		{"a swap", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":1,`, `"txId"`)
			log := slices.Clone(r[at])
			log[i], log[i+1] = log[i+1], log[i]
			r[at] = log
		}, []string{`reordered 1 public.a {"id":1}`}, nil},
		{"an altered value", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":16,`, `"txId"`)
			r.replace(t, at, i, `"n":3`, `"n":4`)
		}, nil, []string{"altered 0 public.b"}},
		{"an altered transaction", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":16,`, `"txId"`)
			r.replace(t, at, i, `"txId":`, `"txId":1`)
		}, []string{`altered 16 public.b {"id":3}`}, nil},
		{"a lost tombstone", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":11,`, `"txId"`)
			r.remove(at, i+1, i+2)
		}, []string{`missing 11 public.a {"id":4}`}, nil},
		{"a checkpoint that says another seq", func(t *testing.T, r records) {
			at, i := r.find(t, `"seq":10,`, "acked_upto")
			r.replace(t, at, i, `"seq":10,`, `"seq":11,`)
		}, []string{"checkpoint 11 checkpoint position"}, nil},
		{"a torn transaction", func(t *testing.T, r records) { // its second part never came
			for seq := 6; seq <= 8; seq++ {
				at, i := r.find(t, fmt.Sprintf(`"seq":%d,`, seq), `"txId"`)
				r.remove(at, i, i+1)
			}
			at, i := r.find(t, `"first":6,`)
			r.remove(at, i, i+1)
			at, i = r.find(t, `"seq":8,`, "acked_upto")
			r.remove(at, i, i+1)
		}, []string{"missing 6 transaction", "torn 9 transaction", "missing 6", "missing 7", "missing 8"}, []string{"missing 0 public.a"}},
	} {
		t.Run(strings.ReplaceAll(c.what, " ", "-"), func(t *testing.T) {
			t.Parallel()
			prefix, planted := fmt.Sprint("p", time.Now().UnixNano()), maps.Clone(original)
			c.plant(t, planted)
			s.plant(prefix, contents(planted))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r, err := audit.Stream(ctx, audit.StreamConfig{Client: s.client, Prefix: prefix})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range r.Findings {
				if f.Seq > 0 && f.Position.Commit == 0 && c.what != "a torn transaction" { // there the record that tells it is gone too
					t.Errorf("a finding of an event has no Position: %s", f)
				}
			}
			if diff := cmp.Diff(append([]string{}, c.stream...), tell(&r.Verdict)); diff != "" {
				t.Errorf("stream audit (-want +got):\n%s", diff)
			}
			for _, f := range r.Findings {
				t.Log(f)
			}
			state, err := audit.State(ctx, audit.StateConfig{Client: s.client, Prefix: prefix, Source: s.config.Source})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]string{}, c.state...), tell(&state.Verdict)); diff != "" {
				t.Errorf("state audit (-want +got):\n%s", diff)
			}
			if n := state.Judged(); n != 2 { // c has no REPLICA IDENTITY FULL, and a row of it was deleted
				t.Errorf("%d tables judged: %+v", n, state.Tables)
			}
		})
	}
}
