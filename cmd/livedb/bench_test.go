package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"

	"github.com/livedb/livedb/internal/bench"
)

// The command as a user runs it, which starts itself as its parties and as the broker.
func TestBench(t *testing.T) {
	p := start(t, "bench", "--shapes", "b", "--parties", "nothing,kafka", "--repetitions", "1", "--scale", "0.002", "--tries", "1", "--settle", "0s", "--json")
	<-p.ended
	code := exitDone
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		code = exit.ExitCode()
	}
	if code != exitDone && code != exitNoisy { // who else runs here is not ours to say
		t.Fatalf("exit code %d", code)
	}
	var report bench.Report
	if err := json.Unmarshal([]byte(p.out.String()), &report); err != nil {
		t.Fatalf("%q: %v", p.out.String(), err)
	}
	if noisy := report.Noisy(); (noisy > 0) != (code == exitNoisy) {
		t.Errorf("%d noisy runs and exit code %d", noisy, code)
	}
	for _, party := range report.Shapes[0].Parties {
		if party.RowsPerSecond.Median <= 0 || len(party.Runs) != 1 || party.Runs[0].Rows != 600 {
			t.Errorf("%+v", party)
		}
	}
}

func TestBenchRefuses(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	for _, args := range [][]string{
		{"--source", "postgres://postgres@127.0.0.1/postgres"}, // which it may not write to
		{"--source", "postgres://postgres@127.0.0.1/postgres", "--yes", "--tls"},
		{"--shapes", "z"}, {"--parties", "nobody"}, {"--scale", "0"}, {"--repetitions", "0"}, {"--tries", "0"}, {"--partitions", "0"},
	} {
		if code, out, stderr := livedb(t, t.Context(), append([]string{"bench"}, args...)...); code != exitUsage || out != "" {
			t.Errorf("%q: exit code %d, %s%s", args, code, out, stderr)
		}
	}
}
