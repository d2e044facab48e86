package capture_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// What is written while the publication is gone, or while a table is not in it, is lost to the slot, though everything is there
// again when the stream looks. 15 to 17 say so for ever where the publication was gone, 18 in a warning, and of a table none says a
// word: the OIDs tell.
func TestWhatWasTakenOutAndPutBackStopsTheStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what    string
		publish string // before the stream begins; empty: LiveDB makes the publication
		tables  []string
		damage  []string
	}{
		{"the publication", "", nil,
			[]string{"DROP PUBLICATION livedb", "INSERT INTO a VALUES (20)", "CREATE PUBLICATION livedb FOR ALL TABLES WITH (publish_via_partition_root = true)"}},
		{"an operation", "", nil,
			[]string{"ALTER PUBLICATION livedb SET (publish = 'insert')", "UPDATE a SET v = 'unseen'", "ALTER PUBLICATION livedb SET (publish = 'insert, update, delete, truncate')"}},
		{"a table", "", []string{"public.a", "public.b"},
			[]string{"ALTER PUBLICATION livedb DROP TABLE a", "INSERT INTO a VALUES (20)", "ALTER PUBLICATION livedb ADD TABLE a"}},
		{"a schema", "CREATE PUBLICATION livedb FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)", nil,
			[]string{"ALTER PUBLICATION livedb DROP TABLES IN SCHEMA public", "INSERT INTO a VALUES (20)", "ALTER PUBLICATION livedb ADD TABLES IN SCHEMA public"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "CREATE TABLE b (id int PRIMARY KEY)")
			if c.publish != "" {
				b.exec(c.publish)
			}
			b.config.Source.Tables = c.tables
			begun(t, b)
			b.exec(append(c.damage, "INSERT INTO a VALUES (21)")...)
			b.refused("publication_altered")
		})
	}
}

// The same under a stream that runs: whether it is told by the source's error or warning, or looks first, it stops, and stops again.
func TestAPublicationMadeAnewUnderTheStreamStopsIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	ended := b.run(t.Context())
	b.awaitSlot()
	b.exec("DROP PUBLICATION livedb", "INSERT INTO a VALUES (20)", "CREATE PUBLICATION livedb FOR ALL TABLES WITH (publish_via_partition_root = true)", "INSERT INTO a VALUES (21)")
	var refusal *cdc.Refusal
	named := []string{"publication_missing", "slot_or_publication_missing", "publication_altered"}
	if err := <-ended; !errors.As(err, &refusal) || !slices.Contains(named, refusal.Name) {
		t.Errorf("it ended with %v", err)
	}
	b.refused("publication_altered")
}
