package capture_test

import (
	"fmt"
	"testing"

	"github.com/livedb/livedb/internal/devstack"
	. "github.com/livedb/livedb/internal/faults/network"
)

// Each fault strikes several times, at a message drawn at random, and the stream goes on as if nothing had been.
func TestTheStreamSurvivesTheNetwork(t *testing.T) {
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
		{name: "Kafka half open at Produce", fault: Fault{Match: Request(Produce), Action: Silence}, rounds: 2},
		{name: "Kafka half open at the answer to EndTxn", fault: Fault{Match: Response(EndTxn), Action: Silence}, rounds: 2},
		{name: "slow Kafka", fault: Fault{Match: Request(Produce), Action: Slow, Rate: 100}, rounds: 2},
		{name: "Postgres cut in the middle of a transaction", fault: Fault{Match: Type(Insert), Action: Cut}, source: true},
		{name: "Postgres cut at a commit", fault: Fault{Match: Type(Commit), Action: CutAfter}, source: true},
		{name: "Postgres cut after a status", fault: Fault{Match: Type(Status), Action: CutAfter}, source: true},
		{name: "Postgres half open", fault: Fault{Match: Type(Insert), Action: Silence}, rounds: 1, source: true},
		{name: "slow Postgres", fault: Fault{Match: Type(XLogData), Action: Slow, Rate: 20}, rounds: 2, source: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, devstack.SharedPostgres(t), nil)
			dialer := r.kafka
			if c.source {
				dialer = r.postgres
			}
			if c.rounds == 0 {
				c.rounds = 5
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

// sarama sends a request again when its connection breaks, and the first copy may still be on its way (KAFKA-17754). A late
// EndTxn would commit the first half of the transaction that it meets. Each start of a stream ends several transactions
// before the first with events: the late copy is of each of them in turn.
func TestALateRequestMeetsNoLaterTransaction(t *testing.T) {
	for _, c := range []struct {
		name string
		api  int16
		many int
	}{{"EndTxn", EndTxn, 8}, {"Produce", Produce, 3}, {"AddPartitionsToTxn", AddPartitionsToTxn, 3}} {
		for nth := range c.many {
			t.Run(fmt.Sprint(c.name, " ", nth+1), func(t *testing.T) {
				t.Parallel()
				var late *Injection
				if c.api == EndTxn {
					r := newRig(t, devstack.SharedPostgres(t), func(r *rig) { late = r.deliverLate(Request(c.api), nth) })
					r.happen("the late EndTxn", late.Answered())
					r.finish()
					return
				}
				r := newRig(t, devstack.SharedPostgres(t), nil)
				late = r.deliverLate(Request(c.api), nth)
				r.happen("the late request", late.Answered())
				r.progress()
				r.finish()
			})
		}
	}
}

// A commit whose answer comes after the session gave it up did happen; and an InitProducerID may be lost on either way.
func TestTheNextProducerFindsWhatTheLastOneDid(t *testing.T) {
	for name, match := range map[string]Match{"request": Request(InitProducerID), "response": Response(InitProducerID)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, devstack.SharedPostgres(t), nil)
			for range 3 {
				held := r.kafka.Inject(Fault{Match: Response(EndTxn), Action: Hold, Skip: r.random.IntN(5), Until: nil})
				lost := r.kafka.Inject(Fault{Match: match, Action: Cut, After: held})
				r.happen("the unheard commit", held.Fired())
				r.happen("the lost InitProducerID", lost.Fired())
				r.progress()
			}
			r.finish()
		})
	}
}
