package capture_test

import (
	"fmt"
	"testing"

	"github.com/livedb/livedb/internal/devstack"
	. "github.com/livedb/livedb/internal/faults/network"
)

// Each fault strikes several times, at a message drawn at random, and the stream goes on as if nothing had been.
func TestTheStreamSurvivesTheNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		rounds int
		fault  Fault
		source bool // on the way to Postgres; else to Kafka
	}{
		{name: "EndTxn response lost", fault: Fault{Match: Response(EndTxn), Action: Cut}},
		{name: "EndTxn request lost", fault: Fault{Match: Request(EndTxn), Action: Cut}},
		{name: "Produce response lost", fault: Fault{Match: Response(Produce), Action: Cut}},
		{name: "Produce request lost", fault: Fault{Match: Request(Produce), Action: Cut}},
		{name: "AddPartitionsToTxn response lost", fault: Fault{Match: Response(AddPartitionsToTxn), Action: Cut}},
		{name: "AddPartitionsToTxn request lost", fault: Fault{Match: Request(AddPartitionsToTxn), Action: Cut}},
		{name: "Kafka cut after the answer to EndTxn", fault: Fault{Match: Response(EndTxn), Action: CutAfter}},
		{name: "Kafka cut after Produce", fault: Fault{Match: Request(Produce), Action: CutAfter}},
		{name: "Kafka cut after the answer to Produce", fault: Fault{Match: Response(Produce), Action: CutAfter}},
		{name: "Kafka half open at Produce", fault: Fault{Match: Request(Produce), Action: Silence}, rounds: 1},
		{name: "Kafka half open at the answer to EndTxn", fault: Fault{Match: Response(EndTxn), Action: Silence}, rounds: 1},
		{name: "slow Kafka", fault: Fault{Match: Request(Produce), Action: Slow, Rate: 100}, rounds: 2},
		{name: "Postgres cut in the middle of a transaction", fault: Fault{Match: Type(Insert), Action: Cut}, source: true},
		{name: "Postgres cut at a commit", fault: Fault{Match: Type(Commit), Action: CutAfter}, source: true},
		{name: "Postgres cut after a status", fault: Fault{Match: Type(Status), Action: CutAfter}, source: true},
		{name: "Postgres half open", fault: Fault{Match: Type(Insert), Action: Silence}, rounds: 1, source: true},
		{name: "slow Postgres", fault: Fault{Match: Type(XLogData), Action: Slow, Rate: 100}, rounds: 2, source: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, devstack.SharedPostgres(t), nil)
			dialer := r.kafka
			if c.source {
				dialer = r.postgres
			}
			if c.rounds == 0 {
				c.rounds = 3
			}
			for range c.rounds {
				fault := c.fault
				fault.Skip = r.random.IntN(5)
				r.happen(c.name, dialer.Inject(fault).Fired())
				r.progress()
			}
			r.finish()
		})
	}
}

// A request whose connection broke may still be on its way. A late EndTxn would commit the first half of the transaction that
// it meets (KAFKA-17754), so what sent one must be fenced before the next begins. Each start of a stream ends several
// transactions before the first with events: the late copy is of each of them in turn. While it was sent twice, and the commit
// of the topology was forgotten, the first events came twice.
func TestALateRequestMeetsNoLaterTransaction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		api  int16
		many int
	}{{"EndTxn", EndTxn, 6}, {"Produce", Produce, 2}, {"AddPartitionsToTxn", AddPartitionsToTxn, 2}} {
		for nth := range c.many {
			t.Run(fmt.Sprint(c.name, " ", nth+1), func(t *testing.T) {
				t.Parallel()
				var late *Injection
				r := newRig(t, devstack.SharedPostgres(t), func(r *rig) { late = r.deliverLate(Request(c.api), nth) })
				r.happen("the late request", late.Answered())
				r.finish()
			})
		}
	}
}

// A commit whose answer never comes did happen; and the InitProducerID of the next producer may be lost on either way.
func TestTheNextProducerFindsWhatTheLastOneDid(t *testing.T) {
	t.Parallel()
	for name, match := range map[string]Match{"request": Request(InitProducerID), "response": Response(InitProducerID)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, devstack.SharedPostgres(t), nil)
			for range 2 {
				held := r.kafka.Inject(Fault{Match: Response(EndTxn), Action: Hold, Skip: r.random.IntN(5)})
				lost := r.kafka.Inject(Fault{Match: match, Action: Cut, After: held})
				r.happen("the unheard commit", held.Fired())
				r.happen("the lost InitProducerID", lost.Fired())
				r.progress()
			}
			r.finish()
		})
	}
}

// A commit that was given up for lost may happen after the next start's preflight has read the checkpoint, and before its producer
// fences. Only what is read behind the fence is the truth: who went on from the earlier checkpoint would write the events twice.
func TestTheCheckpointIsReadBehindTheFence(t *testing.T) {
	t.Parallel()
	r := newRig(t, devstack.SharedPostgres(t), nil)
	for range 3 {
		fenced := make(chan struct{})
		late := r.kafka.Inject(Fault{Match: Request(EndTxn), Action: Late, Skip: r.random.IntN(5), Until: fenced})
		fence := r.kafka.Inject(Fault{Match: Request(InitProducerID), Action: Hold, After: late, Until: late.Answered()})
		r.happen("the fence", fence.Fired())
		close(fenced)
		r.happen("the late commit", late.Answered())
		r.progress()
	}
	r.finish()
}

// A start that cannot read what it is to go on from begins again: it takes no answer that it did not get for an empty topic, and
// no half of one for the last checkpoint. Each fault strikes the start that a lost connection to the source brought about.
func TestTheStartSurvivesTheNetwork(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		api  int16
		many int // at least so many of a start
	}{{"Fetch", Fetch, 2}, {"ListOffsets", ListOffsets, 2}, {"FindCoordinator", FindCoordinator, 1}} {
		for name, match := range map[string]Match{"request": Request(c.api), "response": Response(c.api)} {
			t.Run(c.name+" "+name+" lost", func(t *testing.T) {
				t.Parallel()
				r := newRig(t, devstack.SharedPostgres(t), nil)
				cut := r.postgres.Inject(Fault{Match: Type(Commit), Action: Cut})
				r.happen(name, r.kafka.Inject(Fault{Match: match, Action: Cut, After: cut, Skip: r.random.IntN(c.many)}).Fired())
				r.progress()
				r.finish()
			})
		}
	}
}
