package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/kafka"
)

// at is a partition of a stream without its prefix.
type at struct {
	topic     string
	partition int32
}

// contents are the committed records of a stream.
type contents map[at][]kafka.Record

func (s *stream) contents() contents {
	s.t.Helper()
	if err := s.client.RefreshMetadata(); err != nil {
		s.t.Fatal(err)
	}
	topics, err := s.client.Topics()
	if err != nil {
		s.t.Fatal(err)
	}
	c := contents{}
	for _, topic := range topics {
		rest, ours := strings.CutPrefix(topic, s.config.Prefix+".")
		partitions, err := s.client.Partitions(topic)
		if !ours || err != nil {
			continue
		}
		for _, n := range partitions {
			scan, err := kafka.OpenScan(s.client, topic, n, sarama.OffsetOldest)
			if err != nil {
				s.t.Fatal(err)
			}
			c[at{rest, n}] = nil
			for {
				r, more, err := scan.Next(s.t.Context())
				if err != nil {
					s.t.Fatal(err)
				}
				if !more {
					break
				}
				c[at{rest, n}] = append(c[at{rest, n}], r)
			}
		}
	}
	return c
}

// plant writes contents under another prefix, whose topology names that prefix's topics.
func (s *stream) plant(prefix string, c contents) {
	s.t.Helper()
	partitions := map[string]int32{}
	for place := range c {
		partitions[place.topic] = max(partitions[place.topic], place.partition+1)
	}
	for topic, n := range partitions {
		if err := kafka.EnsureTopics(s.t.Context(), s.client, kafka.Topic{Name: prefix + "." + topic, Partitions: n}); err != nil {
			s.t.Fatal(err)
		}
	}
	p, err := kafka.OpenProducer(s.t.Context(), s.config.Kafka, prefix)
	if err != nil {
		s.t.Fatal(err)
	}
	defer p.Close()
	if err := p.Begin(); err != nil {
		s.t.Fatal(err)
	}
	for place, records := range c {
		for _, r := range records {
			m := &sarama.ProducerMessage{Topic: prefix + "." + place.topic, Partition: place.partition}
			if r.Key != nil {
				m.Key = sarama.ByteEncoder(r.Key)
			}
			if r.Value != nil {
				value := r.Value
				if place.topic == "checkpoint" || place.topic == "transaction" {
					value = bytes.ReplaceAll(value, []byte(`"`+s.config.Prefix+`.`), []byte(`"`+prefix+`.`))
				}
				m.Value = sarama.ByteEncoder(value)
			}
			for _, h := range r.Headers {
				m.Headers = append(m.Headers, *h)
			}
			p.Send(m)
		}
	}
	if err := p.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// commit is the commit LSN of a record's position.
func commit(r kafka.Record) string {
	lsn, _, _ := strings.Cut(position(r), ":")
	return lsn
}

// find gives the place of the record whose value holds a text.
func (c contents) find(t *testing.T, topic, text string) (at, int) {
	t.Helper()
	for place, records := range c {
		for i, r := range records {
			if place.topic == topic && bytes.Contains(r.Value, []byte(text)) {
				return place, i
			}
		}
	}
	t.Fatalf("no record of %s holds %s", topic, text)
	return at{}, 0
}

// edit replaces a text in a record's value.
func (c contents) edit(t *testing.T, topic, old, new string) {
	t.Helper()
	place, i := c.find(t, topic, old)
	c[place] = slices.Clone(c[place])
	c[place][i].Value = bytes.Replace(c[place][i].Value, []byte(old), []byte(new), 1)
}

// header replaces a record's header.
func (c contents) header(place at, i int, name, value string) {
	c[place] = slices.Clone(c[place])
	r := &c[place][i]
	r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h *sarama.RecordHeader) bool { return string(h.Key) == name })
	r.Headers = append(r.Headers, &sarama.RecordHeader{Key: []byte(name), Value: []byte(value)})
}

func position(r kafka.Record) string {
	for _, h := range r.Headers {
		if string(h.Key) == envelope.HeaderPosition {
			return string(h.Value)
		}
	}
	return ""
}

