package audit

import (
	"fmt"
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

var (
	evenA       = place{"s.public.a", 0}
	oddA        = place{"s.public.a", 1}
	oddB        = place{"s.public.b", 1}
	transaction = place{"s.transaction", 0}
	checkpoint  = place{"s.checkpoint", 0}
)

// named is what a story with a fault must be called: each finding's kind, position, seq, topic and key.
func named(t *testing.T, r *StreamReport, want ...string) {
	t.Helper()
	got := []string{}
	for _, f := range r.Findings {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %d %s %s", f.Kind, f.Position, f.Seq, strings.TrimPrefix(f.Topic, "s."), f.Key)))
	}
	if want == nil {
		want = []string{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	for _, f := range r.Findings {
		t.Log(f)
	}
}

// shopping is a stream of five transactions: a delete, a transaction in three parts, a truncate.
func shopping(t *testing.T) *story {
	s := newStory(t)
	s.tx(insert(1, 2, 3), update(1))                                              // 0/1100: seq 1 to 4
	s.write(part{events: remove(1)}, part{events: insert(4, 5)})                  // 0/1200: 5, 0/1300: 6 and 7
	s.write(part{events: update(2, 3)}, part{events: insert(6, 7), goesOn: true}) // 0/1400: 8 and 9, 0/1500: 10, 11
	s.write(part{events: insert(8, 9), goesOn: true})                             // 12, 13
	s.write(part{events: update(1)}, part{events: []doing{{"t", "a", 0}}})        // 14, 0/1600: 15
	s.tx(insert(11))                                                              // 0/1700: 16
	return s
}

func TestAWholeStreamIsProven(t *testing.T) {
	r := shopping(t).audit()
	named(t, r)
	if !r.OK() {
		t.Error("it is not called proven")
	}
	want := StreamReport{From: 1, To: 16, First: cdc.Position{Commit: 0x1100, Index: 1}, Last: cdc.Position{Commit: 0x1700, Index: 1},
		LastCommit: 0x1700, LastEnd: 0x1720, Events: 16, Tombstones: 1, Transactions: 7, KafkaTransactions: 6, Checkpoints: 7}
	if diff := cmp.Diff(want, *r, cmp.AllowUnexported(StreamReport{})); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
}

func TestALostEventIsNamedByItsPosition(t *testing.T) {
	s := shopping(t)
	s.remove(oddB, 0) // update(1), seq 4
	named(t, s.audit(), "missing 0/1100:4 4 public.b")
}

// Where a whole topic has nothing of a transaction any more, each event is named.
func TestALostRunIsNamedEventByEvent(t *testing.T) {
	s := newStory(t)
	s.tx(insert(2, 4), update(1))
	s.tx(insert(6))
	s.remove(evenA, 0)
	s.remove(evenA, 0)
	named(t, s.audit(), "missing 0/1100:1 1 public.a", "missing 0/1100:2 2 public.a")
}

func TestADuplicateIsNamedOnce(t *testing.T) {
	s := shopping(t)
	s.append(oddA, s.logs[oddA][1]) // insert(3), seq 3
	named(t, s.audit(), `duplicate 0/1100:3 3 public.a {"id":3}`)
}

func TestASwapIsOneEventOutOfItsPlace(t *testing.T) {
	s := shopping(t)
	log := s.logs[evenA] // 2, 4, 6, 8: seq 2, 6, 10, 12
	log[1].Headers, log[2].Headers = log[2].Headers, log[1].Headers
	log[1].Key, log[2].Key = log[2].Key, log[1].Key
	log[1].Value, log[2].Value = log[2].Value, log[1].Value
	named(t, s.audit(), `reordered 0/1300:1 6 public.a {"id":4}`)
}

// Two values changed places and their headers did not: both events contradict themselves.
func TestSwappedValuesAreAltered(t *testing.T) {
	s := shopping(t)
	log := s.logs[evenA]
	log[1].Value, log[2].Value = log[2].Value, log[1].Value
	named(t, s.audit(), `altered 0/1300:1 6 public.a {"id":4}`, `altered 0/1500:1 10 public.a {"id":6}`)
}

func TestAnAlteredEventIsNamedWithWhatItContradicts(t *testing.T) {
	for _, c := range []struct{ what, old, new string }{
		{"seq", `"seq":2,`, `"seq":20,`},
		{"commit", `"commit_lsn":4352`, `"commit_lsn":4353`},
		{"transaction", `"txId":701`, `"txId":702`},
		{"time", `"ts_us":4352`, `"ts_us":4353`},
		{"epoch", `"epoch":1`, `"epoch":2`},
		{"table", `"table":"a"`, `"table":"b"`},
		{"value", `{`, `[`},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := shopping(t)
			s.replace(evenA, 0, c.old, c.new)
			named(t, s.audit(), `altered 0/1100:2 2 public.a {"id":2}`)
		})
	}
}

// A seq far above the last checkpoint's would be taken for an event to come: the payload tells better.
func TestAnAlteredSeqIsNoLoss(t *testing.T) {
	s := shopping(t)
	s.logs[evenA][1].Headers = header2(s.logs[evenA][1].Headers, "999")
	named(t, s.audit(), `altered 0/1300:1 6 public.a {"id":4}`)
}

func TestAWrongPositionIsAltered(t *testing.T) {
	s := shopping(t)
	h := s.logs[evenA][0].Headers
	s.logs[evenA][0].Headers = []*sarama.RecordHeader{h[0], {Key: h[1].Key, Value: []byte("0/1100:7")}}
	named(t, s.audit(), `altered 0/1100:7 2 public.a {"id":2}`)
}

// header2 gives another seq.
func header2(h []*sarama.RecordHeader, seq string) []*sarama.RecordHeader {
	return []*sarama.RecordHeader{{Key: h[0].Key, Value: []byte(seq)}, h[1]}
}

func TestALostTombstoneIsNamedByItsDelete(t *testing.T) {
	s := shopping(t)
	s.remove(oddA, 3) // behind remove(1), seq 5
	named(t, s.audit(), `missing 0/1200:1 5 public.a {"id":1}`)
}

// The last record of a partition, too, may be a delete without its tombstone.
func TestALostTombstoneAtTheEnd(t *testing.T) {
	s := newStory(t)
	s.tx(insert(1))
	s.tx(remove(1))
	s.remove(oddA, 2)
	named(t, s.audit(), `missing 0/1200:1 2 public.a {"id":1}`)
}

// A delete is lost and its tombstone is not: it tells the key of what is missing.
func TestALostDeleteLeavesItsTombstone(t *testing.T) {
	s := shopping(t)
	s.remove(oddA, 2)
	named(t, s.audit(), `reordered 0/1200:1 5 public.a {"id":1}`, "missing 0/1200:1 5 public.a")
}

// A transaction in three parts lost the second: its positions tell that it did.
func TestATransactionWithoutItsMiddle(t *testing.T) {
	s := shopping(t)
	s.remove(evenA, 3) // insert(8), seq 12
	s.remove(oddA, 6)  // insert(9), seq 13
	s.remove(transaction, 3)
	s.remove(checkpoint, 4)
	named(t, s.audit(), "missing 0/0:0 12 transaction", "missing 0/1500:3 12", "missing 0/1500:4 13")
}

// The last part is lost, record, events and checkpoint: what is missing of the transaction begins at a known position.
func TestATornTransactionIsNamed(t *testing.T) {
	s := newStory(t)
	s.write(part{events: insert(1, 2), goesOn: true})
	s.write(part{events: insert(3, 4)})
	s.tx(update(1))
	s.remove(oddA, 1)
	s.remove(evenA, 1)
	s.remove(transaction, 1)
	s.remove(checkpoint, 2)
	named(t, s.audit(), "missing 0/0:0 3 transaction", "torn 0/1100:2 5 transaction", "missing 0/1100:3 3", "missing 0/0:0 4")
}

// Of a transaction in two parts the second is lost, and the seqs of what follows were given anew: only the entries tell.
func TestATransactionWithoutItsEndIsTorn(t *testing.T) {
	s := newStory(t)
	s.write(part{events: insert(1, 2), goesOn: true})
	s.open, s.saved.Partial = nil, nil
	s.tx(insert(3))
	named(t, s.audit(), "torn 0/1100:2 3 transaction")
}

// The transaction record is lost with its entries, and the events are there.
func TestALostTransactionRecordIsNamed(t *testing.T) {
	s := shopping(t)
	s.remove(transaction, 1)
	named(t, s.audit(), "missing 0/0:0 5 transaction")
}

func TestATransactionRecordThatCountsWrong(t *testing.T) {
	s := shopping(t)
	s.replace(transaction, 0, `"topics":["s.public.a","s.public.b"]`, `"topics":["s.public.a","s.truncate"]`)
	s.logs[transaction] = s.logs[transaction][:1]
	named(t, s.auditor().on(4), "altered 0/1100:1 1 transaction", "altered 0/1100:1 1 transaction")
}

func TestACheckpointThatSaysAnotherSeq(t *testing.T) {
	for _, c := range []struct{ what, old, new string }{
		{"greater", `"seq":7,`, `"seq":8,`},
		{"far too great", `"seq":7,`, `"seq":7000000,`},
		{"less", `"seq":7,`, `"seq":6,`},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := shopping(t)
			s.replace(checkpoint, 2, c.old, c.new)
			named(t, s.audit(), "checkpoint 0/1300:2 "+strings.Trim(c.new, `"seq:,`)+" checkpoint position")
		})
	}
}

