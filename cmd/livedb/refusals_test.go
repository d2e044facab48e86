package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// livedb runs the program in this process, as main does.
func livedb(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(ctx, args, streams{in: strings.NewReader(""), out: &out, err: &err})
	return code, out.String(), err.String()
}

// Each of these is refused with one line that says what is wrong and what to do, and changes nothing.
func TestRefusals(t *testing.T) {
	for _, name := range []string{"LIVEDB_SOURCE", "DATABASE_URL", "LIVEDB_KAFKA", "KAFKA_BROKERS"} {
		if value, set := os.LookupEnv(name); set {
			os.Unsetenv(name)
			t.Cleanup(func() { os.Setenv(name, value) })
		}
	}
	p := devstack.SharedPostgres(t)
	url := devstack.TestDatabase(t, p)
	broker := devstack.TestKafka(t)[0]
	replica := devstack.TestPostgres(t, map[string]string{"wal_level": "replica"})
	sql(t, url, "CREATE TABLE t (id int PRIMARY KEY)", "DROP ROLE IF EXISTS refused", "CREATE ROLE refused LOGIN")
	t.Cleanup(func() { sql(t, p.URL(), "DROP ROLE refused") })
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	nobody := closedPort(t)
	encrypted, locked, stranger := secureBrokers(t)
	five := "livedb-five-" + strings.ToLower(rand.Text()[:8])
	partitioned(t, broker, five, "public.t", 5)

	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"no Postgres there", []string{"demo", "--listen", "127.0.0.1:0", "--pg-bin", t.TempDir()}, exitFailure, []string{"initdb", "name the folder"}},
		{"port in use", []string{"demo", "--listen", busy.Addr().String()}, exitFailure, []string{busy.Addr().String(), "in use", "--listen"}},
		{"port in use by run", []string{"run", "--listen", busy.Addr().String(), "--source", url, "--kafka", broker}, exitFailure, []string{busy.Addr().String(), "in use", "--listen"}},
		{"malformed URL", []string{"cdc", "--source", "postgres://u:hidden@host:port/db", "--kafka", broker}, exitFailure, []string{"source URL", "postgres://user:password@host:5432/database"}},
		{"no source", []string{"cdc", "--kafka", broker}, exitFailure, []string{"--source", "DATABASE_URL"}},
		{"unknown option", []string{"demo", "--rats", "5"}, exitUsage, []string{"--rats", "--help"}},
		{"unknown command", []string{"dmeo"}, exitUsage, []string{"dmeo", "--help"}},
		{"wal_level replica", []string{"cdc", "--source", replica.URL(), "--kafka", broker}, exitFailure, []string{"wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'"}},
		{"wal_level replica, demo", []string{"demo", "--yes", "--listen", "127.0.0.1:0", "--source", replica.URL()}, exitFailure, []string{"wal_level is replica", "ALTER SYSTEM"}},
		{"role without replication", []string{"cdc", "--source", strings.Replace(url, "postgres@", "refused@", 1), "--kafka", broker}, exitFailure, []string{"role refused", `ALTER ROLE "refused" WITH REPLICATION`}},
		{"pooler host", []string{"run", "--listen", "127.0.0.1:0", "--source", "postgres://u:hidden@ep-a-pooler.eu.neon.tech/db", "--kafka", broker}, exitFailure, []string{"ep-a-pooler.eu.neon.tech", "direct host ep-a.eu.neon.tech"}},
		{"kafka unreachable", []string{"cdc", "--source", url, "--kafka", nobody}, exitFailure, []string{nobody, "brokers"}},
		{"kafka without port", []string{"cdc", "--source", url, "--kafka", "localhost"}, exitFailure, []string{`"localhost"`, "host:port"}},
		{"kafka's certificate is another's", []string{"cdc", "--source", url, "--kafka", encrypted, "--kafka-ca", stranger}, exitFailure, []string{encrypted, "--kafka-ca"}},
		{"kafka login by another mechanism", []string{"cdc", "--source", url, "--kafka", locked, "--kafka-sasl", "OAUTHBEARER", "--kafka-token-file", stranger}, exitFailure, []string{locked, "OAUTHBEARER", "--kafka-sasl"}},
		{"kafka password in clear", []string{"cdc", "--source", url, "--kafka", "k.example.com:9092", "--kafka-sasl", "PLAIN", "--kafka-user", "u", "--kafka-password", "hidden"}, exitFailure, []string{"k.example.com:9092", "--kafka-tls"}},
		{"sender timeout", []string{"cdc", "--source", url, "--kafka", broker, "--sender-timeout", "1s"}, exitFailure, []string{"1s", "--sender-timeout"}},
		{"transaction timeout", []string{"cdc", "--source", url, "--kafka", broker, "--transaction-timeout", "1h"}, exitFailure, []string{"1h0m0s", "--transaction-timeout"}},
		{"transaction timeout of process", []string{"process", "--kafka", broker, "--transaction-timeout", "2h"}, exitFailure, []string{"2h0m0s", "--transaction-timeout"}},
		{"decoding memory", []string{"cdc", "--source", url, "--kafka", broker, "--decoding-memory", "256 MB"}, exitFailure, []string{`"256 MB"`, "--decoding-memory as 256MB"}},
		{"batch", []string{"cdc", "--source", url, "--kafka", broker, "--batch-bytes", "1000"}, exitFailure, []string{"1000", "65536 to 67108864", "--batch-bytes"}},
		{"linger", []string{"cdc", "--source", url, "--kafka", broker, "--linger=-1s"}, exitFailure, []string{"-1s", "0s to 10s"}},
		{"compression", []string{"cdc", "--source", url, "--kafka", broker, "--compression", "brotli"}, exitUsage, []string{"compression", "lz4"}},
		{"source unreachable", []string{"cdc", "--source", "postgres://postgres:hidden@" + nobody + "/db?sslmode=disable", "--kafka", broker}, exitFailure, []string{nobody, "--source"}},
		{"another partition count", []string{"cdc", "--source", url, "--kafka", broker, "--prefix", five}, exitFailure, []string{five + ".public.t has 5 partitions", "--partitions 5"}},
		{"prefix", []string{"cdc", "--source", url, "--kafka", broker, "--prefix", "a b"}, exitFailure, []string{`"a b"`, "--prefix"}},
		{"demo not confirmed", []string{"demo", "--listen", "127.0.0.1:0", "--source", url}, exitFailure, []string{"--yes"}},
		{"config file missing", []string{"--config", filepath.Join(t.TempDir(), "none.yaml"), "version"}, exitUsage, []string{"none.yaml"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			code, stdout, stderr := livedb(t, ctx, c.args...)
			if code != c.code || stdout != "" {
				t.Errorf("exit %d, want %d; stdout %q", code, c.code, stdout)
			}
			last := strings.TrimSpace(stderr)
			if i := strings.LastIndex(last, "\n"); i >= 0 {
				last = last[i+1:]
			}
			for _, says := range c.says {
				if !strings.Contains(last, says) {
					t.Errorf("the last line is %q, want %q in it", last, says)
				}
			}
			if strings.Contains(stderr, "hidden") {
				t.Errorf("the password is shown: %s", stderr)
			}
		})
	}
	unchanged(t, place{url: url, broker: broker}, five+".public.t")
}

