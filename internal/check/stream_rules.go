package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/producer"
)

// streamRules hold the checkpoint against both sides. Each rule is the start's own; where that ends with the first thing
// that is wrong, it is asked again as if that were mended.
func (f *facts) streamRules() (all []Finding) {
	if f.saved == nil {
		return nil
	}
	at := f.saved.Position
	switch {
	case at == nil:
		all = f.withoutCheckpoint()
	case at.State == producer.Creating:
		if f.identity != nil && f.server != nil && at.Source != f.source() {
			all = append(all, found("stream_elsewhere", "stream "+f.c.Stream.Prefix, fmt.Sprintf("the stream %s was being created for the slot %s of the Postgres system %s and the source is another", f.c.Stream.Prefix, at.Slot, at.SystemID), "use another --prefix"))
		}
	default:
		all = append(all, f.sourceAgainst(at)...)
		all = append(all, f.objectsAgainst(at)...)
	}
	if f.kafka != nil {
		all = append(all, f.topicsAgainst()...)
	}
	return all
}

// withoutCheckpoint judges a stream that has none: it must be new.
func (f *facts) withoutCheckpoint() (all []Finding) {
	c := f.c.Stream
	if f.kafka != nil && f.kafka.written {
		return append(all, found("checkpoint_missing", "stream "+c.Prefix, fmt.Sprintf("the stream %s has events but its checkpoint in topic %s is gone", c.Prefix, envelope.Topics(c.Prefix).Checkpoint()),
			"start a new stream under another --prefix"))
	}
	for _, name := range []string{c.Source.Slot, postgres.ReplaySlot(c.Source.Slot)} {
		if f.slot(name) != nil {
			all = append(all, found("checkpoint_missing", "slot "+name, fmt.Sprintf("the slot %s exists but the stream %s has no checkpoint", name, c.Prefix),
				"correct --slot, --prefix or --kafka if they are wrong; if the slot is a leftover, run the SQL").with(fmt.Sprintf("SELECT pg_drop_replication_slot(%s);", literal(name))))
		}
	}
	return all
}

// sourceAgainst asks whether the source is the one that the checkpoint was written for.
func (f *facts) sourceAgainst(at *producer.Checkpoint) (all []Finding) {
	if f.identity == nil || f.server == nil || !f.slotsKnown {
		return nil
	}
	now, confirmed, current := f.source(), at.AckedUpto, f.identity.Current
	if s := f.slot(f.c.Stream.Source.Slot); s != nil {
		confirmed = s.confirmed()
	}
	elsewhere := func() { confirmed, current = at.AckedUpto, max(at.AckedUpto, cdc.LSN(at.End)) } // positions of another history say nothing
	for {
		refusal := asRefusal(at.Check(now, confirmed, current))
		if refusal == nil {
			return all
		}
		all = append(all, refused(Source, "stream "+f.c.Stream.Prefix, refusal))
		switch refusal.Name {
		case "system_identifier_changed":
			now.SystemID = at.SystemID
			elsewhere()
		case "database_changed":
			now.Database = at.Database
		case "timeline_changed":
			now.Timeline = at.Timeline
			elsewhere()
		case "neon_timeline_changed":
			now.NeonTimeline = at.NeonTimeline
			elsewhere()
		case "slot_changed":
			now.Slot, confirmed = at.Slot, at.AckedUpto
		case "publication_changed":
			now.Publication = at.Publication
		case "checkpoint_ahead_of_wal":
			current = max(at.AckedUpto, cdc.LSN(at.End))
		case "slot_ahead_of_checkpoint":
			confirmed = at.AckedUpto
		default:
			return all
		}
	}
}

// objectsAgainst asks whether the slot and the publication are still there, and give what they gave.
func (f *facts) objectsAgainst(at *producer.Checkpoint) (all []Finding) {
	c := f.c.Stream.Source
	if f.slotsKnown && f.slot(c.Slot) == nil {
		finding := found("slot_missing", "slot "+c.Slot, fmt.Sprintf("the slot %s is gone, and the checkpoint is at %s", c.Slot, at.End),
			"changes since then are lost to this stream: to go on without them, start livedb cdc once with --new-epoch")
		if f.neon {
			finding = finding.because("On Neon: the slot had become too old, the branch was restored or reset, or this is another branch.")
		}
		all = append(all, finding)
	}
	if !f.tablesKnown {
		return all
	}
	if f.publication == nil {
		return append(all, found("publication_missing", "publication "+c.Publication, fmt.Sprintf("the publication %s is gone", c.Publication),
			"the slot cannot be decoded without it: to go on without what is lost, start livedb cdc once with --new-epoch"))
	}
	was, now := f.saved.Topology.Published, capture.PublishedBy(f.publication)
	if was.Tables == nil {
		return all
	}
	ask := func(object string, was producer.Published) {
		err := was.CheckPublished(now, func(table string) (bool, error) { return f.exists[table], nil })
		if refusal := asRefusal(err); refusal != nil {
			all = append(all, refused(Source, object, refusal))
		}
	}
	ask("publication "+c.Publication, producer.Published{Options: was.Options, Tables: map[string]string{}, Entries: was.Entries})
	for _, table := range slices.Sorted(maps.Keys(was.Tables)) {
		ask("table "+table, producer.Published{Options: now.Options, Tables: map[string]string{table: was.Tables[table]}})
	}
	return all
}

// topicsAgainst asks whether the stream's topics are those that it began with.
func (f *facts) topicsAgainst() (all []Finding) {
	for _, topic := range f.saved.Topology.Names() {
		one := producer.Topology{Own: map[string]string{}, Topics: map[string]producer.Place{}}
		if id, own := f.saved.Topology.Own[topic]; own {
			one.Own[topic] = id
		}
		if place, of := f.saved.Topology.Topics[topic]; of {
			one.Topics[topic] = place
		}
		if refusal := asRefusal(one.CheckTopics(f.kafka.topics)); refusal != nil {
			all = append(all, refused(Kafka, "topic "+topic, refusal))
		}
	}
	return all
}
