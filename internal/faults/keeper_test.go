//go:build unix

package faults

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// A role dies at a failpoint, then finds its source away, then is killed by somebody: each time it is started again. Then it
// says by its exit code that a promise would break: it stays down, and that ends the round.
func TestAKeeperStartsAgainUntilTheRoleSaysNo(t *testing.T) {
	t.Parallel()
	lives := []string{"echo failpoint cdc.committed: kill >&2; kill -9 $$", "exit 1", "kill -9 $$", "exit 4"}
	var points []string
	starts := 0
	failed := make(chan error, 1)
	k := &keeper{name: "cdc",
		launch: func(string) (*process, error) {
			starts++
			return startProcess(t.Output(), nil, nil, "sh", "-c", lives[starts-1])
		},
		killed: func(point string) { points = append(points, point) },
		fail:   func(err error) { failed <- err },
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	k.keep(ctx)
	select {
	case err := <-failed:
		if !strings.Contains(err.Error(), "must not be started again: exit status 4") {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("the round goes on")
	}
	if err := k.release(); err != nil {
		t.Error(err)
	}
	if starts != len(lives) || !slices.Equal(points, []string{"cdc.committed", ""}) {
		t.Errorf("%d starts, killed at %q", starts, points)
	}
}

// A role that is told to end and does so well is no failure; one that is armed has its failpoint at the next start alone.
func TestAKeeperArmsTheNextStart(t *testing.T) {
	t.Parallel()
	armed := make(chan string, 3)
	k := &keeper{name: "cdc", killed: func(string) {}, fail: func(err error) { t.Error(err) },
		launch: func(points string) (*process, error) {
			armed <- points
			stands := make(chan string, 1) // its trap: a signal before that would end it otherwise
			p, err := startProcess(t.Output(), nil, func(line string) { stands <- line }, "sh", "-c", "trap 'exit 0' TERM; echo stands; while :; do sleep 0.1; done")
			if err == nil {
				<-stands
			}
			return p, err
		}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	k.keep(ctx)
	if _, _, err := k.current(ctx); err != nil {
		t.Fatal(err)
	}
	for _, points := range []string{"cdc.fenced:1=kill", ""} {
		k.arm(points)
		if err := k.restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.release(); err != nil {
		t.Error(err)
	}
	if got := []string{<-armed, <-armed, <-armed}; !slices.Equal(got, []string{"", "cdc.fenced:1=kill", ""}) {
		t.Errorf("%q", got)
	}
}
