package processor

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// history is a stream as the producer wrote it, and what a reader of some or all topics must make of it.
type history struct {
	choice       choice
	transactions []envelope.TransactionRecord
	partitions   map[spot][]record // by topic and partition, tombstones included
	sizes        map[string]int    // partitions per topic
	told         []told
}

// told is an item as text, with the topics that it stands for: an event's own, or those of the whole transaction.
type told struct {
	text   string
	topics map[string]bool
}

var names = []string{"orders", "items", "returns", "truncate"}

type spot struct {
	topic  string
	number int32
}

// drawHistory draws transactions of random size over random partitions, deletes with tombstones, split transactions and
// records that hold several.
func drawHistory(t *rapid.T) *history {
	h := &history{partitions: map[spot][]record{}, sizes: map[string]int{}}
	topics := names[:rapid.IntRange(1, len(names)).Draw(t, "topics")]
	for _, name := range topics {
		h.sizes[name] = rapid.IntRange(1, 4).Draw(t, "partitions")
	}
	if rapid.Bool().Draw(t, "some") {
		h.choice = choice{}
		for _, name := range topics {
			h.choice[name] = rapid.Bool().Draw(t, "chosen")
		}
	}
	seq, record := uint64(0), envelope.TransactionRecord{Version: 1, Epoch: 1}
	for xid := range uint32(rapid.IntRange(1, 12).Draw(t, "transactions")) {
		commit := cdc.CommitLSN(100 * (xid + 1))
		all := map[string]bool{}
		h.told = append(h.told, told{fmt.Sprint("begin ", xid), all})
		parts := rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(t, "parts")
		for part := range parts {
			e := envelope.TransactionEntry{XID: xid, Commit: commit, First: seq + 1, Starts: part == 0, Ends: part == parts-1}
			counts := map[string]uint64{}
			for range rapid.IntRange(1, 6).Draw(t, "events") {
				seq++
				name := rapid.SampledFrom(topics).Draw(t, "topic")
				counts[name]++
				all[name] = true
				h.event(t, spot{name, int32(rapid.IntRange(0, h.sizes[name]-1).Draw(t, "partition"))}, seq, commit)
			}
			e.Last = seq
			for _, name := range topics {
				if counts[name] > 0 {
					record.Topics = append(record.Topics, name)
					e.Counts = append(e.Counts, envelope.TopicCount{Topic: len(record.Topics) - 1, Events: counts[name]})
				}
			}
			record.Entries = append(record.Entries, e)
			if !e.Ends || rapid.Bool().Draw(t, "flush") {
				h.transactions = append(h.transactions, record)
				record = envelope.TransactionRecord{Version: 1, Epoch: 1}
			}
		}
		h.told = append(h.told, told{fmt.Sprint("end ", xid), all})
	}
	if len(record.Entries) > 0 {
		h.transactions = append(h.transactions, record)
	}
	return h
}

func (h *history) event(t *rapid.T, at spot, seq uint64, commit cdc.CommitLSN) {
	log := h.partitions[at]
	offset := int64(0)
	if len(log) > 0 {
		offset = log[len(log)-1].offset + 1
	}
	offset += int64(rapid.IntRange(0, 2).Draw(t, "control records"))
	r := record{1, seq, cdc.Position{Commit: commit, Index: seq}, offset, []byte(fmt.Sprint(seq % 3)), []byte(fmt.Sprint(at.topic, seq))}
	log = append(log, r)
	if rapid.IntRange(0, 3).Draw(t, "delete") == 0 {
		r.offset, r.value = r.offset+1, nil
		log = append(log, r)
	}
	h.partitions[at] = log
	h.told = append(h.told, told{fmt.Sprint(seq, " ", at.topic, seq), map[string]bool{at.topic: true}})
}

// want is what a reader of the choice is to deliver.
func (h *history) want() (want []string) {
	for _, item := range h.told {
		for name := range item.topics {
			if h.choice.has(name) {
				want = append(want, item.text)
				break
			}
		}
	}
	return want
}

// play lets the history arrive in a random order that respects each partition's, with restarts at random Ends, and
// returns what was delivered.
func (h *history) play(t *rapid.T, restarts bool) (got []string, s *sequencer, err error) {
	s = newSequencer("p", h.choice, FromBeginning(), nil)
	announced, read := 0, map[spot]int{}
	for {
		ways := []func(){}
		if announced < len(h.transactions) && s.chainErr == nil {
			ways = append(ways, func() {
				r := h.transactions[announced]
				unknown, _ := s.announce(&r, int64(announced), 1) // pop tells of the error
				announced++
				for _, name := range unknown {
					begins := make([]begin, h.sizes[name])
					for i := range begins {
						begins[i].offset = s.offsets[name][int32(i)]
					}
					s.add(name, begins)
				}
			})
		}
		for _, at := range h.spots() {
			log := h.partitions[at]
			if s.topics[at.topic] != nil && read[at] < len(log) {
				ways = append(ways, func() {
					if s.push(s.topics[at.topic].partitions[at.number], log[read[at]]) != nil {
						read[at] = len(log)
					}
					read[at]++
				})
			}
		}
		if len(ways) > 0 {
			rapid.SampledFrom(ways).Draw(t, "arrival")()
		}
		for {
			var item Item
			found, err := s.pop(&item)
			if err != nil {
				return got, s, err
			}
			if !found {
				if restarts && !s.open && s.place.seq > 0 && rapid.IntRange(0, 9).Draw(t, "restart while waiting") == 0 {
					s, announced, read = h.restart(t, s.saved()) // some transactions may have been passed over
				}
				break
			}
			got = append(got, itemText(item))
			if restarts && item.Kind == End && rapid.IntRange(0, 3).Draw(t, "restart") == 0 {
				s, announced, read = h.restart(t, s.saved())
			}
		}
		if len(ways) == 0 {
			return got, s, nil
		}
	}
}

