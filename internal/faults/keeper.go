//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"time"
)

// restartPause is how long a role that ended by itself stays down.
const restartPause = 300 * time.Millisecond

// keeper keeps a role running as a service manager does: whatever ends it, it is started again, unless its exit code says
// that going on would break a promise or that the command is wrong.
type keeper struct {
	name   string
	launch func(points string) (*process, error) // points is LIVEDB_FAILPOINTS, empty for none
	killed func(point string)                    // is told of each kill -9: the failpoint, or empty
	fail   func(error)                           // ends the round

	state cell[keeping]
	work  sync.WaitGroup
	end   context.CancelFunc
	last  error // how the last end went; set before work is done
}

// keeping is what a keeper knows at a time.
type keeping struct {
	running  *process // nil while it is down
	starts   int
	points   string // of the next start
	stopping bool   // SIGTERM was sent: its end is as it should be
}

// keep starts the role; release ends it.
func (k *keeper) keep(ctx context.Context) {
	ctx, k.end = context.WithCancel(ctx)
	k.work.Go(func() { k.run(ctx) })
}

// release ends the role in order and for good. A second call does nothing.
func (k *keeper) release() error {
	k.end()
	k.work.Wait()
	return k.last
}

func (k *keeper) run(ctx context.Context) {
	for ctx.Err() == nil {
		p, err := k.start()
		if err != nil {
			k.fail(fmt.Errorf("start %s: %w", k.name, err))
			return
		}
		select {
		case <-p.ended:
			if err := k.after(ctx, p); err != nil {
				k.fail(err)
				return
			}
		case <-ctx.Done():
			if err := p.stop(); err != nil {
				k.last = fmt.Errorf("%s did not end well when it was told to: %w", k.name, err)
			}
		}
	}
}

func (k *keeper) start() (*process, error) {
	p, err := k.launch(k.state.get().points)
	k.state.update(func(s *keeping) { *s = keeping{running: p, starts: s.starts + 1} })
	return p, err
}

// after looks at how the role ended. An error says that it must stay down.
func (k *keeper) after(ctx context.Context, p *process) error {
	stopping := k.state.get().stopping
	k.state.update(func(s *keeping) { s.running = nil })
	exit, failed := errors.AsType[*exec.ExitError](p.err)
	switch {
	case p.killed():
		k.killed(p.point)
	case stopping: // restart looks at how
	case failed && exit.ExitCode() == 1: // such as: the source or Kafka was not there at the start
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	default:
		return fmt.Errorf("%s ended and must not be started again: %w", k.name, cause(p.err))
	}
	return nil
}

func cause(err error) error {
	if err == nil {
		return errors.New("without being told to")
	}
	return err
}

// arm has the next start fail at a point.
func (k *keeper) arm(points string) { k.state.update(func(s *keeping) { s.points = points }) }

// current returns the running process, waiting for it if it is down, and the number of its start.
func (k *keeper) current(ctx context.Context) (*process, int, error) {
	s, err := k.state.await(ctx, func(s keeping) bool { return s.running != nil })
	return s.running, s.starts, err
}

// restart ends the role in order and waits for its next start.
func (k *keeper) restart(ctx context.Context) error {
	p, n, err := k.current(ctx)
	if err != nil {
		return err
	}
	k.state.update(func(s *keeping) { s.stopping = true })
	if err := p.stop(); err != nil && !p.killed() {
		return fmt.Errorf("%s did not end well when it was told to: %w", k.name, err)
	}
	return k.next(ctx, n)
}

// next waits for a start after the n-th.
func (k *keeper) next(ctx context.Context, n int) error {
	_, err := k.state.await(ctx, func(s keeping) bool { return s.starts > n })
	return err
}
