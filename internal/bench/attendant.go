package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// attendant is a child that lives until its standard input ends, as it does when the parent dies: a broker or a role beside
// what is measured.
type attendant struct {
	part  string
	cmd   *exec.Cmd
	live  io.Closer // its standard input
	ended chan struct{}
	err   error // how it ended: set before ended is closed
}

// Limits of an attendant's life.
const (
	attendantStartLimit = time.Minute
	attendantStopLimit  = 15 * time.Second
)

// startAttendant gives a child its task, and returns when it has written its answer: then it serves.
func startAttendant(ctx context.Context, command Command, part string, task, answer any) (*attendant, error) {
	a := &attendant{part: part, cmd: command(part), ended: make(chan struct{})}
	a.cmd.Stderr = os.Stderr
	in, err := a.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.live = in
	if err := fork(a.cmd); err != nil {
		return nil, fmt.Errorf("start the %s: %w", part, err)
	}
	serves := make(chan error, 1)
	go func() {
		serves <- json.NewDecoder(out).Decode(answer)
		_, _ = io.Copy(io.Discard, out) // its end is the process's
		a.err = a.cmd.Wait()
		close(a.ended)
	}()
	err = json.NewEncoder(in).Encode(task)
	patience := time.NewTimer(attendantStartLimit)
	defer patience.Stop()
	if err == nil {
		select {
		case err = <-serves:
		case <-patience.C:
			err = fmt.Errorf("it does not serve after %s", attendantStartLimit)
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", part, err), a.stop())
	}
	return a, nil
}

// cpu is what it has used so far, in seconds.
func (a *attendant) cpu() float64 {
	if a == nil {
		return 0
	}
	p, _ := readProcess(a.cmd.Process.Pid) // gone is 0
	return p.own
}

// stop has it end, kills it if it does not, and waits for it. nil is none.
func (a *attendant) stop() error {
	if a == nil {
		return nil
	}
	if err := a.live.Close(); err != nil {
		_ = a.cmd.Process.Kill() // it would never end by itself
	}
	late := time.AfterFunc(attendantStopLimit, func() { _ = a.cmd.Process.Kill() }) // fails if it has ended, which is what is wanted
	defer late.Stop()
	<-a.ended
	if a.err != nil {
		return fmt.Errorf("the %s ended with %w; what it said stands above", a.part, a.err)
	}
	return nil
}

// serve is an attendant's own side: it answers, and returns when in ends or ctx does. The reading of in is then left behind,
// if ctx ended first: so does the process.
func serve(ctx context.Context, in io.Reader, out io.Writer, answer any) error {
	if err := json.NewEncoder(out).Encode(answer); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, in) // broken or at its end: nobody wants it any more
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	return nil
}
