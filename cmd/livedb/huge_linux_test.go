package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/processor"
)

// hugeRows is how many rows the huge transaction has; LIVEDB_HUGE asks for others, such as 5000000.
const hugeRows = 300_000

// hugeMemory bounds the peak of the cdc process, and of one that reads, whatever the transaction's size.
const hugeMemory = 300 << 20

// A transaction far larger than memory may hold passes, and cdc is killed in its middle: the reader sees it once and whole,
// and neither process has grown with it.
func TestAHugeTransaction(t *testing.T) {
	rows := hugeRows
	if given := os.Getenv("LIVEDB_HUGE"); given != "" {
		var err error
		if rows, err = strconv.Atoi(given); err != nil {
			t.Fatal(err)
		}
	}
	p := newPlace(t)
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE huge (id int PRIMARY KEY, v text)"); err != nil {
		t.Fatal(err)
	}
	cdc := func() *process { return start(t, append([]string{"cdc", "--tables", "public.huge"}, p.both...)...) }
	running := cdc()
	running.await("streaming")
	audit := start(t, append([]string{"audit", "--follow", "--ops-listen", "127.0.0.1:0"}, p.kafka...)...)
	_, metrics, _ := strings.Cut(audit.await("metrics are served"), "address=")
	written := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "INSERT INTO huge SELECT i, md5(i::text) FROM generate_series(1, $1::int) i", rows)
		written <- err
	}()

	f := follow(t, p)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	seen, began, ended := 0, 0, 0
	for ended == 0 {
		item, err := f.reader.Next(ctx)
		if err != nil {
			t.Fatalf("after %d events: %v", seen, err)
		}
		switch item.Kind {
		case processor.Begin:
			began++
		case processor.End:
			ended++
		case processor.Event:
			if seen++; uint64(seen) != item.Seq || uint64(seen) != item.Position.Index {
				t.Fatalf("event %d has seq %d and position %s", seen, item.Seq, item.Position)
			}
			if seen == rows/4 {
				withinMemory(t, running)
				running.stop(syscall.SIGKILL, 10*time.Second)
				running = cdc()
				inTheMiddle(t, running, rows)
			}
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if seen != rows || began != 1 {
		t.Errorf("%d events of %d, in %d transactions", seen, rows, began)
	}
	withinMemory(t, running)
	awaitMetric(t, metrics, fmt.Sprintf("livedb_audit_checked_total %v", float64(rows)))
	withinMemory(t, audit)
	if err := audit.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Errorf("the audit that followed ends with %v", err)
	}
	once := append([]string{"audit"}, p.both...)
	if rows == hugeRows { // the state's would wait for the stream to be idle
		once = append(once, "--only", "stream,source")
	}
	code, stdout, stderr := livedb(t, ctx, once...)
	t.Logf("%s%s", stdout, stderr)
	if code != exitDone {
		t.Errorf("the audit ends with %d", code)
	}
}

// inTheMiddle holds that the process went on within the transaction: it says at which seq.
func inTheMiddle(t *testing.T, p *process, rows int) {
	t.Helper()
	line := p.await("streaming")
	seq, err := strconv.Atoi(line[strings.LastIndex(line, "=")+1:])
	if err != nil || seq == 0 || seq >= rows {
		t.Errorf("not killed in the middle of %d rows: %s", rows, line)
	}
}

// withinMemory holds the peak of a process's resident memory against the bound.
func withinMemory(t *testing.T, p *process) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	peak, err := strconv.Atoi(kib)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the peak of livedb %s is %d MiB", p.name, peak>>10)
	if peak<<10 > hugeMemory {
		t.Errorf("that is above %d MiB", hugeMemory>>20)
	}
}
