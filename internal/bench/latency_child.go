package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"time"

	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
)

// Parts of Child that run until their input ends.
const (
	partStream  = "stream"
	partProcess = "process"
)

// serveRole is a role's own side: it reads a Task from in, writes one line to out when the role is healthy, and runs until
// in ends, as it does when the parent dies. The reading of in is then left behind, if the role ended first: so does the process.
func serveRole(ctx context.Context, part string, in io.Reader, out io.Writer, log *slog.Logger) error {
	var t Task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task of the role %s: %w", part, err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, in) // broken or at its end: nobody wants the role any more
	}()

	s := status.NewBoard("bench").Role(part)
	told := make(chan error, 1)
	go func() {
		select {
		case <-s.Healthy():
			told <- json.NewEncoder(out).Encode(part)
		case <-ctx.Done():
			told <- nil
		}
	}()
	var err error
	if part == partStream {
		c := captureConfig(t, log)
		c.Status = s
		err = capture.Run(ctx, c)
	} else {
		err = processor.Run(ctx, processor.Config{Kafka: kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"}, Prefix: t.Prefix,
			View: processor.Orders(latencySchema), NoSnapshot: true, Status: s, Log: log})
	}
	stop()
	return errors.Join(err, <-told)
}

// role is a role in a process of its own, as its parent sees it.
type role struct {
	cmd   *exec.Cmd
	live  io.Closer // its standard input: it lives until that ends
	ended chan struct{}
	err   error // how it ended: set before ended is closed
}

// Limits of a role's life.
const (
	roleStartLimit = time.Minute
	roleStopLimit  = 15 * time.Second
)

// startRole returns when the role is healthy.
func startRole(ctx context.Context, command Command, part string, t Task) (*role, error) {
	r := &role{cmd: command(part), ended: make(chan struct{})}
	r.cmd.Stderr = os.Stderr
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.live = in
	if err := fork(r.cmd); err != nil {
		return nil, fmt.Errorf("start the role %s: %w", part, err)
	}
	healthy := make(chan error, 1)
	go func() {
		var line string
		healthy <- json.NewDecoder(out).Decode(&line)
		_, _ = io.Copy(io.Discard, out) // its end is the process's
		r.err = r.cmd.Wait()
		close(r.ended)
	}()
	err = json.NewEncoder(in).Encode(t)
	patience := time.NewTimer(roleStartLimit)
	defer patience.Stop()
	if err == nil {
		select {
		case err = <-healthy:
		case <-patience.C:
			err = fmt.Errorf("not healthy after %s", roleStartLimit)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the role %s: %w", part, err), r.stop())
	}
	return r, nil
}

// cpu is what the role has used so far, in seconds.
func (r *role) cpu() float64 {
	if r == nil {
		return 0
	}
	p, _ := readProcess(r.cmd.Process.Pid) // gone is 0
	return p.own
}

// stop has the role end, kills it if it does not, and waits for it. A nil role is none.
func (r *role) stop() error {
	if r == nil {
		return nil
	}
	if err := r.live.Close(); err != nil {
		_ = r.cmd.Process.Kill() // it would never end by itself
	}
	late := time.AfterFunc(roleStopLimit, func() { _ = r.cmd.Process.Kill() }) // fails if it has ended, which is what is wanted
	defer late.Stop()
	<-r.ended
	if r.err != nil {
		return fmt.Errorf("the role of process %d ended with %w; what it said stands above", r.cmd.Process.Pid, r.err)
	}
	return nil
}
