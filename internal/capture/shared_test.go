package capture_test

import "testing"

// Two tables that would share a topic stop the stream: at a start, and when the second one's first row comes, before anything of it is
// written.
func TestATableThatWouldShareATopicStopsTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE "n m" (id int PRIMARY KEY)`)
	ended := b.run(t.Context())
	r := b.reader()
	b.awaitSlot()
	b.exec(`INSERT INTO "n m" VALUES (1)`)
	b.expect(r, `1 c public.n_m null -> {"id":1}`)
	b.exec(`CREATE TABLE "n$m" (id int PRIMARY KEY)`, `INSERT INTO "n$m" VALUES (2)`)
	stops(t, ended, "topic_shared")
	b.refused("topic_shared") // by the start's look at the tables
}
