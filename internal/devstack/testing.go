package devstack

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	startLimit = 2 * time.Minute // a download may be part of it
	stopLimit  = 5 * time.Second
)

// TestPostgres starts a server of the test's own and stops it when the test ends. Later settings overrule earlier ones.
func TestPostgres(t testing.TB, settings ...map[string]string) *Postgres {
	t.Helper()
	all := map[string]string{}
	for _, some := range settings {
		maps.Copy(all, some)
	}
	return TestPostgresWith(t, PostgresConfig{Settings: all})
}

// TestPostgresWith is TestPostgres for a server of any kind.
func TestPostgresWith(t testing.TB, config PostgresConfig) *Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	p, err := StartPostgres(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Err(); err != nil {
			t.Errorf("postgres: %v", err)
		}
		if t.Failed() {
			t.Logf("postgres log:%s", p.LastLog())
		}
		stopPostgres(t, p)
	})
	return p
}

func stopPostgres(t testing.TB, p *Postgres) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if err := p.Stop(ctx); err != nil {
		t.Error(err)
	}
}

var shared struct {
	sync.Mutex
	postgres *Postgres
	err      error
}

// SharedPostgres gives the one server that the tests of a test binary share; give each a TestDatabase of its own. It ends
// with the process, and the next start of any server removes its folder. A package that wants that at once calls StopShared
// in its TestMain.
func SharedPostgres(t testing.TB) *Postgres {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.postgres == nil && shared.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		// Tests in parallel hold many slots at a time.
		settings := map[string]string{"max_replication_slots": "100", "max_wal_senders": "100", "max_connections": "300"}
		shared.postgres, shared.err = StartPostgres(ctx, PostgresConfig{Settings: settings})
	}
	if shared.err == nil {
		shared.err = shared.postgres.Err() // a server that died stays dead: the first to see it is not to blame
	}
	if shared.err != nil {
		t.Fatalf("shared postgres: %v", shared.err)
	}
	return shared.postgres
}

// StopShared stops the server of SharedPostgres, if one was started.
func StopShared() error {
	shared.Lock()
	defer shared.Unlock()
	if shared.postgres == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	err := shared.postgres.Stop(ctx)
	shared.postgres = nil
	return err
}

// atOnce is how many parallel tests RunTests lets run: they wait for servers most of the time, not for a processor.
const atOnce = "8"

// RunTests runs the tests of a binary for its TestMain, and stops the server of SharedPostgres after them. It returns the
// code to exit with. Tests in parallel are more than there are processors, unless -parallel says otherwise.
func RunTests(m *testing.M) int {
	if err := flag.Set("test.parallel", atOnce); err != nil { // the command line comes later, and overrules it
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// TestDatabase makes an empty database and gives its URL. When the test ends the database goes, with its replication slots
// and whoever is connected to it.
func TestDatabase(t testing.TB, p *Postgres) string {
	t.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:12])
	// Nobody connects to template0, which would make CREATE DATABASE fail.
	if err := execute(p, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatalf("make test database: %v", err)
	}
	t.Cleanup(func() {
		select {
		case <-p.Done():
			return
		default:
		}
		if err := dropDatabase(p, name); err != nil {
			t.Errorf("drop test database: %v", err)
		}
	})
	return postgresURL(p.Port(), name)
}

func dropDatabase(p *Postgres, name string) error {
	return execute(p,
		fmt.Sprintf(`SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots
			WHERE database = '%s' AND active_pid IS NOT NULL`, name),
		fmt.Sprintf(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '%s'`, name),
		fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, name))
}

// execute runs the statements as the superuser, each in a transaction of its own.
func execute(p *Postgres, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// TestKafka gives the brokers to test with: those of LIVEDB_TEST_KAFKA (a comma between them), else an embedded one of the
// test's own. Brokers of LIVEDB_TEST_KAFKA are shared with other tests, so names of topics must be the test's own.
func TestKafka(t testing.TB) []string {
	t.Helper()
	if given := os.Getenv("LIVEDB_TEST_KAFKA"); given != "" {
		return strings.FieldsFunc(given, func(r rune) bool { return r == ',' || r == ' ' })
	}
	k, err := StartKafka(KafkaConfig{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k.Brokers()
}
