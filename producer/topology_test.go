package producer

import (
	"errors"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/kafka"
)

// refusedAs holds that an error is the refusal of this name; an empty name is no error.
func refusedAs(t *testing.T, err error, name string) {
	t.Helper()
	var refusal *cdc.Refusal
	switch {
	case name == "" && err != nil:
		t.Errorf("refused: %v", err)
	case name != "" && (!errors.As(err, &refusal) || refusal.Name != name || !refusal.Unsafe):
		t.Errorf("got %v, want %s", err, name)
	}
}

// The topics must be those that the stream wrote to, with the partitions that its keys were spread over. A broker that
// gives no ids is believed.
func TestCheckTopicsKnowsTheStreamsOwn(t *testing.T) {
	topology := Topology{Own: map[string]string{"s.transaction": "T"}, Topics: map[string]Place{
		"s.a": {ID: "A", Partitions: 3}, "s.old": {Partitions: 1}}}
	for _, c := range []struct {
		story string
		kafka map[string]kafka.Found
		name  string
	}{
		{"all is as it was", map[string]kafka.Found{"s.transaction": {ID: "T"}, "s.a": {ID: "A", Partitions: 3}, "s.old": {ID: "O", Partitions: 1}}, ""},
		{"a table's topic is gone", map[string]kafka.Found{"s.transaction": {ID: "T"}, "s.old": {ID: "O", Partitions: 1}}, "topic_missing"},
		{"the order is gone", map[string]kafka.Found{"s.a": {ID: "A", Partitions: 3}, "s.old": {ID: "O", Partitions: 1}}, "topic_missing"},
		{"a topic was made anew", map[string]kafka.Found{"s.transaction": {ID: "T"}, "s.a": {ID: "B", Partitions: 3}, "s.old": {Partitions: 1}}, "topic_recreated"},
		{"partitions were added", map[string]kafka.Found{"s.transaction": {ID: "T"}, "s.a": {ID: "A", Partitions: 4}, "s.old": {Partitions: 1}}, "topic_partitions_changed"},
	} {
		t.Run(c.story, func(t *testing.T) { refusedAs(t, topology.CheckTopics(c.kafka), c.name) })
	}
}

// The publication must give what it gave; it may give more tables, and none that were dropped.
func TestCheckPublishedAllowsMoreButNotLess(t *testing.T) {
	was := Published{Options: "insert, update", Tables: map[string]string{"public.a": "", "public.b": "WHERE (id > 3)"},
		Entries: map[string]Entry{"": {10, 90, 700}, "table public.a": {1, 91, 0}, "table public.b": {2, 92, 0}}}
	altered := func(alter func(now *Published)) Published {
		now := Topology{Published: was}.Clone().Published
		alter(&now)
		return now
	}
	for _, c := range []struct {
		story  string
		now    Published
		exists bool
		name   string
	}{
		{"nothing changed", was, true, ""},
		{"a table joined", altered(func(now *Published) { now.Tables["public.c"], now.Entries["table public.c"] = "", Entry{3, 93, 0} }), true, ""},
		{"a table was dropped", altered(func(now *Published) { delete(now.Tables, "public.b"); delete(now.Entries, "table public.b") }), false, ""},
		{"a table left", altered(func(now *Published) { delete(now.Tables, "public.b"); delete(now.Entries, "table public.b") }), true, "table_left_publication"},
		{"a table left and came back", altered(func(now *Published) { now.Entries["table public.b"] = Entry{2, 94, 0} }), true, "publication_altered"},
		{"a table was dropped and made anew", altered(func(now *Published) { now.Entries["table public.b"] = Entry{5, 94, 0} }), true, ""},
		{"the publication was dropped and made anew", altered(func(now *Published) { now.Entries[""] = Entry{11, 95, 701} }), true, "publication_altered"},
		{"the publication was altered and put back", altered(func(now *Published) { now.Entries[""] = Entry{10, 90, 702} }), true, "publication_altered"},
		{"the publication has another owner", altered(func(now *Published) { now.Entries[""] = Entry{11, 90, 702} }), true, ""},
		{"a row filter changed", altered(func(now *Published) { now.Tables["public.b"] = "WHERE (id > 4)" }), true, "publication_altered"},
		{"an operation is left out", altered(func(now *Published) { now.Options = "insert" }), true, "publication_altered"},
	} {
		t.Run(c.story, func(t *testing.T) {
			refusedAs(t, was.CheckPublished(c.now, func(string) (bool, error) { return c.exists, nil }), c.name)
		})
	}
	nothing := Published{}
	refusedAs(t, nothing.CheckPublished(was, nil), "")
	older := Published{Options: was.Options, Tables: was.Tables} // written down by a LiveDB that noted no entries
	refusedAs(t, older.CheckPublished(was, nil), "")
}

// No event may stand behind the checkpoint, and those that its own Kafka transaction wrote must be there, unless retention
// took them.
func TestCheckTailHoldsAPartitionsEndAgainstTheCheckpoint(t *testing.T) {
	c := Checkpoint{Seq: 10, Touched: map[string]map[int32]uint64{"s.a": {1: 9}}}
	for _, s := range []struct {
		story string
		tail  tail
		name  string
	}{
		{"the end that the checkpoint names", tail{topic: "s.a", partition: 1, seq: 9, found: true}, ""},
		{"an older end where nothing was written", tail{topic: "s.a", partition: 0, seq: 3, found: true}, ""},
		{"an empty partition where nothing was written", tail{topic: "s.a", partition: 2}, ""},
		{"all taken by retention", tail{topic: "s.a", partition: 1, cut: true}, ""},
		{"a later event", tail{topic: "s.b", partition: 0, seq: 11, found: true}, "events_beyond_checkpoint"},
		{"an older end than it names", tail{topic: "s.a", partition: 1, seq: 8, found: true}, "events_missing"},
		{"another end than it names", tail{topic: "s.a", partition: 1, seq: 10, found: true}, "events_missing"},
		{"nothing where it names an end", tail{topic: "s.a", partition: 1}, "events_missing"},
	} {
		t.Run(s.story, func(t *testing.T) { refusedAs(t, c.checkTail(s.tail), s.name) })
	}
}

// The last delivered transaction, decoded once more, must be the same one.
func TestCheckWitnessKnowsTheTransaction(t *testing.T) {
	at := time.Date(2024, 5, 6, 7, 8, 9, 123_000, time.UTC)
	c := Checkpoint{Commit: 0x500, XID: 7, CommitTime: at}
	seen := cdc.Transaction{Commit: 0x500, XID: 7, Time: at.In(time.FixedZone("", 3600))}
	refusedAs(t, c.CheckWitness(seen), "")
	for _, other := range []cdc.Transaction{
		{Commit: 0x500, XID: 8, Time: at}, {Commit: 0x508, XID: 7, Time: at}, {Commit: 0x500, XID: 7, Time: at.Add(time.Microsecond)}, {},
	} {
		refusedAs(t, c.CheckWitness(other), "source_rewritten")
	}
}
