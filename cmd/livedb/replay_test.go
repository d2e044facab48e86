package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/replay"
)

// replayed is what --json prints.
type replayed struct {
	replay.Result
	Refusal, Error string
}

// replayJSON runs a replay with --json and reads what it prints to standard output.
func replayJSON(t *testing.T, p place, args ...string) (code int, r replayed) {
	t.Helper()
	code, stdout, stderr := livedb(t, t.Context(), append(append([]string{"replay", "--json"}, p.both...), args...)...)
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("replay %q exits with %d: %v: %s%s", args, code, err, stdout, stderr)
	}
	return code, r
}

// The program plans, replays to Kafka and to standard output, goes on after Ctrl-C, and says what it cannot do.
func TestReplay(t *testing.T) {
	p := newPlace(t)
	cdc := start(t, append([]string{"cdc"}, p.both...)...)
	cdc.await("the replay slot was made")
	if code, _, stderr := livedb(t, t.Context(), append([]string{"burst", "--rate", "0", "--for", "1s", "--seed", "7"}, p.source...)...); code != exitDone {
		t.Fatalf("burst: %s", stderr)
	}

	code, plan := replayJSON(t, p, "--dry-run")
	for before := uint64(0); code == exitDone && plan.Events != before; { // until the stream has it all
		before = plan.Events
		code, plan = replayJSON(t, p, "--dry-run")
	}
	if code != exitDone || plan.State != replay.Planned || plan.Window == nil || plan.Events < 100 || plan.Window.From != *plan.From {
		t.Fatalf("the dry run exits with %d: %+v", code, plan)
	}
	code, stdout, _ := livedb(t, t.Context(), append([]string{"replay", "--dry-run"}, p.both...)...)
	for _, says := range []string{fmt.Sprintf("would be replayed: %d transactions, %d events, of ", plan.Transactions, plan.Events), "from    " + plan.From.Position.String(), "the replay window, by the slot "} {
		if code != exitDone || !strings.Contains(stdout, says) {
			t.Errorf("the dry run exits with %d and does not say %q:\n%s", code, says, stdout)
		}
	}

	from := []string{"--from", plan.From.Position.String(), "--to", plan.To.Position.String()}
	slow := start(t, append(append([]string{"replay", "--id", "slow", "--rate", fmt.Sprint(plan.Events / 10)}, p.both...), from...)...)
	slow.await("replaying")
	var exit *exec.ExitError
	if err := slow.stop(syscall.SIGINT, 15*time.Second); !errors.As(err, &exit) || exit.ExitCode() != exitInterrupted {
		t.Errorf("interrupted, it ends with %v", err)
	}
	slow.await("livedb replay --id slow goes on with it")
	if code, r := replayJSON(t, p, "--id", "slow", "--rate", "0"); code != exitDone || r.State != replay.Finished || r.Done != plan.Events {
		t.Errorf("going on exits with %d: %+v", code, r)
	}
	code, stdout, _ = livedb(t, t.Context(), append([]string{"replay", "--id", "slow"}, p.both...)...)
	if code != exitDone || !strings.Contains(stdout, "the replay slow was finished before; nothing was written") {
		t.Errorf("a finished replay exits with %d and says %s", code, stdout)
	}

	code, stdout, stderr := livedb(t, t.Context(), append(append([]string{"replay", "--output", "-", "--json"}, p.both...), from...)...)
	if lines := strings.Count(stdout, "\n"); code != exitDone || uint64(lines) != plan.Events || !strings.Contains(stderr, `"state": "finished"`) {
		t.Errorf("to standard output it exits with %d after %d lines: %s", code, lines, stderr)
	}
	if code, r := replayJSON(t, p, "--id", "all", "--from", "oldest"); code != exitDone || r.State != replay.Finished || r.Written != plan.Events {
		t.Errorf("from the oldest it exits with %d: %+v", code, r)
	}
	if code, r := replayJSON(t, p, "--id", "below", "--from", "0/1"); code != exitFailure || r.Refusal != "below_replay_window" || r.Window == nil || r.Window.From != plan.Window.From {
		t.Errorf("below the window it exits with %d: %+v", code, r)
	}
	if err := cdc.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Error(err)
	}
}
