package processor

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// A story is told in lines:
//
//	choose orders items             these topics are read, and no others (the first line, if it is there)
//	topic orders 2                  a topic with two partitions becomes known
//	tx 7@100 1-3 orders:2 items:1   a transaction record: xid 7, commit LSN 0/100, seqs 1 to 3
//	tx 7@100 1-3 orders:3 split     the transaction goes on in the next record
//	tx 7@100 4-5 orders:2 rest      and this is the rest of it (rest split: neither its start nor its end)
//	tx … + …                        one record with two entries
//	orders/0 1@100 4@101            events with seq 1 and 4 arrive in partition 0, with the commit LSNs of their positions
//	orders/0 4@101!                 the tombstone of seq 4 arrives
//	> begin 7, 1, 2                 what pop delivers until it has to wait, or its error
type story struct{ name, script string }

func TestOrderTellsStories(t *testing.T) {
	for _, story := range []story{
		{"nothing is delivered before its turn", `
			topic orders 2
			tx 7@100 1-3 orders:3
			> begin 7
			orders/0 2@100
			>
			orders/1 1@100
			> 1, 2
			orders/1 3@100
			> 3, end 7`},
		{"commit markers come late: the next transaction is visible first", `
			topic orders 2
			topic items 1
			orders/1 3@200
			tx 7@100 1-2 orders:1 items:1
			tx 8@200 3-3 orders:1
			items/0 2@100
			> begin 7
			orders/0 1@100
			> 1, 2, end 7, begin 8, 3, end 8`},
		{"a topic that is not known yet holds delivery up", `
			tx 7@100 1-1 orders:1
			>
			topic orders 1
			orders/0 1@100
			> begin 7, 1, end 7`},
		{"a tombstone is checked and not delivered", `
			topic orders 1
			tx 7@100 1-2 orders:2 + 8@200 3-3 orders:1
			orders/0 1@100 2@100 2@100! 3@200
			> begin 7, 1, 2, end 7, begin 8, 3, end 8`},
		{"a split transaction is one transaction", `
			topic orders 1
			tx 7@100 1-2 orders:2 split
			tx 7@100 3-3 orders:1 rest split
			orders/0 1@100 2@100
			> begin 7, 1, 2
			tx 7@100 4-4 orders:1 rest + 8@200 5-5 orders:1
			orders/0 3@100 4@100 5@200
			> 3, 4, end 7, begin 8, 5, end 8`},
		{"snapshot chunks repeat the commit lsn of the transaction before", `
			topic orders 1
			tx 7@100 1-1 orders:1 + 0@100 2-2 orders:1 + 0@100 3-3 orders:1
			orders/0 1@100 2@100 3@100
			> begin 7, 1, end 7, begin 0, 2, end 0, begin 0, 3, end 0`},

		{"a gap is found once every partition is past it", `
			topic orders 2
			tx 7@100 1-2 orders:2 + 8@200 3-4 orders:2
			orders/0 1@100 3@200
			> begin 7, 1
			orders/1 4@200
			> gap in topic orders, partition 0, offset 1: seq 2 was due and seq 3 is there`},
		{"a quiet partition of another topic does not hide a gap", `
			topic orders 1
			topic items 1
			tx 7@100 1-2 orders:2 + 8@200 3-3 items:1
			orders/0 2@100
			> begin 7, gap in topic orders, partition 0, offset 0: seq 1 was due and seq 2 is there`},
		{"a repeat in a partition", `
			topic orders 1
			tx 7@100 1-2 orders:2
			orders/0 1@100 1@100
			> begin 7, 1, repeat in topic orders, partition 0, offset 1: a seq above 1 was due and seq 1 is there`},
		{"a repeat in two partitions", `
			topic orders 2
			tx 7@100 1-2 orders:2
			orders/0 1@100
			orders/1 1@100
			> begin 7, 1, repeat in topic orders, partition 1, offset 0: a seq from 2 was due and seq 1 is there`},
		{"a repeat of what was delivered long ago", `
			topic orders 2
			tx 7@100 1-2 orders:2
			orders/0 1@100 2@100
			> begin 7, 1, 2, end 7
			orders/1 2@100
			> repeat in topic orders, partition 1, offset 0: a seq from 3 was due and seq 2 is there`},
		{"a step back", `
			topic orders 1
			tx 7@100 1-3 orders:3
			orders/0 1@100 3@100 2@100
			> begin 7, 1, disorder in topic orders, partition 0, offset 2: a seq above 3 was due and seq 2 is there`},
		{"a tombstone alone", `
			topic orders 1
			tx 7@100 1-2 orders:2
			orders/0 1@100 2@100!
			> begin 7, 1, disorder in topic orders, partition 0, offset 1: a seq above 1 was due and a tombstone without its delete, seq 2 is there`},
		{"an event of another transaction under this seq", `
			topic orders 1
			tx 7@100 1-1 orders:1
			orders/0 1@101
			> begin 7, disorder in topic orders, partition 0, offset 0: a position of 0/100 from 0/0:0 was due and 0/101:1 is there`},
		{"a count that is not as told", `
			topic orders 1
			topic items 1
			tx 7@100 1-2 orders:1 items:1
			orders/0 1@100 2@100
			> begin 7, 1, wrong count in topic orders, partition 0, offset 1: no further event of its transaction was due and seq 2 is there`},
		{"the transaction records leave a gap", `
			topic orders 1
			tx 7@100 1-1 orders:1
			tx 9@300 3-3 orders:1
			orders/0 1@100 3@300
			> begin 7, 1, end 7, gap in topic p.transaction, partition 0, offset 1: seq 2 was due and seq 3 is there`},
		{"the transaction records repeat", `
			topic orders 1
			tx 7@100 1-1 orders:1
			tx 7@100 1-1 orders:1
			orders/0 1@100
			> begin 7, 1, end 7, repeat in topic p.transaction, partition 0, offset 1: seq 2 was due and seq 1 is there`},
		{"the commit lsn steps back", `
			topic orders 1
			tx 7@100 1-1 orders:1 + 8@99 2-2 orders:1
			> disorder in topic p.transaction, partition 0, offset 0: a commit lsn from 0/100 was due and 0/99 is there`},
		{"a split transaction breaks off", `
			topic orders 1
			tx 7@100 1-1 orders:1 split
			tx 8@200 2-2 orders:1
			orders/0 1@100
			> begin 7, 1, disorder in topic p.transaction, partition 0, offset 1: the rest of transaction 7 at 0/100 was due and transaction 8 at 0/200 is there`},
		{"the stream begins anew", `
			topic orders 1
			tx 7@100 1-1 orders:1
			epoch 2
			tx 9@300 1-1 orders:1
			> begin 7
			orders/0 1@100
			> 1, end 7, new epoch in topic p.transaction, partition 0, offset 1: epoch 1 was due and epoch 2 is there`},
		{"the beginning is gone", `
			topic orders 1
			tx 7@100 5-5 orders:1
			> beginning gone in topic p.transaction, partition 0, offset 0: seq 1 was due and seq 5 is there`},

		{"now begins at the next transaction that starts", `
			start now
			tx 7@100 3-4 orders:2 rest split
			tx 7@100 5-5 orders:1 rest + 8@200 6-7 orders:2
			topic orders 1
			orders/0 5@100 6@200
			> begin 8, 6
			orders/0 7@200
			> 7, end 8`},
		{"oldest begins at the first whole transaction from a seq on", `
			start oldest 3
			tx 7@100 2-4 orders:3 + 8@200 5-5 orders:1
			topic orders 1
			orders/0 3@100 4@100 5@200
			> begin 8, 5, end 8`},
		{"a saved place goes on in the middle of a record", `
			start saved seq=2 commit=100 transaction=0 entry=1
			tx 7@100 1-2 orders:2 + 8@200 3-3 orders:1
			topic orders 1
			orders/0 2@100! 3@200
			> begin 8, 3, end 8`},
		{"a saved place finds its record replaced", `
			start saved seq=2 commit=100 transaction=0 entry=1
			tx 7@100 1-1 orders:1 + 8@200 2-2 orders:1
			> topic reset in topic p.transaction, partition 0, offset 0: the record whose entry 1 ends at seq 2 was due and another record is there`},
		{"a saved place finds a repeat", `
			start saved seq=2 commit=100 transaction=1
			tx 8@200 3-3 orders:1
			topic orders 1
			orders/0 2@100
			> begin 8, repeat in topic orders, partition 0, offset 0: a seq from 3 was due and seq 2 is there`},
	} {
		t.Run(story.name, func(t *testing.T) { tell(t, story.script) })
	}
}