// fault is something planted into a copy of a stream, and the findings it must lead to: a kind, a position and a part of
// the text each.
type fault struct {
	name  string
	plant func(t *testing.T, c contents)
	want  []string
}

// In the stream of the test, table a has three inserts, an update, a delete with its tombstone and the insert of a key
// change, and a delete with its tombstone; table b has three inserts.
var a, b = at{"public.a", 0}, at{"public.b", 0}

// Each fault that can befall a stream is planted into a copy of it, and found by its name, at its place.
func TestSourceFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL", "CREATE TABLE b (id int PRIMARY KEY, n numeric)")
	s.config.Partitions = 1
	s.start()
	s.exec("INSERT INTO a VALUES (1, 'one'), (2, 'two'), (3, 'three')", "UPDATE a SET v = 'deux' WHERE id = 2", "UPDATE a SET id = 4 WHERE id = 3", "DELETE FROM a WHERE id = 1",
		"INSERT INTO b VALUES (1, 1.50)", "TRUNCATE b", "INSERT INTO b VALUES (7, 7)", "INSERT INTO b VALUES (8, 8)")
	s.proven(11)
	whole := s.contents()
	for i, f := range slices.Concat(misplaced(whole), altered(whole), misannounced(whole)) {
		t.Run(f.name, func(t *testing.T) {
			copied := contents{}
			for place, records := range whole {
				copied[place] = slices.Clone(records)
			}
			f.plant(t, copied)
			prefix := fmt.Sprintf("%s-%d", s.config.Prefix, i)
			s.plant(prefix, copied)
			expect(t, s.audit(prefix), f.want)
		})
	}
}

// What retention has removed from Kafka is counted and is no fault; what is missing behind it is.
func TestSourceKnowsWhatRetentionRemoved(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY)")
	s.config.Partitions = 1
	s.start()
	for i := range 6 {
		s.execf("INSERT INTO a VALUES (%d)", i)
	}
	s.proven(6)
	whole := s.contents()
	lost := position(whole[a][4])
	whole[a] = slices.Delete(whole[a], 4, 5)
	prefix := s.config.Prefix + "-trimmed"
	s.plant(prefix, whole)
	admin, err := sarama.NewClusterAdminFromClient(s.client)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range []string{"public.a", "transaction"} {
		if err := admin.DeleteRecords(prefix+"."+topic, map[int32]int64{0: 2}); err != nil && topic == "public.a" {
			t.Fatal(err)
		}
	}
	r := s.audit(prefix)
	if r.Expired != 2 || r.Events != 6 || len(r.Findings) != 1 || r.Findings[0].Kind != audit.Missing || r.Findings[0].Position.String() != lost {
		t.Errorf("audited %s, %d expired: %v; want 2 expired and %s missing", r.Range(), r.Expired, r.Findings, lost)
	}
}

