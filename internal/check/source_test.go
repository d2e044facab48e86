package check_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/check"
	"github.com/livedb/livedb/internal/devstack"
)

func refusalOf(err error) string {
	var refusal *cdc.Refusal
	if errors.As(err, &refusal) {
		return refusal.Name
	}
	return ""
}

// provoked is a finding that a source is made to show. Its own SQL mends it, or what mend does.
type provoked struct {
	slug, object string
	prepare      []string // SQL
	before       func(r *rig)
	mend         func(r *rig)
}

// Each finding about a source, its objects and its tables: it is provoked, the printed SQL is run, and it is gone.
func TestFindingsOfASourceAreMendedByTheirSQL(t *testing.T) {
	t.Parallel()
	const keyed = "CREATE TABLE a (id int PRIMARY KEY)"
	cases := []provoked{
		{slug: "slot_wrong_plugin", object: "slot $", prepare: []string{"SELECT pg_create_physical_replication_slot('$', true)"},
			mend: func(r *rig) {
				r.exec("SELECT pg_drop_replication_slot('$')")
			}},
		{slug: "slot_two_phase", object: "slot $", prepare: []string{"SELECT pg_create_logical_replication_slot('$', 'pgoutput', false, true)"},
			before: func(r *rig) { r.brokers() }},
		{slug: "slot_other_database", object: "slot $", prepare: []string{"SELECT pg_create_logical_replication_slot('$', 'pgoutput')"},
			before: func(r *rig) {
				r.config.Stream.Source.URL = devstack.SharedPostgres(r.t).URL()
			},
			mend: func(r *rig) { r.config.Stream.Source.URL = r.admin.Config().ConnString() }},
		{slug: "checkpoint_missing", object: "slot $", prepare: []string{"SELECT pg_create_logical_replication_slot('$', 'pgoutput')"},
			before: func(r *rig) { r.brokers() }},
		{slug: "slot_in_use", object: "slot $", prepare: []string{"SELECT pg_create_logical_replication_slot('$', 'pgoutput')", keyed, "CREATE PUBLICATION $ FOR TABLE a"},
			before: readByAnother},
		{slug: "long_transaction", before: leaveOpen},
		{slug: "probe_leftover", object: "slot livedb_probe_$", prepare: []string{"SELECT pg_create_logical_replication_slot('livedb_probe_$', 'pgoutput')"}},
		{slug: "clock_skew", before: func(r *rig) { r.config.Now = func() time.Time { return time.Now().Add(-time.Hour) } },
			mend: func(r *rig) { r.config.Now = nil }},

		{slug: "publication_empty", object: "publication $", prepare: []string{keyed, "CREATE PUBLICATION $"}},
		{slug: "publication_partial", object: "publication $", prepare: []string{keyed, "CREATE PUBLICATION $ FOR TABLE a WITH (publish = 'insert')"}},
		{slug: "publish_via_root_not_set", object: "publication $", prepare: []string{"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
			"CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "CREATE PUBLICATION $ FOR ALL TABLES"}},
		{slug: "table_malformed", object: "table a", before: func(r *rig) { r.config.Stream.Source.Tables = []string{"a"} },
			mend: func(r *rig) { r.config.Stream.Source.Tables = nil }},
		{slug: "table_missing", object: "table $.a", before: func(r *rig) { r.config.Stream.Source.Tables = []string{r.name + ".a"} },
			mend: func(r *rig) { r.exec(keyed) }},
		{slug: "table_not_published", object: `table $.a "b"`, prepare: []string{`CREATE TABLE "a ""b""" (id int PRIMARY KEY)`, "CREATE PUBLICATION $"},
			before: func(r *rig) { r.config.Stream.Source.Tables = []string{r.name + `.a "b"`} }},
		{slug: "topic_shared", object: "table $.a_b", prepare: []string{`CREATE TABLE "a b" (id int PRIMARY KEY)`, "CREATE TABLE a_b (id int PRIMARY KEY)",
			`CREATE PUBLICATION $ FOR TABLE "a b", a_b`}},

		{slug: "no_replica_identity", object: "table $.a", prepare: []string{"CREATE TABLE a (id int)"}},
		{slug: "no_replica_identity", object: "table $.a", prepare: []string{"CREATE TABLE a (id int PRIMARY KEY)", "ALTER TABLE a REPLICA IDENTITY NOTHING", "CREATE PUBLICATION $ FOR TABLE a"}},
		{slug: "no_replica_identity", object: "table $.p1", prepare: []string{"CREATE TABLE p (id int) PARTITION BY RANGE (id)",
			"CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)"}},
		{slug: "replica_identity_not_full", object: "table $.a", prepare: []string{keyed}},
		{slug: "toast_columns_without_full", object: "table $.a", prepare: []string{"CREATE TABLE a (id text PRIMARY KEY, body text)"}},
		{slug: "partition_identity_differs", object: "table $.p1", prepare: []string{"CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
			"CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)", "ALTER TABLE p REPLICA IDENTITY FULL"}},
		{slug: "table_without_key", object: "table $.a", prepare: []string{"CREATE TABLE a (id int NOT NULL UNIQUE, v int UNIQUE)", "ALTER TABLE a REPLICA IDENTITY FULL"}},

		{slug: "prefix_malformed", before: func(r *rig) { r.config.Stream.Prefix = "a b" }, mend: func(r *rig) { r.config.Stream.Prefix = "ab" }},
		{slug: "partitions_malformed", before: func(r *rig) { r.config.Stream.Partitions = 0 }, mend: func(r *rig) { r.config.Stream.Partitions = 1 }},
		{slug: "limits_malformed", before: func(r *rig) { r.config.Stream.Limits.Linger = -1 }, mend: func(r *rig) { r.config.Stream.Limits.Linger = 0 }},
	}
	if !strings.HasPrefix(devstack.SharedPostgres(t).Version(), "15") && !strings.HasPrefix(devstack.SharedPostgres(t).Version(), "16") {
		cases = append(cases,
			provoked{slug: "session_timeout", object: "role $_role", before: func(r *rig) {
				r.as("SUPERUSER")
				r.exec("ALTER ROLE $_role SET transaction_timeout = '1h'")
			}},
			provoked{slug: "slot_not_failover", object: "slot $", prepare: []string{"SELECT pg_create_logical_replication_slot('$', 'pgoutput')"}, mend: failsOver})
	}
	shared := newRig(t)
	for i, c := range cases {
		r := shared.part(i)
		t.Run(c.slug, func(t *testing.T) {
			t.Parallel()
			r.t = t
			r.exec(c.prepare...)
			if c.before != nil {
				c.before(r)
			}
			if r.object != "" {
				c.object = r.object
			}
			found := r.has(c.slug, c.object)
			if c.mend != nil {
				c.mend(r)
			} else {
				r.mend(found)
			}
			r.gone(c.slug, strings.TrimPrefix(found.Object, "server "))
		})
	}
}

// failsOver runs the printed line where it is meant to be run.
func failsOver(r *rig) {
	cc, err := pgconn.ParseConfig(r.config.Stream.Source.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	cc.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(r.t.Context(), cc)
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.Exec(r.t.Context(), strings.TrimSuffix(r.has("slot_not_failover", "slot $").SQL, ";")).Close(); err != nil {
		r.t.Fatal(err)
	}
}

// readByAnother has someone else read the slot.
func readByAnother(r *rig) {
	cc, err := pgconn.ParseConfig(r.config.Stream.Source.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	cc.RuntimeParams["replication"], cc.RuntimeParams["application_name"] = "database", "other"
	conn, err := pgconn.ConnectConfig(r.t.Context(), cc)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(context.Background()) })
	if err := pglogrepl.StartReplication(r.t.Context(), conn, r.name, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names '" + r.name + "'"}}); err != nil {
		r.t.Fatal(err)
	}
}

// leaveOpen has someone else begin to write and not end.
func leaveOpen(r *rig) {
	conn, err := pgx.Connect(r.t.Context(), r.config.Stream.Source.URL)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close(context.Background()) })
	for _, s := range []string{"SET application_name = 'forgetful'", "BEGIN", "CREATE TABLE half (id int)"} {
		if _, err := conn.Exec(r.t.Context(), s); err != nil {
			r.t.Fatal(err)
		}
	}
	r.config.OpenFor = time.Millisecond
	r.object = fmt.Sprint("process ", conn.PgConn().PID())
}

// A role that may do nothing is told all that it lacks at once, and the lines that give it that.
func TestARoleIsToldAllThatItLacks(t *testing.T) {
	t.Parallel()
	r := newRig(t, "CREATE SCHEMA s", `CREATE TABLE s."T" (id int PRIMARY KEY)`)
	r.as("")
	expected := []provoked{
		{slug: "role_lacks_replication", object: "role $_role"}, {slug: "activity_hidden", object: "role $_role"},
		{slug: "select_denied", object: "table s.T"}, {slug: "publication_refused", object: "publication livedb"},
	}
	var found []check.Finding
	for _, c := range expected {
		found = append(found, r.has(c.slug, c.object))
	}
	for _, f := range found {
		r.mend(f)
	}
	for i := range expected {
		r.gone(found[i].Slug, found[i].Object)
	}
}