// unchanged holds that neither publications nor slots nor unknown topics of LiveDB's own prefixes are left. Other prefixes
// are those of other tests, on a Kafka that is shared. A broker may tell of deleted topics for some moments more.
func unchanged(t *testing.T, p place, known ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var made int
	err = conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = current_database())`).Scan(&made)
	if err != nil || made != 0 {
		t.Errorf("%d objects were made in the source (%v)", made, err)
	}
	client, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{p.broker}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for {
		topics, err := client.Topics()
		if err != nil {
			t.Fatal(err)
		}
		made := slices.DeleteFunc(topics, func(topic string) bool {
			return !strings.HasPrefix(topic, "livedb") || slices.Contains(known, topic)
		})
		if len(made) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the topics %v were made", made)
		case <-time.After(50 * time.Millisecond):
		}
		if err := client.RefreshMetadata(); err != nil {
			t.Fatal(err)
		}
	}
}

func sql(t *testing.T, url string, statements ...string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// closedPort is an address that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// partitioned makes a topic of the prefix, for as long as the test runs: the Kafka may be shared.
func partitioned(t *testing.T, broker, prefix, table string, partitions int32) {
	t.Helper()
	client, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{broker}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kafka.DeleteTopics(client, prefix); err != nil {
			t.Error(err)
		}
		client.Close()
	})
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: prefix + "." + table, Partitions: partitions}); err != nil {
		t.Fatal(err)
	}
}