// storyteller plays a story.
type storyteller struct {
	order   *sequencer
	epoch   uint32
	records int64
	offsets map[*partition]int64
}

func tell(t *testing.T, script string) {
	t.Helper()
	s := storyteller{order: newSequencer("p", nil, FromBeginning(), nil), epoch: 1, offsets: map[*partition]int64{}}
	for line := range strings.Lines(strings.TrimSpace(script)) {
		line = strings.TrimSpace(line)
		if want, ok := strings.CutPrefix(line, ">"); ok {
			if diff := cmp.Diff(strings.TrimSpace(want), s.pop()); diff != "" {
				t.Fatalf("at %q (-want +got):\n%s", line, diff)
			}
			continue
		}
		s.play(strings.Fields(line))
	}
}

func (s *storyteller) play(words []string) {
	switch words[0] {
	case "choose":
		chosen := choice{}
		for _, name := range words[1:] {
			chosen[name] = true
		}
		s.order = newSequencer("p", chosen, FromBeginning(), nil)
	case "start":
		start := Now()
		switch words[1] {
		case "oldest":
			s.order = newSequencer("p", s.order.choice, Oldest(), nil)
			s.order.chain.floor = mark{1, number(words[2])}
			return
		case "saved":
			saved := Saved{Epoch: 1, First: 1}
			for _, word := range words[2:] {
				name, value, _ := strings.Cut(word, "=")
				switch name {
				case "seq":
					saved.Seq = number(value)
				case "commit":
					saved.Commit = lsn(value)
				case "transaction":
					saved.Transaction = int64(number(value))
				case "epoch":
					saved.Epoch = uint32(number(value))
				case "entry":
					saved.Entry = int(number(value))
				}
			}
			start = From(saved)
		}
		s.order = newSequencer("p", s.order.choice, start, nil)
	case "epoch":
		s.epoch = uint32(number(words[1]))
	case "gap": // gap 3: the epoch after s.epoch begins, which ended with seq 3
		s.epoch++
		r := envelope.TransactionRecord{Version: 1, Epoch: s.epoch, Gap: &envelope.Gap{Version: 1, EpochFrom: s.epoch - 1, EpochTo: s.epoch,
			From: envelope.GapFrom{Epoch: s.epoch - 1, Seq: number(words[1]), Partial: len(words) > 2}, Why: envelope.GapWhy{Name: "slot_missing"}}}
		s.order.announce(&r, s.records, 100) // pop tells of an error
		s.records++
	case "saved": // saved epoch seq first transaction
		told := s.order.saved()
		got := fmt.Sprint(told.Epoch, " ", told.Seq, " ", told.First, " ", told.Transaction)
		if want := strings.Join(words[1:], " "); got != want {
			panic(fmt.Sprintf("the place is %s and not %s", got, want))
		}
	case "topic":
		s.order.add(words[1], make([]begin, number(words[2])))
	case "tx":
		r := envelope.TransactionRecord{Version: 1, Epoch: s.epoch}
		for entry := range strings.SplitSeq(strings.Join(words[1:], " "), " + ") {
			r.Entries = append(r.Entries, parseEntry(&r, strings.Fields(entry)))
		}
		s.order.announce(&r, s.records, 100) // pop tells of an error
		s.records++
	default:
		name, n, _ := strings.Cut(words[0], "/")
		p := s.order.topics[name].partitions[number(n)]
		for _, word := range words[1:] {
			word, tombstone := strings.CutSuffix(word, "!")
			word, epoch, later := strings.Cut(word, "#")
			if !later {
				epoch = "1"
			}
			seq, commit, _ := strings.Cut(word, "@")
			r := record{epoch: uint32(number(epoch)), seq: number(seq), position: cdc.Position{Commit: lsn(commit), Index: number(seq)}, offset: s.offsets[p], value: []byte("{}")}
			if tombstone {
				r.value = nil
			}
			s.offsets[p]++
			if s.order.push(p, r) != nil {
				break // pop tells
			}
		}
	}
}

