//go:build failpoints

package capture_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// roleOf has the test binary be the role cdc: source, slot, brokers, prefix and what is asked of it: a new epoch, or to split
// transactions and to be quick about heartbeats.
const roleOf = "LIVEDB_TEST_CDC"

func init() {
	fields := strings.Split(os.Getenv(roleOf), "|")
	if len(fields) != 5 {
		return
	}
	c := capture.Config{Source: postgres.Config{URL: fields[0], Slot: fields[1], Publication: "livedb"}, Prefix: fields[3], Partitions: 3, Version: "test",
		Kafka: kafka.Config{Brokers: strings.Split(fields[2], ","), ClientID: "role"}, Metrics: metrics.NewCDC(prometheus.NewRegistry()), Log: slog.Default()}
	switch fields[4] {
	case "ordered":
		c.NewEpoch = 2
	case "split":
		c.Limits = splitting
	}
	fmt.Fprintln(os.Stderr, capture.Run(context.Background(), c))
	os.Exit(1)
}

// splitting has nearly every transaction of a test split.
var splitting = producer.Limits{Events: 5, Heartbeat: 50 * time.Millisecond}

// kill runs the role in a process of its own, which kills itself at the point; a count may follow that, as in
// LIVEDB_FAILPOINTS.
func (b *bench) kill(point failpoint.Point, order string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	role := exec.CommandContext(ctx, os.Args[0])
	s := b.config.Source
	role.Env = append(os.Environ(), roleOf+"="+strings.Join([]string{s.URL, s.Slot, strings.Join(b.config.Kafka.Brokers, ","), b.config.Prefix, order}, "|"),
		fmt.Sprintf("LIVEDB_FAILPOINTS=%s=kill", point))
	output, err := role.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
		b.t.Fatalf("it ended with %v: %s", err, output)
	}
}

// Wherever the start of a new epoch is killed, the next start brings it to its end, ordered or, once the old epoch is over,
// not; and there is one.
func TestANewEpochSurvivesKillAtEveryPoint(t *testing.T) {
	before := []failpoint.Point{failpoint.Preflighted, failpoint.Dialled, failpoint.Leading, failpoint.Fenced, failpoint.Resumed, failpoint.PublishedNew}
	after := []failpoint.Point{failpoint.CreatingSaved, failpoint.SlotsDropped, failpoint.SlotCreated, failpoint.EpochBegun, failpoint.Started}
	for i, point := range append(before, after...) {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			b := begun(t, newBench(t))
			b.exec("DROP PUBLICATION livedb", "SELECT pg_drop_replication_slot('"+b.config.Source.Slot+"')", "INSERT INTO a VALUES (20, 'lost')")
			b.kill(point, "ordered")
			if point != failpoint.EpochBegun && point != failpoint.Started {
				b.kill(point, "ordered")
			}
			if i < len(before) {
				b.config.NewEpoch = 2
			}
			stop := b.start()
			r := b.reader()
			for range 6 {
				b.read(r)
			}
			if gap := b.renewed(r); gap.EpochTo != 2 || gap.From.Seq != 6 {
				t.Errorf("the epoch begins with %s", gap)
			}
			b.awaitSlot()
			b.exec("INSERT INTO a VALUES (21, 'kept')")
			b.expect(r, `1 c public.a null -> {"id":21,"v":"kept"}`)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if report := b.audited(); len(report.Gaps) != 1 || report.Epoch != 2 {
				t.Errorf("epoch %d, gaps %v", report.Epoch, report.Gaps)
			}
		})
	}
}
