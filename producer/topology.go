package producer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/kafka"
)

// Mapping names the form of keys and events. It changes when the same change would be written in another way: a split
// transaction must not change its form in the middle.
const Mapping = "debezium-1"

// Topology is what the events' places rest on. It is written before anything relies on it.
type Topology struct {
	Version   int               `json:"version"`
	Mapping   string            `json:"mapping"`
	Own       map[string]string `json:"own"`       // the ids of the stream's topics that belong to no table, by topic
	Topics    map[string]Place  `json:"topics"`    // by topic
	Published Published         `json:"published"` // when it was written
}

// Place is a topic of events.
type Place struct {
	Schema     string   `json:"schema"`
	Table      string   `json:"table"`
	ID         string   `json:"id"` // as Kafka gave it; empty if it gives none
	Partitions int32    `json:"partitions"`
	Key        []string `json:"key"` // columns of the Kafka key, in order; none: no key, partition 0
}

// Published is what the publication gives the stream.
type Published struct {
	Options string            `json:"options"`
	Tables  map[string]string `json:"tables"` // schema.table, and what is published of it
	Entries map[string]Entry  `json:"entries,omitempty"`
}

// Entry is what puts a table or a schema into the publication, or the publication itself, whose name is empty.
type Entry struct {
	Object  uint32 `json:"object"`            // OID of the table or schema; of the publication, of its owner
	OID     uint32 `json:"oid"`               // another one after it was taken out and put back
	Version uint32 `json:"version,omitempty"` // of the publication: the transaction that last altered it
}

// Clone returns a copy that shares nothing that changes.
func (t Topology) Clone() Topology {
	t.Own, t.Topics = maps.Clone(t.Own), maps.Clone(t.Topics)
	t.Published.Tables, t.Published.Entries = maps.Clone(t.Published.Tables), maps.Clone(t.Published.Entries)
	return t
}

// Names are the topics that the stream rests on.
func (t *Topology) Names() []string {
	return slices.Sorted(maps.Keys(t.ids()))
}

// ids are the ids of all topics, by topic.
func (t *Topology) ids() map[string]string {
	ids := map[string]string{}
	maps.Copy(ids, t.Own)
	for topic, place := range t.Topics {
		ids[topic] = place.ID
	}
	return ids
}

// CheckTopics refuses a Kafka where a topic of the stream is gone, was made anew, or has other partitions. found is what
// Kafka has.
func (t *Topology) CheckTopics(found map[string]kafka.Found) error {
	ids := t.ids()
	for _, topic := range t.Names() {
		f, exists := found[topic]
		switch {
		case !exists:
			return unsafe("topic_missing", "the topic %s of this stream is gone from kafka", topic)
		case ids[topic] != "" && f.ID != ids[topic]:
			return unsafe("topic_recreated", "the topic %s was deleted and made anew: its id is %s and was %s", topic, f.ID, ids[topic])
		}
		if place, ofTable := t.Topics[topic]; ofTable && f.Partitions != place.Partitions {
			return unsafe("topic_partitions_changed", "the topic %s has %d partitions and this stream began with %d: keys would move between partitions", topic, f.Partitions, place.Partitions)
		}
	}
	return nil
}

// CheckPublished refuses a publication that gives the stream other rows or columns of a table than before. A table that it
// does not hold any more is a stop too, if exists still finds it in the source: one that was dropped has no changes to lose.
func (p *Published) CheckPublished(now Published, exists func(table string) (bool, error)) error {
	if p.Tables == nil {
		return nil // nothing was written down yet
	}
	if p.Options != now.Options {
		return unpublished("publication_altered", "the publication gives %q and gave %q", now.Options, p.Options)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Entries)) {
		was := p.Entries[name]
		is, held := now.Entries[name]
		switch {
		case !held: // what it held is gone, too
		case name == "" && is.OID != was.OID:
			return unsafe("publication_altered", "the publication was dropped and made anew: its OID is %d and was %d", is.OID, was.OID)
		case name == "" && was.Version != 0 && is.Version != was.Version && is.Object == was.Object: // another owner alters nothing else
			return unsafe("publication_altered", "the publication gives what it gave, but was altered in between, in transaction %d", is.Version)
		case name != "" && is.OID != was.OID && is.Object == was.Object: // an object of another OID is another table, whose changes are its own
			return unsafe("publication_altered", "the %s was taken out of the publication and put back", name)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(p.Tables)) {
		options, held := now.Tables[table]
		if held && options != p.Tables[table] {
			return unpublished("publication_altered", "the publication gives %q of the table %s and gave %q", options, table, p.Tables[table])
		}
		if held {
			continue
		}
		there, err := exists(table)
		if err != nil {
			return fmt.Errorf("look for the table %s: %w", table, err)
		}
		if there {
			return unpublished("table_left_publication", "the table %s is in the source but no longer in the publication", table)
		}
	}
	return nil
}

func unpublished(name, format string, args ...any) *cdc.Refusal {
	return &cdc.Refusal{Name: name, Unsafe: true, Problem: fmt.Sprintf(format, args...),
		Remedy: "if nothing was written since, put it back as it was; otherwise changes are lost to this stream: start a new one under another --prefix"}
}
