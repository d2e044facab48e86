package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"github.com/livedb/livedb/internal/bench"
)

// benched runs a bench to its end and reads the JSON that it prints. It reports whether the bench was disturbed: who else
// runs here is not a test's to say.
func benched(t *testing.T, into any, args ...string) (disturbed bool) {
	t.Helper()
	p := start(t, args...)
	<-p.ended
	code := exitDone
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		code = exit.ExitCode()
	}
	if code != exitDone && code != exitNoisy {
		t.Fatalf("exit code %d", code)
	}
	if err := json.Unmarshal([]byte(p.out.String()), into); err != nil {
		t.Fatalf("%q: %v", p.out.String(), err)
	}
	return code == exitNoisy
}

func TestBenchLatency(t *testing.T) {
	t.Parallel()
	var report bench.LatencyReport
	disturbed := benched(t, &report, "bench-latency", "--rates", "100", "--for", "1s", "--warm-up", "0s", "--no-view", "--json")
	if len(report.Results) != 1 || report.Results[0].Latency.Count == 0 || report.Refused() != disturbed {
		t.Errorf("disturbed: %v, %+v", disturbed, report)
	}
}

func TestBenchMatrix(t *testing.T) {
	t.Parallel()
	var report bench.MatrixReport
	disturbed := benched(t, &report, "bench-matrix", "--cells", "partitions-16", "--scale", "0.001", "--tries", "1", "--settle", "0s", "--json")
	if len(report.Cells) != 1 || report.Cells[0].Rows != 201 || (report.Noisy() > 0) != disturbed {
		t.Errorf("disturbed: %v, %+v", disturbed, report)
	}
}

func TestBenchesRefuseWhatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"bench-latency", "--rates", "0"}, {"bench-latency", "--for", "1ms"}, {"bench-latency", "--connections", "0"},
		{"bench-matrix", "--cells", "huge"}, {"bench-matrix", "--scale", "0"},
	} {
		p := start(t, args...)
		<-p.ended
		if exit, ok := errors.AsType[*exec.ExitError](p.err); !ok || exit.ExitCode() != exitUsage {
			t.Errorf("%v: %v", args, p.err)
		}
	}
}