// spots are the partitions that are read.
func (h *history) spots() []spot {
	var spots []spot
	for _, name := range names {
		for i := range h.sizes[name] {
			if h.choice.has(name) {
				spots = append(spots, spot{name, int32(i)})
			}
		}
	}
	return spots
}

// restart is a new reader that goes on at a spot saved as JSON.
func (h *history) restart(t *rapid.T, saved Saved) (*sequencer, int, map[spot]int) {
	text, err := json.Marshal(saved)
	if err != nil {
		t.Fatal(err)
	}
	var again Saved
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(saved, again); diff != "" {
		t.Fatal(diff)
	}
	read := map[spot]int{}
	for at, log := range h.partitions {
		from := again.Offsets[at.topic][at.number]
		read[at] = slices.IndexFunc(log, func(r record) bool { return r.offset >= from })
		if read[at] < 0 {
			read[at] = len(log)
		}
	}
	return newSequencer("p", h.choice, From(again), again.Offsets), int(again.Transaction), read
}

func itemText(item Item) string {
	if item.Kind == Event {
		return fmt.Sprintf("%d %s", item.Seq, item.Value)
	}
	if item.Kind == Epoch {
		return fmt.Sprint(item.Kind, " ", item.Tx.Epoch)
	}
	return fmt.Sprint(item.Kind, " ", item.Tx.XID)
}

func TestAnyArrivalGivesTheOneOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		got, _, err := h.play(t, true)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(h.want(), got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// Whatever is broken, what is delivered is a beginning of the truth, and the damage does not pass unseen: there is an
// error, or an event is still waited for.
func TestAnyDamageIsFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		damage := h.damage(t)
		got, s, err := h.play(t, false)
		if want := h.want(); len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("%s: delivered %q of %q", damage, got, want)
		}
		if err == nil && s.current == nil && !s.open {
			t.Fatalf("%s: passed unseen: delivered %q", damage, got)
		}
	})
}

// damage breaks one thing of what is read. A reader of some topics has no way to see a seq that was changed into one of a
// topic it does not read.
func (h *history) damage(t *rapid.T) string {
	kinds := []string{"drop", "duplicate", "duplicate elsewhere", "swap", "swap records", "duplicate record"}
	if h.choice == nil {
		kinds = append(kinds, "other seq")
	}
	var filled []spot
	for _, at := range h.spots() {
		if len(h.partitions[at]) > 0 {
			filled = append(filled, at)
		}
	}
	if len(filled) == 0 {
		t.Skip("nothing is read")
	}
	at := rapid.SampledFrom(filled).Draw(t, "damaged partition")
	log := slices.Clone(h.partitions[at])
	i := rapid.IntRange(0, len(log)-1).Draw(t, "damaged record")
	kind := rapid.SampledFrom(kinds).Draw(t, "damage")
	text := fmt.Sprintf("%s %v seq %d", kind, at, log[i].seq)
	tx := rapid.IntRange(0, len(h.transactions)-1).Draw(t, "damaged transaction record")
	switch kind {
	case "drop":
		for log[i].value == nil {
			i-- // a tombstone alone is no loss
		}
		log = slices.Delete(log, i, i+1)
	case "duplicate":
		log = slices.Insert(log, rapid.IntRange(i+1, len(log)).Draw(t, "to"), log[i])
	case "duplicate elsewhere":
		other := spot{at.topic, int32(rapid.IntRange(0, h.sizes[at.topic]-1).Draw(t, "other"))}
		if other == at || log[i].value == nil {
			log = append(log, log[i])
			break
		}
		to := rapid.IntRange(0, len(h.partitions[other])).Draw(t, "to")
		h.partitions[other] = slices.Insert(slices.Clone(h.partitions[other]), to, log[i])
	case "swap":
		j := rapid.IntRange(0, len(log)-1).Draw(t, "with")
		if i == j {
			log = append(log, log[i])
		}
		log[i], log[j] = log[j], log[i]
	case "other seq":
		for log[i].value == nil {
			i--
		}
		log[i].seq += uint64(rapid.IntRange(1, 5).Draw(t, "more"))
	case "swap records":
		if tx == 0 {
			h.transactions = append(h.transactions, h.transactions[0])
			break
		}
		h.transactions = slices.Clone(h.transactions)
		h.transactions[tx-1], h.transactions[tx] = h.transactions[tx], h.transactions[tx-1]
	case "duplicate record":
		h.transactions = slices.Insert(slices.Clone(h.transactions), tx+1, h.transactions[tx])
	}
	h.partitions[at] = log
	return text
}
