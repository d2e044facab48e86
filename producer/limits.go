package producer

import (
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
)

// Limits bound what one Kafka transaction holds. The zero value of a field means its default.
type Limits struct {
	Linger time.Duration // from a batch's first event to its commit, when Kafka keeps up; up to 4 times that while events pour in
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
	DefaultLinger = 4 * time.Millisecond
	DefaultBytes  = 2 << 20
	DefaultEvents = 10_000

	DefaultHeartbeat = 10 * time.Second
	DefaultStall     = 12 * time.Second
)

// Bounds of Limits: what a smaller one costs, and what a larger one holds in memory, serves nobody.
const (
	maxLinger          = 10 * time.Second
	minBytes, maxBytes = 64 << 10, 64 << 20
	maxEvents          = 1_000_000
)

// Check refuses limits that are out of bounds.
func (l Limits) Check() error {
	switch {
	case l.Linger < 0 || l.Linger > maxLinger:
		return malformed("linger", l.Linger, "0s to "+maxLinger.String())
	case l.Bytes != 0 && (l.Bytes < minBytes || l.Bytes > maxBytes):
		return malformed("batch-bytes", l.Bytes, fmt.Sprintf("%d to %d", minBytes, maxBytes))
	case l.Events < 0 || l.Events > maxEvents:
		return malformed("batch-events", l.Events, fmt.Sprintf("1 to %d", maxEvents))
	}
	return nil
}

func malformed(flag string, have any, want string) error {
	return &cdc.Refusal{Name: "limits_malformed", Problem: fmt.Sprintf("--%s is %v and can be %s", flag, have, want), Remedy: "choose another --" + flag}
}

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
