package capture_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/status"
)

// A table without a replica identity that comes to FOR ALL TABLES makes the application's UPDATE fail. The stream says so, and that it
// is over, and goes on meanwhile, also from a lost connection.
func TestATableWithoutIdentityIsToldUnderTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY)")
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	says := func(text string) {
		t.Helper()
		var now status.Status
		poll(t, func() string { return "the status is " + string(now.State) + " " + now.Detail }, func() bool {
			now = b.config.Status.Status()
			return now.State == status.Healthy && strings.Contains(now.Detail, text) && (text != "" || now.Detail == "")
		})
	}
	says("")
	b.exec("CREATE TABLE bare (id int)")
	says("public.bare has no replica identity")
	b.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '"+b.config.Source.Slot+"'", "INSERT INTO a VALUES (1)")
	b.expect(r, `1 c public.a null -> {"id":1}`)
	says("public.bare has no replica identity")
	b.exec("ALTER TABLE bare REPLICA IDENTITY FULL")
	says("")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// No stream begins that would make the application's UPDATE fail. A deferrable primary key is no identity, nor is an index that is
// gone; and a partition is written with its own.
func TestNoStreamBeginsWithoutIdentities(t *testing.T) {
	t.Parallel()
	for name, create := range map[string][]string{
		"bare": {"CREATE TABLE bare (id int)"},
		"late": {"CREATE TABLE late (id int PRIMARY KEY DEFERRABLE)"},
		"gone": {"CREATE TABLE gone (id int NOT NULL UNIQUE)", "ALTER TABLE gone REPLICA IDENTITY USING INDEX gone_id_key", "ALTER TABLE gone DROP CONSTRAINT gone_id_key"},
		"part": {"CREATE TABLE part (id int) PARTITION BY RANGE (id)", "CREATE TABLE leaf PARTITION OF part DEFAULT"},
	} {
		for _, published := range []bool{false, true} {
			b := newBench(t, create...)
			if published {
				b.exec("CREATE PUBLICATION livedb FOR ALL TABLES WITH (publish_via_partition_root = true)")
				b.exec("INSERT INTO " + name + " VALUES (1)")
				if _, err := b.conn.Exec(t.Context(), "UPDATE "+name+" SET id = 2"); err == nil {
					t.Errorf("%s: Postgres takes an UPDATE", name)
				}
			}
			var refusal *cdc.Refusal
			if err := capture.Preflight(t.Context(), b.config); !errors.As(err, &refusal) || refusal.Name != "no_replica_identity" {
				t.Errorf("%s, published: %v: %v", name, published, err)
			}
		}
	}
}

// An update that brings a row into the publication's row filter is sent as an insert, without the large value that it did not touch,
// unless the identity holds it.
func TestARowThatAnUpdateBringsIntoTheFilter(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, big text)", "CREATE TABLE f (id int PRIMARY KEY, big text)", "ALTER TABLE a ALTER big SET STORAGE external",
		"ALTER TABLE f ALTER big SET STORAGE external", "ALTER TABLE f REPLICA IDENTITY FULL",
		"CREATE PUBLICATION livedb FOR TABLE a WHERE (id > 10), f WHERE (id > 10)")
	stop := b.start()
	r := b.reader()
	b.awaitSlot()
	large := strings.Repeat("x", 3000)
	b.exec("INSERT INTO a VALUES (1, '"+large+"')", "INSERT INTO f VALUES (1, '"+large+"')", "UPDATE a SET id = 11", "UPDATE f SET id = 11", "UPDATE a SET big = 'small'")
	b.expect(r, `1 c public.a null -> {"id":11,"big":"__debezium_unavailable_value"}`)
	b.expect(r, `2 c public.f null -> {"id":11,"big":"`+large+`"}`)
	b.expect(r, `3 u public.a null -> {"id":11,"big":"small"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.audited()
	if checked := b.auditedSource(); checked.Events != 3 {
		t.Errorf("the audit of the source compared %d events", checked.Events)
	}
}
