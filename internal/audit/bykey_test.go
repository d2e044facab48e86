package audit_test

import (
	"strings"
	"testing"

	"github.com/livedb/livedb/internal/audit"
)

// state audits the tables.
func (s *stream) state() *audit.StateReport {
	s.t.Helper()
	r, err := audit.State(s.t.Context(), audit.StateConfig{Client: s.client, Prefix: s.config.Prefix, Source: s.config.Source})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// An ALTER TABLE that rewrites values tells of it in no event. Once each row was updated, the events leave the table behind
// again, as can be seen by key, but not by a sum: it took away rows that no event had brought.
func TestARewrittenTableIsJudgedByKey(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL")
	s.start()
	s.exec("INSERT INTO a SELECT i, i FROM generate_series(1, 5) i",
		"BEGIN", "ALTER TABLE a ALTER v TYPE text USING v || '0'", "UPDATE a SET v = v", "COMMIT", "DELETE FROM a WHERE id = 5")
	s.delivered()
	if r := s.state(); !r.OK() || r.Judged() != 1 || r.Tables[0].Reason == "" {
		t.Errorf("%+v", r)
	}

	// A rewrite whose rows were never written again is not in the events at all.
	s.exec("ALTER TABLE a ALTER v TYPE text USING v || '0'")
	if r := s.state(); r.Counts[audit.Altered] != 1 {
		t.Errorf("%+v", r)
	}
}

// Rows that go with a partition have no events, whoever decodes: what is left is not judged, rather than called a fault.
func TestATableThatLostAPartitionIsNotJudged(t *testing.T) {
	t.Parallel()
	s := newStream(t, "CREATE TABLE a (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE low PARTITION OF a FOR VALUES FROM (0) TO (10)",
		"CREATE TABLE high PARTITION OF a DEFAULT", "ALTER TABLE low REPLICA IDENTITY FULL", "ALTER TABLE high REPLICA IDENTITY FULL", "ALTER TABLE a REPLICA IDENTITY FULL")
	s.start()
	s.exec("INSERT INTO a VALUES (1), (20)")
	s.delivered()
	if r := s.state(); !r.OK() || r.Judged() != 1 {
		t.Errorf("%+v", r)
	}
	s.exec("DROP TABLE low")
	if r := s.state(); !r.OK() || r.Judged() != 0 || !strings.Contains(r.Tables[0].Reason, "partition") {
		t.Errorf("%+v", r)
	}
}
