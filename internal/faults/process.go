//go:build unix

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/livedb/livedb/internal/devstack"
)

// stopLimit is how long a role may take to end after SIGTERM.
const stopLimit = 15 * time.Second

// process is a child process.
type process struct {
	cmd     *exec.Cmd
	reached chan struct{} // closed when the process has come to its failpoint
	point   string        // which that is: set before reached is closed
	ended   chan struct{}
	err     error // how it ended: set before ended is closed
}

// startProcess starts a command. Its error stream goes to log; out, if there is one, gets each line that it prints.
func startProcess(log io.Writer, env []string, out func(line string), command ...string) (*process, error) {
	p := &process{cmd: exec.Command(command[0], command[1:]...), reached: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := devstack.Fork(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.cmd.Path, err)
	}
	fmt.Fprintf(log, "---- pid %d %s %s\n", p.cmd.Process.Pid, strings.Join(env, " "), strings.Join(command[1:], " "))
	var reading sync.WaitGroup
	reading.Go(func() {
		lines(stderr, func(line string) {
			if words := strings.Fields(line); len(words) == 3 && words[0] == "failpoint" && p.point == "" {
				p.point = strings.TrimSuffix(words[1], ":")
				close(p.reached)
			}
			fmt.Fprintln(log, line)
		})
	})
	reading.Go(func() {
		lines(stdout, func(line string) {
			if out != nil {
				out(line)
			}
		})
	})
	go func() {
		reading.Wait()
		p.err = p.cmd.Wait()
		fmt.Fprintf(log, "---- pid %d ended: %v\n", p.cmd.Process.Pid, p.err)
		close(p.ended)
	}()
	return p, nil
}

// lines hands on each line until the stream ends.
func lines(from io.Reader, take func(line string)) {
	for r := bufio.NewReader(from); ; {
		line, err := r.ReadString('\n')
		if line != "" {
			take(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return
		}
	}
}

// signal sends a signal; it fails only if the process is gone.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// interrupted is the exit code of a livedb that was told to end before it had begun.
const interrupted = 130

// stop asks the process to end, and kills it if it does not.
func (p *process) stop() error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if exit, ok := errors.AsType[*exec.ExitError](p.err); ok && exit.ExitCode() == interrupted {
			return nil
		}
		return p.err
	case <-time.After(stopLimit):
		p.kill()
		return fmt.Errorf("it had not ended %s after SIGTERM", stopLimit)
	}
}

// killed reports whether kill -9 ended the process.
func (p *process) killed() bool {
	exit, ok := errors.AsType[*exec.ExitError](p.err)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// runProcess runs a command to its end and returns what it printed.
func runProcess(ctx context.Context, log io.Writer, command ...string) (string, error) {
	var printed strings.Builder
	p, err := startProcess(log, nil, func(line string) { fmt.Fprintln(&printed, line) }, command...)
	if err != nil {
		return "", err
	}
	select {
	case <-p.ended:
		return printed.String(), p.err
	case <-ctx.Done():
		p.kill()
		return printed.String(), context.Cause(ctx)
	}
}
