package producer

import "time"

// Limits bound what one Kafka transaction holds. The zero value of a field means its default.
type Limits struct {
	Linger time.Duration // from a batch's first event to its commit, when Kafka keeps up
	Bytes  int           // of keys, values and headers; exceeded by at most one change
	Events int           // exceeded by at most one change

	// Heartbeat is how often an idle stream records how far the source may forget.
	Heartbeat time.Duration

	// Stall ends the session when Kafka has not committed for so long: Postgres cannot shut down while a connection neither
	// acknowledges nor goes.
	Stall time.Duration

	// RepeatTopology has the topology written again after that many commits, for a checkpoint topic that is trimmed
	// instead of compacted; 0 is never.
	RepeatTopology int
}

// Defaults of Limits.
const (
	DefaultLinger = 10 * time.Millisecond
	DefaultBytes  = 4 << 20
	DefaultEvents = 10_000

	DefaultHeartbeat = 10 * time.Second
	DefaultStall     = 12 * time.Second
)

func (l Limits) orDefault() Limits {
	if l.Linger <= 0 {
		l.Linger = DefaultLinger
	}
	if l.Bytes <= 0 {
		l.Bytes = DefaultBytes
	}
	if l.Events <= 0 {
		l.Events = DefaultEvents
	}
	if l.Heartbeat <= 0 {
		l.Heartbeat = DefaultHeartbeat
	}
	if l.Stall <= 0 {
		l.Stall = DefaultStall
	}
	return l
}
