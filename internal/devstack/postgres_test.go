//go:build linux || darwin

package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// openFolder is a fresh folder that every user may enter: t.TempDir is its owner's only.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "devstack-test-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	dir, err = filepath.EvalSymlinks(dir)
	must(t, err)
	return dir
}

func startPostgres(t *testing.T, cfg PostgresConfig) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), cfg)
	must(t, err)
	t.Cleanup(func() { stopPostgres(t, p) })
	return p
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	must(t, err)
	defer conn.Close(ctx)
	var value T
	must(t, conn.QueryRow(ctx, sql).Scan(&value))
	return value
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func TestPostgresStartAndStop(t *testing.T) {
	dir := openFolder(t)
	p := startPostgres(t, PostgresConfig{Dir: dir, Settings: map[string]string{"work_mem": "5MB", "cluster_name": `it's a "\"`}})
	for setting, want := range map[string]string{
		"wal_level": "logical", "fsync": "off", "synchronous_commit": "on", "listen_addresses": "127.0.0.1", "work_mem": "5MB",
		"cluster_name": `it's a "\"`, "server_encoding": "UTF8", "unix_socket_directories": filepath.Dir(p.DataDir()),
	} {
		if got := query[string](t, p.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s: got %q, want %q", setting, got, want)
		}
	}
	if got := query[string](t, p.URL(), "SHOW server_version"); !strings.HasPrefix(got, p.Version()) {
		t.Errorf("got version %q, want %q", p.Version(), got)
	}
	if got := query[string](t, p.URL(), "SHOW data_directory"); got != p.DataDir() || filepath.Dir(filepath.Dir(got)) != dir {
		t.Errorf("got data folder %q, want %q in %q", got, p.DataDir(), dir)
	}
	if pid, ok := readPostmasterPID(p.DataDir()); !ok || pid != p.PID() {
		t.Errorf("got pid %d, want %d", p.PID(), pid)
	}
	if !runsIn(p.PID(), p.DataDir()) {
		t.Error("the postmaster is not recognized")
	}
	if p.ended() || p.Err() != nil {
		t.Errorf("got ended, %v while it runs", p.Err())
	}

	must(t, p.Stop(t.Context()))
	if !p.ended() || p.Err() != nil {
		t.Errorf("got ended %v, %v after Stop", p.ended(), p.Err())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("got %v, %v left behind", left, err)
	}
	if runsIn(p.PID(), p.DataDir()) {
		t.Error("the postmaster still runs")
	}
	must(t, p.Stop(t.Context()))
	if err := p.Restart(t.Context(), StopFast); err == nil {
		t.Error("restarted what was stopped")
	}
}

func TestPostgresRunsUnprivileged(t *testing.T) {
	p := SharedPostgres(t)
	if group, err := syscall.Getpgid(p.PID()); err != nil || group == syscall.Getpgrp() {
		t.Errorf("got process group %d, %v: Ctrl-C would end it under our feet", group, err)
	}
	info, err := os.Stat(p.DataDir())
	must(t, err)
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	if uid == 0 {
		t.Error("the data folder belongs to root")
	}
	if want := p.account.uid; uid != want || (os.Getuid() != 0) != (want == os.Getuid()) {
		t.Errorf("got data folder of uid %d, account %d, being %d", uid, want, os.Getuid())
	}
}

// A slot nobody reads holds up a fast shutdown only through a walsender that does not flush. This is one.
func TestPostgresStopIsImmediateWhenItsContextEnds(t *testing.T) {
	p := startPostgres(t, PostgresConfig{})
	config, err := pgconn.ParseConfig(p.URL() + "&replication=database")
	must(t, err)
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	must(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "CREATE_REPLICATION_SLOT stuck TEMPORARY LOGICAL pgoutput").ReadAll()
	must(t, err)
	must(t, execute(p, "CREATE PUBLICATION p FOR ALL TABLES", "CREATE TABLE t (id int)"))
	conn.Frontend().SendQuery(&pgproto3.Query{String: startReplication("stuck")})
	must(t, conn.Frontend().Flush())
	eventually(t, time.Minute, "the walsender streams", func() bool {
		return query[int](t, p.URL(), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1
	})
	must(t, execute(p, "INSERT INTO t SELECT generate_series(1, 100)"))

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	must(t, p.Stop(ctx))
	if ctx.Err() == nil {
		t.Error("a fast shutdown was enough: this test proves nothing")
	}
}

func TestPostgresRestartKeepsData(t *testing.T) {
	for _, mode := range []StopMode{StopFast, StopImmediate, StopKill} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			p := startPostgres(t, PostgresConfig{})
			must(t, execute(p, "CREATE TABLE t (id int)", "INSERT INTO t VALUES (7)"))
			pid, port := p.PID(), p.Port()
			must(t, p.Restart(t.Context(), mode))
			if got := query[int](t, p.URL(), "SELECT id FROM t"); got != 7 {
				t.Errorf("got %d, want 7", got)
			}
			if p.PID() == pid || p.Port() != port || p.ended() {
				t.Errorf("got pid %d, port %d, ended %v; before: pid %d, port %d", p.PID(), p.Port(), p.ended(), pid, port)
			}
			must(t, p.Stop(t.Context()))
			if exists(p.DataDir()) {
				t.Error("its data folder stays behind")
			}
		})
	}
}

