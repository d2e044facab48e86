package capture

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// Limits of starting again. A source that can be reached again is streamed from within 5 s, of which the pause before the next
// try is one part and the start itself another.
const (
	firstPause  = 100 * time.Millisecond
	soonPause   = time.Second      // at most, where the source is away
	usualPause  = 3 * time.Second  // at most, for what nobody knows, and for Kafka
	seldomPause = 30 * time.Second // at most, where the source refuses us
	settled     = 10 * time.Second // a stream that ran so long had overcome the old trouble
	lastSilence = time.Hour        // at most, for a source that says nothing
)

// verdict is what an error means for a stream that would stay connected.
type verdict struct {
	reason    string        // the label of a new start
	permanent bool          // trying again would not mend it
	pause     time.Duration // the longest before the next try
}

// judge tells what passes from what does not. served says that this source, with this configuration, has streamed before: then a
// password that is refused is being changed, rather than wrong. The source's errors are judged by postgres.Judge, what Kafka will
// not take is a refusal by now (kafka.Named).
func judge(err error, served bool) verdict {
	var unreachable *kafka.UnreachableError
	var refusal *cdc.Refusal
	known := errors.As(err, &refusal)
	switch {
	case known: // of either side
	case errors.As(err, &unreachable):
		return verdict{"kafka_unreachable", false, usualPause}
	case errors.Is(err, producer.ErrStalled):
		return verdict{"kafka_stalled", false, usualPause}
	case errors.Is(err, kafka.ErrOutcomeUnknown):
		return verdict{"outcome_unknown", false, usualPause}
	case kafka.Fenced(err):
		return verdict{"fenced", false, usualPause}
	}
	reason, patience := postgres.Judge(err)
	v := verdict{reason: cmp.Or(reason, "broken"), pause: usualPause}
	switch {
	case patience == postgres.Soon, patience == postgres.Rewritten && served:
		v.pause = soonPause
	case served && v.reason == "source_is_replica": // it may be about to be promoted
		v.pause = soonPause
	case patience == postgres.Seldom, patience == postgres.Served && served:
		v.pause = seldomPause
	case patience >= postgres.Rewritten:
		v.permanent = true
	}
	return v
}

// backoff makes each pause twice as long as the last one, as far as the verdict lets it.
type backoff struct{ last time.Duration }

// next returns the pause before the next start: half of it certain, half of it drawn, so that many who lost the same source do
// not come back as one. fresh says that the stream came some way since the last pause, so that this is another trouble.
func (b *backoff) next(v verdict, fresh bool) time.Duration {
	if fresh || b.last == 0 {
		b.last = firstPause / 2
	}
	b.last = min(2*b.last, v.pause)
	return b.last/2 + rand.N(b.last/2)
}

// silence is how long the source may say nothing. One that decodes a huge transaction is as silent as one that is gone, and
// begins anew with each connection: after each silence it is allowed twice as long. That is forgotten once WAL has come for a
// good while, or a connection that breaks without a word would be noticed late ever after.
type silence struct{ first, now time.Duration }

func (s *silence) allowed() time.Duration { return max(s.first, s.now) }

// next takes a session's end: whether the source had fallen silent, and for how long WAL had come before. Keepalives are no WAL:
// they come while the source reads what belongs to the huge transaction, and say nothing of its decoding.
func (s *silence) next(silent bool, flowed time.Duration) {
	if flowed > settled {
		s.now = 0
	}
	if silent {
		s.now = min(2*s.allowed(), lastSilence)
	}
}

// flow measures for how long a session received WAL. To ask for the time at each message would cost too much, so a message
// came when the read did that brought it.
type flow struct{ now, first, last time.Time }

func (f *flow) read(now time.Time) { f.now = now }

func (f *flow) wal() {
	if f.first.IsZero() {
		f.first = f.now
	}
	f.last = f.now
}

func (f *flow) lasted() time.Duration { return f.last.Sub(f.first) }
