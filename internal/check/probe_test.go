package check_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/check"
)

// left counts what probes left in the rig's database.
func (r *rig) left() (n int) {
	r.t.Helper()
	err := r.admin.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'livedb\_probe\_%' AND database = current_database())
		+ (SELECT count(*) FROM pg_publication WHERE pubname LIKE 'livedb\_probe\_%') + (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'livedb\_probe\_%')
		+ (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'livedb\_probe\_%')`).Scan(&n)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// On a plain server every trial succeeds, and nothing is left.
func TestAProbeTriesAllAndLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	report := check.Probe(t.Context(), r.config.Stream.Source)
	tried := 0
	for _, item := range report.Items {
		t.Logf("%s: %s (%s)", item.What, item.Outcome, item.Seen)
		if item.Outcome == check.No {
			t.Errorf("%s: %s", item.What, item.Seen)
		}
		if item.Outcome == check.Yes {
			tried++
		}
	}
	if tried != 8 || report.Left != "" || r.left() != 0 {
		t.Errorf("%d trials, %q and %d objects left", tried, report.Left, r.left())
	}
}

// A probe that is interrupted removes what it made, and one that may make nothing says so.
func TestAProbeThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	probed := make(chan *check.ProbeReport, 1)
	go func() { probed <- check.Probe(ctx, r.config.Stream.Source) }()
	for deadline := time.Now().Add(30 * time.Second); r.left() < 3; { // schema, publication, slot
		if time.Now().After(deadline) {
			t.Fatal("the probe made nothing")
		}
	}
	cancel()
	if report := <-probed; report.Left != "" || r.left() != 0 {
		t.Errorf("%q and %d objects left", report.Left, r.left())
	}

	r.as("REPLICATION")
	report := check.Probe(t.Context(), r.config.Stream.Source)
	refused := 0
	for _, item := range report.Items {
		if item.Outcome == check.No && (strings.Contains(item.Seen, "permission denied") || strings.Contains(item.Seen, "no table")) {
			refused++
		}
	}
	if refused != 6 || r.left() != 0 { // the role, the table, what needs one, the snapshot files
		t.Errorf("%d trials were refused, %d objects left: %+v", refused, r.left(), report.Items)
	}
}