// The audit ends where the last checkpoint says. If that is not true it says so, and misses no event that never was.
func TestALastCheckpointThatSaysAnotherSeq(t *testing.T) {
	s := shopping(t)
	s.replace(checkpoint, 6, `"seq":16,`, `"seq":18,`)
	named(t, s.auditor().on(18), "checkpoint 0/1700:1 18 checkpoint position")
	s = shopping(t)
	s.replace(checkpoint, 6, `"seq":16,`, `"seq":15,`)
	named(t, s.auditor().on(15), "checkpoint 0/1700:1 15 checkpoint position")
}

func TestACheckpointThatContradictsTheLog(t *testing.T) {
	for _, c := range []struct{ what, old, new string }{
		{"touched", `"s.public.a":{"0":10`, `"s.public.a":{"0":9`},
		{"a partition that was not touched", `"s.public.b":{"0":8,"1":9}`, `"s.public.b":{"0":8}`},
		{"a partial transaction", `"events_done":2`, `"events_done":3`},
		{"none", `"partial":{`, `"partial_":{`},
		{"the epoch", `"epoch":1`, `"epoch":2`},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := shopping(t)
			s.replace(checkpoint, 3, c.old, c.new)
			if r := s.audit(); r.Counts[Misplaced] != 1 || r.Faults() != 1 {
				named(t, r, "one fault of a checkpoint")
			}
		})
	}
}