func TestPostgresTellsThatItDied(t *testing.T) {
	p := startPostgres(t, PostgresConfig{})
	must(t, syscall.Kill(p.PID(), syscall.SIGKILL))
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("nobody noticed")
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("got %v, want that it was killed", err)
	}
	if err := p.Restart(t.Context(), StopFast); err == nil {
		t.Error("restarted what had died")
	}
	must(t, p.Stop(t.Context()))
	if exists(p.DataDir()) {
		t.Error("its data folder stays behind")
	}
}

func TestPostgresRefusals(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	closed := openFolder(t)
	must(t, os.Chmod(closed, 0))

	for _, test := range []struct {
		name string
		cfg  PostgresConfig
		env  string
		want []string
	}{
		{name: "wrong folder", cfg: PostgresConfig{BinDir: "/usr/share"}, want: []string{"/usr/share", "initdb is missing"}},
		{name: "wrong folder in the environment", env: "/nosuch", want: []string{"/nosuch", "initdb is missing"}},
		{name: "port in use", cfg: PostgresConfig{Port: port}, want: []string{fmt.Sprintf("port %d", port), "in use"}},
		{name: "bad setting", cfg: PostgresConfig{Settings: map[string]string{"fsync": "perhaps"}},
			want: []string{"did not start", `parameter "fsync" requires a Boolean value`}},
		{name: "no such parent", cfg: PostgresConfig{Dir: "/nosuch"}, want: []string{"/nosuch", "no such file"}},
		{name: "closed parent", cfg: PostgresConfig{Dir: closed}, want: []string{closed}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.env != "" {
				t.Setenv("LIVEDB_PG_BIN", test.env)
			}
			before := runFolders(t)
			p, err := StartPostgres(t.Context(), test.cfg)
			if err == nil {
				stopPostgres(t, p)
				t.Fatal("started")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want it to say %q", err, want)
				}
			}
			if after := runFolders(t); after > before {
				t.Errorf("%d run folders, %d before", after, before)
			}
		})
	}
}

// runFolders counts those of this process in the temporary folder.
func runFolders(t *testing.T) int {
	t.Helper()
	owners, err := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*", ownerFile))
	must(t, err)
	mine := 0
	for _, owner := range owners {
		text, _ := os.ReadFile(owner) // another process may be removing it
		if strings.HasPrefix(string(text), fmt.Sprintf("pid %d ", os.Getpid())) {
			mine++
		}
	}
	return mine
}

func TestPostgresStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := StartPostgres(ctx, PostgresConfig{})
	if err == nil {
		stopPostgres(t, p)
		t.Fatal("started")
	}
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "download") {
		t.Errorf("got %v, want that the context ended, and no download because of it", err)
	}
}

func startReplication(slot string) string {
	return fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names 'p')", slot)
}

func TestSharedPostgresAndTestDatabase(t *testing.T) {
	p := SharedPostgres(t)
	if again := SharedPostgres(t); again != p {
		t.Error("got two shared servers")
	}
	var name string
	t.Run("one test", func(t *testing.T) {
		url := TestDatabase(t, p)
		if other := TestDatabase(t, p); other == url {
			t.Errorf("got %s twice", url)
		}
		name = query[string](t, url, "SELECT current_database()")
		if got := query[string](t, url, "SELECT datcollate FROM pg_database WHERE datname = current_database()"); got != "C" {
			t.Errorf("got collation %q, want C", got)
		}
		// What a careless test leaves behind: a slot, and a session.
		query[string](t, url, "SELECT slot_name::text FROM pg_create_logical_replication_slot('left_"+name+"', 'pgoutput')")
		conn, err := pgx.Connect(t.Context(), url)
		must(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // runs before the database is dropped, but is not awaited
	})
	if got := query[int](t, p.URL(), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); got != 0 {
		t.Error("its database stays")
	}
	if got := query[int](t, p.URL(), "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'left_"+name+"'"); got != 0 {
		t.Error("its slot stays")
	}
}

// A download is slow and needs the network, so this runs when asked for only.
func TestDownloadedPostgresRuns(t *testing.T) {
	if os.Getenv("LIVEDB_TEST_DOWNLOAD") == "" {
		t.Skip("LIVEDB_TEST_DOWNLOAD is not set, so nothing is downloaded")
	}
	cache := openFolder(t)
	bin, err := downloadTo(cache, orDiscard(nil))
	must(t, err)
	if again, err := downloadTo(cache, orDiscard(nil)); again != bin || err != nil {
		t.Errorf("got %q, %v, want %q from the cache", again, err, bin)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "download-*")); err != nil || len(left) > 0 {
		t.Errorf("got %v left in the cache", left)
	}

	p := startPostgres(t, PostgresConfig{BinDir: bin})
	if want := strings.TrimSuffix(string(downloadVersion), ".0"); p.Version() != want {
		t.Errorf("got version %s, want %s", p.Version(), want)
	}
	slot := query[string](t, p.URL(), "SELECT slot_name::text FROM pg_create_logical_replication_slot('s', 'pgoutput')")
	if slot != "s" {
		t.Errorf("got slot %q", slot)
	}
}

// How long initdb and the start take together.
func BenchmarkPostgresStart(b *testing.B) {
	for b.Loop() {
		p, err := StartPostgres(b.Context(), PostgresConfig{})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		stopPostgres(b, p)
		b.StartTimer()
	}
}
