package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/devstack"
)

func TestAnEpochIsOrderedWithOrWithoutItsNumber(t *testing.T) {
	for _, c := range []struct {
		args []string
		env  string
		file string
		want epochOrder
		bad  bool
	}{
		{args: []string{"cdc"}},
		{args: []string{"cdc", "--new-epoch"}, want: capture.NextEpoch},
		{args: []string{"run", "--new-epoch", "--slot", "s"}, want: capture.NextEpoch},
		{args: []string{"cdc", "--new-epoch=2"}, want: 2},
		{args: []string{"cdc"}, env: "3", want: 3},
		{args: []string{"cdc"}, env: "true", want: capture.NextEpoch},
		{args: []string{"cdc"}, env: "false"},
		{args: []string{"cdc", "--new-epoch=4"}, env: "3", want: 4},
		{args: []string{"cdc"}, file: "cdc:\n  new-epoch: 5\n", want: 5},
		{args: []string{"cdc"}, file: "cdc:\n  new-epoch: true\n", want: capture.NextEpoch},
		{args: []string{"cdc", "--new-epoch=1"}, bad: true},
		{args: []string{"cdc", "--new-epoch=4294967295"}, bad: true},
		{args: []string{"cdc", "--new-epoch=two"}, bad: true},
	} {
		t.Run(strings.Join(append(c.args, c.env, c.file), " "), func(t *testing.T) {
			t.Setenv("LIVEDB_NEW_EPOCH", c.env)
			if c.env == "" {
				os.Unsetenv("LIVEDB_NEW_EPOCH")
			}
			args := c.args
			if c.file != "" {
				path := filepath.Join(t.TempDir(), "livedb.yaml")
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append([]string{"--config", path}, args...)
			}
			var cli grammar
			parser, err := newParser(&cli, streams{out: io.Discard, err: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			_, err = parser.Parse(args)
			got := cli.Cdc.NewEpoch
			if c.args[0] == "run" {
				got = cli.Run.NewEpoch
			}
			if (err != nil) != c.bad || got != c.want {
				t.Errorf("%v (%v), want %v", got, err, c.want)
			}
		})
	}
}

// A loss ends the command with the exit code for what is unsafe, and its certificate is for a script to read.
func TestTheCertificateOfAStopIsPrinted(t *testing.T) {
	url := devstack.TestDatabase(t, devstack.SharedPostgres(t))
	broker := devstack.TestKafka(t)[0]
	name := url[strings.LastIndex(url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	sql(t, url, "CREATE TABLE t (id int PRIMARY KEY)")
	args := []string{"cdc", "--source", url, "--kafka", broker, "--prefix", "e-" + strings.ReplaceAll(name, "_", "-"), "--slot", name}

	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	ended := make(chan int, 1)
	go func() {
		code, _, _ := livedb(t, ctx, args...)
		ended <- code
	}()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for streaming := false; !streaming; {
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
			WHERE slot_name = $1 AND state = 'streaming')`, name).Scan(&streaming); err != nil {
			t.Fatal(err)
		}
		select {
		case code := <-ended:
			t.Fatalf("it ended with %d", code)
		case <-time.After(20 * time.Millisecond):
		}
	}
	stop()
	<-ended
	if err := postgres.DropSlots(t.Context(), postgres.Config{URL: url, Slot: name}); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code, stdout, stderr := livedb(t, ctx, append(args, "--json")...)
	var gap envelope.Gap
	if err := json.Unmarshal([]byte(stdout), &gap); err != nil || code != exitUnsafe || gap.Why.Name != "slot_missing" || gap.EpochTo != 2 {
		t.Errorf("exit %d, %q (%v)", code, stdout, err)
	}
	if !strings.Contains(stderr, "--new-epoch=2") {
		t.Errorf("it says %s", stderr)
	}
}
