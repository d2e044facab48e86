package processor

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

// Whatever is written goes over several epochs, and from each place that may be saved the rest is read, once.
func TestReadingGoesOnFromEveryPlaceAcrossEpochs(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(2, "public.orders", "public.items", "truncate")
	for range 3 {
		s.mix(rng, 4, 2, "public.orders", "public.items")
		s.lose(false)
	}
	s.write(part{events: []written{{topic: "public.orders"}, {topic: "public.items"}}, split: true})
	s.lose(true)
	s.mix(rng, 4, 2, "public.orders")

	r := s.open(FromBeginning())
	places := map[int]Saved{}
	for i := range s.log {
		item, err := r.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := itemText(item); got != s.log[i] {
			t.Fatalf("item %d is %q and not %q", i, got, s.log[i])
		}
		if item.Kind == End || item.Kind == Epoch {
			places[i+1] = r.Saved()
		}
	}
	for i, saved := range places {
		if rng.IntN(len(places)) > 15 { // some of them
			continue
		}
		rest := s.log[i:]
		r := s.open(From(saved))
		got, err := s.read(r, len(rest))
		if diff := cmp.Diff(rest, got, cmp.Transformer("none", func(l []string) []string { return slices.Clip(l) })); len(rest)+len(got) > 0 && diff != "" || err != nil {
			t.Fatalf("from %+v: %v (-want +got):\n%s", saved, err, diff)
		}
		r.Close()
	}
}

// The place at the beginning of an epoch has no seq, and is one all the same.
func TestThePlaceAtTheBeginningOfAnEpoch(t *testing.T) {
	t.Parallel()
	s := newStream(t)
	s.create(1, "public.orders", "truncate")
	s.write(part{events: []written{{topic: "public.orders"}}})
	s.lose(false)
	r := s.open(FromBeginning())
	if _, err := s.read(r, 4); err != nil {
		t.Fatal(err)
	}
	saved := r.Saved()
	if saved.Epoch != 2 || saved.Seq != 0 || saved.First != 1 || saved.Commit != cdc.CommitLSN(0) {
		t.Errorf("it is %+v", saved)
	}
	s.write(part{events: []written{{topic: "public.orders"}}})
	if got, err := s.read(s.open(From(saved)), 3); err != nil || !slices.Equal(got, s.log[4:]) {
		t.Errorf("from there %q is read (%v)", got, err)
	}
}

// A reader from now on that meets a new epoch delivers it; one from the oldest that Kafka keeps begins in the middle.
func TestNowAndOldestAcrossEpochs(t *testing.T) {
	t.Parallel()
	s, rng := newStream(t), newRand(t)
	s.create(2, "public.orders", "truncate")
	s.mix(rng, 5, 2, "public.orders")
	before := len(s.log)
	now := s.open(Now())
	s.lose(false)
	s.mix(rng, 5, 2, "public.orders")
	if got, err := s.read(now, len(s.log)-before); err != nil || !slices.Equal(got, s.log[before:]) {
		t.Fatalf("from now on %q is read (%v)", got, err)
	}
	if got, err := s.read(s.open(Oldest()), len(s.log)); err != nil || !slices.Equal(got, s.log) {
		t.Fatalf("from the oldest on %q is read (%v)", got, err)
	}
}
