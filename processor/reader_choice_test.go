package processor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func some(tables ...string) func(*ReaderConfig) {
	return func(c *ReaderConfig) { c.Tables = tables }
}

// fetched notes the topics that are fetched from now on.
func (s *stream) fetched() func() []string {
	var mu sync.Mutex
	topics := map[string]bool{}
	s.cluster.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, t := range r.(*kmsg.FetchRequest).Topics {
			topics[t.Topic] = true
		}
		return nil, nil, false
	})
	return func() (names []string) {
		mu.Lock()
		defer mu.Unlock()
		for name := range topics {
			names = append(names, name)
		}
		return slices.Sorted(slices.Values(names))
	}
}

func TestReaderOfSomeTables(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items", "public.notes", "truncate")
	fetched := s.fetched()
	r := s.open(FromBeginning(), some("public.orders", "public.late"))
	s.mix(rng, 60, 3, "public.items", "public.notes")
	s.mix(rng, 60, 3, "public.orders", "public.items", "public.notes", "truncate")
	s.create(2, "public.late")
	s.mix(rng, 60, 2, "public.orders", "public.items", "public.late")
	want := s.loggedOf("public.orders", "public.late", "truncate")
	got, err := s.read(r, len(want))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"p.public.late", "p.public.orders", "p.transaction", "p.truncate"}, fetched()); diff != "" {
		t.Errorf("fetched (-want +got):\n%s", diff)
	}
}

func TestReaderOfSomeTablesGoesOnAtASavedPlace(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items", "public.notes")
	tables := some("public.items", "public.orders")
	s.mix(rng, 100, 3, "public.orders", "public.items", "public.notes", "public.notes", "public.notes")
	s.mix(rng, 30, 3, "public.notes")

	want := s.loggedOf("public.orders", "public.items")
	var got []string
	start := FromBeginning()
	var saved Saved
	for len(got) < len(want) {
		r := s.open(start, tables)
		for range 1 + rng.IntN(30) { // transactions
			for ended := false; !ended && len(got) < len(want); {
				item, err := r.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, itemText(item))
				ended = item.Kind == End
			}
		}
		text, err := json.Marshal(r.Saved())
		if err != nil {
			t.Fatal(err)
		}
		saved = Saved{}
		if err := json.Unmarshal(text, &saved); err != nil {
			t.Fatal(err)
		}
		r.Close()
		start = From(saved)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}

	for _, others := range [][]string{nil, {"public.orders"}, {"public.orders", "public.items", "public.notes"}} {
		_, err := OpenReader(t.Context(), ReaderConfig{Client: s.client, Prefix: "p", Start: start, Tables: others})
		if !errors.Is(err, ErrTables) || !Broken(err) {
			t.Errorf("%v: %v", others, err)
		}
	}
	if _, err := OpenReader(t.Context(), ReaderConfig{Client: s.client, Prefix: "p", Tables: []string{"orders"}}); err == nil || !strings.Contains(err.Error(), `"orders"`) {
		t.Error(err)
	}
}

// A place lies behind the transactions of other tables, so the retention of these cannot catch up with a reader that finds
// nothing to deliver.
func TestSavedPlacePassesOtherTables(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(1, "public.orders", "public.notes")
	order, note := part{events: []written{{topic: "public.orders"}}}, part{events: []written{{topic: "public.notes"}}}
	s.write(order)
	r := s.open(FromBeginning(), some("public.orders"))
	if _, err := s.read(r, 3); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.write(note)
	}
	for r.Saved().Seq < s.seq { // Next finds nothing to return, and goes on in the order all the same
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := r.Next(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	saved := r.Saved()
	s.remove("p.transaction", saved.Transaction)
	s.write(note, order, note)
	got, err := s.read(s.open(From(saved), some("public.orders")), 3)
	if want := s.loggedOf("public.orders")[3:]; err != nil || !slices.Equal(got, want) {
		t.Fatalf("%q, not %q: %v", got, want, err)
	}
}

func TestNowOfSomeTables(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.notes")
	s.mix(rng, 30, 3, "public.orders", "public.notes")
	before := len(s.loggedOf("public.orders"))
	r := s.open(Now(), some("public.orders"))
	s.mix(rng, 60, 3, "public.orders", "public.notes")
	want := s.loggedOf("public.orders")[before:]
	got, err := s.read(r, len(want))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("%v (-want +got):\n%s", err, diff)
	}
}