// Compaction takes any checkpoint but the last.
func TestCompactionOfCheckpointsIsNoFault(t *testing.T) {
	s := shopping(t)
	s.logs[checkpoint] = s.logs[checkpoint][len(s.logs[checkpoint])-1:]
	named(t, s.audit())
}

// What retention removed is not missed: judging begins behind it.
func TestRetentionMovesTheBeginning(t *testing.T) {
	s := shopping(t)
	s.cutBefore(evenA, 2) // up to seq 2, of the first Kafka transaction
	r := s.audit()
	named(t, r)
	if r.From != 7 && r.From != 8 {
		t.Errorf("it judges from seq %d on", r.From)
	}
	s.cutBefore(transaction, 6) // the record of seq 12 and 13 is the first
	r = s.audit()
	named(t, r)
	if r.From != 12 {
		t.Errorf("it judges from seq %d on", r.From)
	}
}

// A stream is audited while it runs: what goes on behind the checkpoint waits for the next round.
func TestAnAuditGoesOnWhereItWas(t *testing.T) {
	s := shopping(t)
	a := s.auditor()
	named(t, a.on(7))
	if a.report.To != 7 || a.judge.beyond() != 8 {
		t.Fatalf("it judged to seq %d, and goes on at %d", a.report.To, a.judge.beyond())
	}
	named(t, a.on(16))
	s.tx(remove(11))
	s.tx(update(1))
	s.remove(oddB, 3)
	named(t, a.on(18), "missing 0/1900:1 18 public.b")
	if a.report.Tombstones != 2 {
		t.Errorf("%d tombstones", a.report.Tombstones)
	}
}