// misplaced are faults of events that are whole in themselves.
func misplaced(whole contents) []fault {
	at := func(place at, i int) string { return position(whole[place][i]) }
	invented := commit(whole[b][0]) + ":9"
	wrong := commit(whole[a][2]) + ":4"
	return []fault{
		{"nothing", func(*testing.T, contents) {}, nil},
		{"a loss", func(_ *testing.T, c contents) { c[a] = slices.Delete(c[a], 1, 2) }, []string{"missing " + at(a, 1) + ` {"id":"2"}: the source's WAL has "c" of public.a here, and the topic does not`}},
		{"a loss at the end", func(_ *testing.T, c contents) { c[b] = c[b][:2] }, []string{"missing " + at(b, 2) + " the topic does not"}},
		{"a loss of all of a table", func(_ *testing.T, c contents) { c[b] = nil },
			[]string{"missing " + at(b, 0), "missing " + at(b, 1), "missing " + at(b, 2)}},
		{"a duplicate", func(_ *testing.T, c contents) { c[a] = slices.Insert(c[a], 1, c[a][0]) }, []string{"duplicate " + at(a, 0) + " " + string(whole[a][0].Key) + ": "}},
		{"a duplicate elsewhere", func(_ *testing.T, c contents) { c[b] = slices.Insert(c[b], 0, c[a][0]) },
			[]string{"duplicate " + at(a, 0) + " stands before it"}},
		{"a late duplicate", func(_ *testing.T, c contents) { c[a] = append(c[a], c[a][0]) },
			[]string{"reordered " + at(a, 0) + " stands behind", "duplicate " + at(a, 0) + " stands before it"}},
		{"a swap", func(_ *testing.T, c contents) { c[a][0], c[a][1] = c[a][1], c[a][0] }, []string{"reordered " + at(a, 0) + " " + string(whole[a][0].Key) + ": it stands behind " + at(a, 1)}},
		{"a wrong topic", func(_ *testing.T, c contents) { c[b], c[a] = append(c[b], c[a][3]), slices.Delete(c[a], 3, 4) },
			[]string{"reordered " + at(a, 3), "altered " + at(a, 3) + " belongs to topic"}},
		{"an invented event", func(_ *testing.T, c contents) {
			c[b] = slices.Insert(c[b], 1, c[b][0])
			c.header(b, 1, envelope.HeaderPosition, invented)
		}, []string{"duplicate " + invented + " no such change"}},
		{"a wrong index", func(_ *testing.T, c contents) { c.header(a, 2, envelope.HeaderPosition, wrong) },
			[]string{"missing " + at(a, 2), "duplicate " + wrong + " no such change"}},
		{"no position", func(_ *testing.T, c contents) { c.header(a, 2, envelope.HeaderPosition, "x") },
			[]string{"altered 0/0:0 position", "missing " + at(a, 2)}},
	}
}

// altered are faults inside of events.
func altered(whole contents) []fault {
	edit := func(place at, i int, name, old, new, text string) fault {
		return fault{name, func(t *testing.T, c contents) { c.edit(t, place.topic, old, new) }, []string{"altered " + position(whole[place][i]) + " " + text}}
	}
	return []fault{
		edit(a, 0, "an altered value", `"after":{"id":1,"v":"one"}`, `"after":{"id":1,"v":"eins"}`, `after differs, the WAL first: v ("one", "eins")`),
		edit(b, 0, "a lost zero", `"1.50"`, `"1.5"`, "after differs"),
		edit(a, 0, "a null for a value", `"v":"one"`, `"v":null`, "after differs"),
		edit(a, 0, "a lost column", `,"v":"one"`, ``, "other columns"),
		edit(a, 0, "a lost row", `"after":{"id":1,"v":"one"}`, `"after":null`, "after is null"),
		edit(a, 0, "no JSON", `"after":`, `"after"`, "cannot be read"),
		edit(a, 3, "an altered before", `"before":{"id":2,"v":"two"}`, `"before":{"id":2,"v":"zwei"}`, "before differs"),
		edit(a, 3, "a lost before", `"before":{"id":2,"v":"two"}`, `"before":null`, "before is null"),
		edit(a, 0, "an invented before", `"before":null`, `"before":{"id":1,"v":"x"}`, "before is not null"),
		edit(a, 3, "an altered op", `"op":"u"`, `"op":"c"`, `op is "c" and the WAL has "u"`),
		edit(b, 0, "an altered time", `"ts_us":`, `"ts_us":1`, "its commit time is"),
		edit(b, 0, "an altered xid", `"txId":`, `"txId":1`, "txId is"),
		edit(b, 0, "an altered commit", `"commit_lsn":`, `"commit_lsn":1`, "commit_lsn is"),
		edit(b, 0, "an altered seq", `"seq":`, `"seq":1`, "its header says"),
		edit(b, 0, "an altered table", `"table":"b"`, `"table":"c"`, "its table is public.c"),
		{"an altered key", func(_ *testing.T, c contents) { c[a][1].Key = []byte(`{"id":5}`) }, []string{"altered " + position(whole[a][1]) + ` its key {"id":5} is not the row's`}},
		{"a lost key", func(_ *testing.T, c contents) { c[a][1].Key = nil }, []string{"altered " + position(whole[a][1]) + " it has no key"}},
		{"an altered new key", func(_ *testing.T, c contents) { c.header(a, 4, envelope.HeaderNewKey, `{"id":5}`) },
			[]string{"altered " + position(whole[a][4]) + " its header " + envelope.HeaderNewKey}},
		{"an old key too many", func(_ *testing.T, c contents) { c.header(a, 0, envelope.HeaderOldKey, `{"id":5}`) },
			[]string{"altered " + position(whole[a][0]) + " its header " + envelope.HeaderOldKey + ` is {"id":5} and should not be`}},
	}
}

