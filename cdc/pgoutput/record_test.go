package pgoutput

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestAServerTellsTheSameStory runs every script.sql on the server that LIVEDB_PGOUTPUT_SERVER names (a superuser's DSN;
// wal_level=logical, max_prepared_transactions above 0) and compares what the server says with the golden files, but for
// what is another each time: LSNs, OIDs, xids and times. With -update it records the streams and golden files anew:
//
//	LIVEDB_PGOUTPUT_SERVER='host=127.0.0.1 port=5432 user=postgres' go test ./cdc/pgoutput -run SameStory [-update]
//
// The fixtures are of PostgreSQL 15; 16, 17 and 18 tell the same.
//
// A script is a series of paragraphs, one simple query each, so that one without BEGIN is a transaction. Those after
// "-- record" are recorded. "-- option name value" and "-- slot two_phase" change how.
func TestAServerTellsTheSameStory(t *testing.T) {
	dsn := os.Getenv("LIVEDB_PGOUTPUT_SERVER")
	if dsn == "" {
		t.Skip("LIVEDB_PGOUTPUT_SERVER is not set")
	}
	scripts, err := filepath.Glob("testdata/*/script.sql")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}

	for _, script := range scripts {
		f := fixture{name: filepath.Base(filepath.Dir(script))}
		t.Run(f.name, func(t *testing.T) {
			recorded := record(t, dsn, f)
			for line := range strings.Lines(string(recorded)) {
				if !strings.HasPrefix(line, "#") {
					f.messages = append(f.messages, parseWAL(t, strings.TrimSpace(line)))
				}
			}
			got := tell(f.messages)

			if *update {
				for file, content := range map[string][]byte{"stream.txt": recorded, "golden.txt": []byte(got)} {
					if err := os.WriteFile(f.path(file), content, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				return
			}
			want, err := os.ReadFile(f.path("golden.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(timeless(string(want)), timeless(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var fleeting = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`\b[0-9A-F]+/[0-9A-F]+\b`), "LSN"},
	{regexp.MustCompile(`\bxid \d+`), "xid X"},
	{regexp.MustCompile(`\boid \d+`), "oid O"},
	{regexp.MustCompile(`\btype \d{5,}`), "type O"}, // those below 10000 are the same in every server
	{regexp.MustCompile(`\btime 20\S+`), "time T"},
}

// timeless takes out of a story what no two recordings share.
func timeless(story string) []string {
	for _, f := range fleeting {
		story = f.pattern.ReplaceAllString(story, f.word)
	}
	return strings.Split(story, "\n")
}

// record runs a script in a database of its own and returns its stream.txt.
func record(t *testing.T, dsn string, f fixture) []byte {
	script, err := os.ReadFile(f.path("script.sql"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)

	// A database takes its slots along when it is dropped.
	const name = "livedb_pgoutput"
	admin := connect(ctx, t, dsn, "")
	drop := func() { run(ctx, t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") }
	drop()
	t.Cleanup(drop)
	run(ctx, t, admin, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
	conn := connect(ctx, t, dsn, name)
	run(ctx, t, conn, `SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1`)

	setup, recorded, found := strings.Cut(string(script), "\n-- record\n")
	if !found {
		t.Fatal(`the script has no line "-- record"`)
	}
	paragraphs(ctx, t, conn, setup)
	run(ctx, t, conn, fmt.Sprintf("SELECT pg_create_logical_replication_slot('%s', 'pgoutput', false, %v)",
		name, strings.Contains(setup, "-- slot two_phase\n")))
	paragraphs(ctx, t, conn, recorded)

	options := "'proto_version', '1', 'publication_names', 'livedb'"
	for _, option := range regexp.MustCompile(`(?m)^-- option (\S+) (\S+)$`).FindAllStringSubmatch(setup, -1) {
		options += fmt.Sprintf(", '%s', '%s'", option[1], option[2])
	}
	var stream bytes.Buffer
	fmt.Fprintf(&stream, "# PostgreSQL %s\n", conn.ParameterStatus("server_version"))
	for _, row := range run(ctx, t, conn, fmt.Sprintf(
		"SELECT lsn || ' ' || encode(data, 'hex') FROM pg_logical_slot_get_binary_changes('%s', NULL, NULL, %s)", name, options)) {
		stream.Write(append(row[0], '\n'))
	}
	return stream.Bytes()
}

func connect(ctx context.Context, t *testing.T, dsn, database string) *pgconn.PgConn {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if database != "" {
		config.Database = database
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func paragraphs(ctx context.Context, t *testing.T, conn *pgconn.PgConn, script string) {
	for paragraph := range strings.SplitSeq(script, "\n\n") {
		run(ctx, t, conn, paragraph)
	}
}

// run returns the rows of the last statement.
func run(ctx context.Context, t *testing.T, conn *pgconn.PgConn, sql string) [][][]byte {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	if len(results) == 0 {
		return nil
	}
	return results[len(results)-1].Rows
}