// parseEntry reads 7@100 1-3 orders:2 items:1 rest split.
func parseEntry(r *envelope.TransactionRecord, words []string) envelope.TransactionEntry {
	xid, commit, _ := strings.Cut(words[0], "@")
	first, last, _ := strings.Cut(words[1], "-")
	e := envelope.TransactionEntry{XID: uint32(number(xid)), Commit: lsn(commit), First: number(first), Last: number(last), Starts: true, Ends: true}
	for _, word := range words[2:] {
		switch word {
		case "rest":
			e.Starts = false
		case "split":
			e.Ends = false
		default:
			name, n, _ := strings.Cut(word, ":")
			r.Topics = append(r.Topics, name)
			e.Counts = append(e.Counts, envelope.TopicCount{Topic: len(r.Topics) - 1, Events: number(n)})
		}
	}
	return e
}

// pop tells what is delivered until delivery has to wait.
func (s *storyteller) pop() string {
	var told []string
	for {
		var item Item
		found, err := s.order.pop(&item)
		switch {
		case err != nil:
			text, _, _ := strings.Cut(err.Error(), " is there")
			return strings.Join(append(told, text+" is there"), ", ")
		case !found:
			return strings.Join(told, ", ")
		case item.Kind == Epoch:
			told = append(told, fmt.Sprint("epoch ", item.Tx.Epoch))
		case item.Kind == Event:
			told = append(told, strconv.FormatUint(item.Seq, 10))
		default:
			told = append(told, fmt.Sprint(item.Kind, " ", item.Tx.XID))
		}
	}
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func lsn(text string) cdc.CommitLSN {
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		panic(err)
	}
	return cdc.CommitLSN(n)
}