// misannounced are faults of the transaction records.
func misannounced(whole contents) []fault {
	type entries = []envelope.TransactionEntry
	last := position(whole[b][2])
	edit := func(name string, change func(e *envelope.TransactionEntry), text string) fault {
		return fault{name, func(t *testing.T, c contents) {
			c.entries(t, last, func(e entries, i int) []entries { change(&e[i]); return []entries{e} })
		}, []string{"altered " + commit(whole[b][2]) + ":0 " + text}}
	}
	return []fault{
		edit("a wrong end", func(e *envelope.TransactionEntry) { e.End++ }, "it says end_lsn"),
		edit("a wrong xid", func(e *envelope.TransactionEntry) { e.XID++ }, "it says transaction"),
		edit("a wrong time", func(e *envelope.TransactionEntry) { e.TimeUS++ }, "it says commit time"),
		edit("a wrong count", func(e *envelope.TransactionEntry) { e.Last++; e.Counts[0].Events++ }, "it counts 2 events and the WAL 1"),
		{"a lost transaction", func(t *testing.T, c contents) {
			c.entries(t, position(c[b][1]), func(e entries, i int) []entries { return []entries{e[:i], e[i+1:]} })
			c[b] = slices.Delete(c[b], 1, 2)
		}, []string{"missing " + position(whole[b][1]), "missing " + commit(whole[b][1]) + ":0 no record tells of transaction"}},
		{"an unfinished transaction", func(t *testing.T, c contents) {
			c.entries(t, last, func(e entries, i int) []entries { e[i].Ends, e[i].End = false, 0; return []entries{e} })
		}, []string{"missing " + commit(whole[b][2]) + ":0 do not tell of the end", "altered " + commit(whole[b][2]) + ":0 it says end_lsn"}},
	}
}

// entries replaces the transaction record that tells of a position's transaction, its entry i, by some records.
func (c contents) entries(t *testing.T, position string, change func(e []envelope.TransactionEntry, i int) [][]envelope.TransactionEntry) {
	t.Helper()
	commit, _, _ := strings.Cut(position, ":")
	place, at := c.find(t, "transaction", `"commit_lsn":"`+commit+`"`)
	old := c[place][at]
	record, err := envelope.ParseTransaction(old.Value)
	if err != nil {
		t.Fatal(err)
	}
	c[place] = slices.Delete(c[place], at, at+1)
	i := slices.IndexFunc(record.Entries, func(e envelope.TransactionEntry) bool { return e.Commit.String() == commit })
	for n, entries := range change(record.Entries, i) {
		record.Entries = entries
		if old.Value, err = json.Marshal(record); err != nil {
			t.Fatal(err)
		}
		c[place] = slices.Insert(c[place], at+n, old)
	}
}

// expect compares findings: each wanted one is a kind, a position and a part of the text, in any order.
func expect(t *testing.T, r *audit.SourceReport, want []string) {
	t.Helper()
	left := slices.Clone(r.Findings)
	for _, w := range want {
		f := strings.SplitN(w, " ", 3)
		i := slices.IndexFunc(left, func(g audit.Finding) bool {
			return string(g.Kind) == f[0] && (f[1] == "" || g.Position.String() == f[1]) && (len(f) < 3 || strings.Contains(g.String(), f[2]))
		})
		if i < 0 {
			t.Errorf("no finding is %q", w)
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	for _, f := range left {
		t.Errorf("not planted: %s", f)
	}
	if r.Events != 11 {
		t.Errorf("%d events were compared of 11", r.Events)
	}
}
