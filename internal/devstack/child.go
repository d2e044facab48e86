//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"fmt"
	"os/exec"
	"syscall"
)

// Child is a server that this process started, in a process group of its own. On Linux the kernel kills it when this
// process ends, however it ends; elsewhere it outlives a parent that is killed.
type Child struct {
	cmd   *exec.Cmd
	log   tail
	ended chan struct{} // closed when the process is gone
	err   error         // how it ended: set before ended is closed
}

// StartChild starts the command, which has not been started, and keeps the end of what it writes.
func StartChild(cmd *exec.Cmd) (*Child, error) {
	c := &Child{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &c.log, &c.log
	if err := Fork(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	go func() {
		c.err = cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// Fork starts the command as StartChild does, and leaves it to the caller.
func Fork(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C must reach us only
	dieWithParent(cmd, syscall.SIGKILL)
	return start(cmd)
}

// PID is the process's.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Log is the end of what the process wrote, 64 KiB at most.
func (c *Child) Log() string { return c.log.String() }

// Done is closed when the process is gone.
func (c *Child) Done() <-chan struct{} { return c.ended }

// Err says how the process ended. It may be asked once Done is closed.
func (c *Child) Err() error { return c.err }

// Signal sends a signal. A process that is gone gets none, which is no error.
func (c *Child) Signal(sig syscall.Signal) { _ = c.cmd.Process.Signal(sig) }

// Kill ends the process with SIGKILL and returns when it is gone.
func (c *Child) Kill() {
	c.Signal(syscall.SIGKILL)
	<-c.ended
}
