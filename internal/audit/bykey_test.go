package audit_test

import (
	"testing"

	"github.com/livedb/livedb/internal/audit"
)

// An ALTER TABLE that rewrites values tells of it in no event. Once each row was updated, the events leave the table behind
// again, as can be seen by key, but not by a sum: it took away rows that no event had brought.
func TestARewrittenTableIsJudgedByKey(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL")
	s.start()
	state := func() *audit.StateReport {
		r, err := audit.State(t.Context(), audit.StateConfig{Client: s.client, Prefix: s.config.Prefix, Source: s.config.Source})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	s.exec("INSERT INTO a SELECT i, i FROM generate_series(1, 5) i",
		"BEGIN", "ALTER TABLE a ALTER v TYPE text USING v || '0'", "UPDATE a SET v = v", "COMMIT", "DELETE FROM a WHERE id = 5")
	s.delivered()
	if r := state(); !r.OK() || r.Judged() != 1 || r.Tables[0].Reason == "" {
		t.Errorf("%+v", r)
	}

	// A rewrite whose rows were never written again is not in the events at all.
	s.exec("ALTER TABLE a ALTER v TYPE text USING v || '0'")
	if r := state(); r.Counts[audit.Altered] != 1 {
		t.Errorf("%+v", r)
	}
}
