package migrations_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/migrations"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := devstack.StopShared(); err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// objects lists every table, type and schema that is not Postgres's own.
func objects(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
		UNION ALL SELECT 'table ' || c.oid::regclass::text || ' ' || relreplident::text FROM pg_class c
			JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
		UNION ALL SELECT 'type ' || t.oid::regtype::text FROM pg_type t WHERE typtype = 'e'
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // nothing is lost with it
	return conn
}

func TestUpMakesTheSchemaAndNothingElse(t *testing.T) {
	t.Parallel()
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	conn := connect(t, url)
	before := objects(t, conn)

	pending, err := migrations.Status(t.Context(), url, "Demo 1")
	if err != nil {
		t.Fatal(err)
	}
	if len(pending) != 1 || !pending[0].Applied.IsZero() {
		t.Errorf("status of a missing schema: %+v, want one pending", pending)
	}
	if diff := cmp.Diff(before, objects(t, conn)); diff != "" {
		t.Errorf("Status changed the database:\n%s", diff)
	}

	for i, want := range []int{1, 0} {
		applied, err := migrations.Up(t.Context(), url, "Demo 1")
		if err != nil {
			t.Fatal(err)
		}
		if applied != want {
			t.Errorf("run %d applied %d, want %d", i+1, applied, want)
		}
	}
	want := append(before, `schema Demo 1`, `table "Demo 1".burst_ledger f`, `table "Demo 1".customers f`, `table "Demo 1".goose_db_version d`,
		`table "Demo 1".order_items f`, `table "Demo 1".orders f`, `type "Demo 1".order_status`)
	got := objects(t, conn)
	less := func(list []string) map[string]bool {
		set := map[string]bool{}
		for _, one := range list {
			set[one] = true
		}
		return set
	}
	if diff := cmp.Diff(less(want), less(got)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}

	done, err := migrations.Status(t.Context(), url, "Demo 1")
	if err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || done[0].Applied.IsZero() || done[0].Name != "00001_shop.sql" || done[0].Version != 1 {
		t.Errorf("status after Up: %+v, want one applied", done)
	}
}

func TestUpFromManySidesAtOnce(t *testing.T) {
	t.Parallel()
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	var applied [6]int
	var errs [6]error
	var wait sync.WaitGroup
	for i := range applied {
		wait.Go(func() { applied[i], errs[i] = migrations.Up(t.Context(), url, "demo") })
	}
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, n := range applied {
		sum += n
	}
	if sum != 1 {
		t.Errorf("applied %v, want the one migration once", applied)
	}
}

func TestUpSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	direct := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	conn := connect(t, direct)
	role := "guest_" + strings.TrimPrefix(conn.Config().Database, "test_")
	for _, statement := range []string{"CREATE ROLE " + role + " LOGIN PASSWORD 'geheim'", "CREATE SCHEMA taken", "CREATE TABLE taken.customers ()"} {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := conn.Exec(context.Background(), "DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	guest, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	guest.User = url.UserPassword(role, "geheim")

	cases := []struct{ name, url, schema, code, want string }{
		{"no right to create", guest.String(), "mine", "42501", "let " + role + " create"},
		{"foreign tables", direct, "taken", "42P07", "name another schema"},
		{"no such database", strings.Replace(direct, conn.Config().Database, "nowhere", 1), "demo", "3D000", "nowhere"},
		{"no schema", direct, "", "", "no schema is given"},
		{"pooler", "postgres://u:geheim@ep-x-pooler.eu.neon.tech/db", "demo", "", "ep-x.eu.neon.tech"},
		{"nobody listens", "postgres://u:geheim@127.0.0.1:1/db", "demo", "", "check that the source runs"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := migrations.Up(t.Context(), c.url, c.schema)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Errorf("the error tells the password: %v", err)
			}
			if pgErr, ok := errors.AsType[*pgconn.PgError](err); c.code != "" && (!ok || pgErr.Code != c.code) {
				t.Errorf("error %v, want SQLSTATE %s within", err, c.code)
			}
		})
	}
}
