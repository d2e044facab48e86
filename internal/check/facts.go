package check

import (
	"time"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/producer"
)

// facts are what was read. What could not be read is nil or not known, and no rule then speaks of it.
type facts struct {
	c Config

	host, address string // of the source
	neon          bool
	inClear       bool // no TLS, beyond this machine or not

	server       *server
	skew         time.Duration // the server's clock less ours
	slots        []slot
	slotsKnown   bool
	transactions []transaction
	prepared     []prepared
	snapshots    *snapshots

	publication *postgres.Publication // nil if there is none
	flags       publication
	tables      []table         // of the publication, or of the one to be made
	leaves      []table         // partitions of those that are published as their root
	candidates  []string        // quoted names of tables that an empty publication could hold
	exists      map[string]bool // tables of the checkpoint that the source has, published or not
	tablesKnown bool
	identity    *postgres.Identity

	kafka *cluster
	saved *producer.Saved
}

// slot returns a slot by its name, nil if there is none.
func (f *facts) slot(name string) *slot {
	for i := range f.slots {
		if f.slots[i].Name == name {
			return &f.slots[i]
		}
	}
	return nil
}

// begun reports whether there is a stream already: its checkpoint says so or, where Kafka was not asked, its slot.
func (f *facts) begun() bool {
	if f.saved != nil {
		return f.saved.Position != nil && f.saved.Position.State == producer.Streaming
	}
	return f.slot(f.c.Stream.Source.Slot) != nil
}

// source is what a checkpoint written now would say of the source.
func (f *facts) source() producer.Source {
	c := f.c.Stream.Source
	return producer.Source{SystemID: f.identity.SystemID, Timeline: f.identity.Timeline, NeonTimeline: f.server.NeonTimeline,
		Database: f.identity.Database, Slot: c.Slot, Publication: c.Publication}
}

// cluster is what Kafka says about itself and about the stream's topics.
type cluster struct {
	brokers  int
	broker   map[string]string // settings; nil if they are not known
	topics   map[string]kafka.Found
	settings map[string]map[string]string // by topic; nil if they are not known
	replicas map[string]int               // by topic
	refused  map[string]error             // by topic that does not exist: why Kafka would not make it
	producer error                        // why we may not use the transactional id
	open     []kafka.OpenTransaction
	written  bool // the topic of the order holds records
}
