//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// readyLimit is how long a server may take to accept connections.
const readyLimit = 30 * time.Second

// errPortTaken means that another server listens on the port.
var errPortTaken = errors.New("port is in use")

// server is one run of the postmaster. A Postgres has one after the other.
type server struct {
	cmd     *exec.Cmd
	log     tail
	ended   chan struct{} // closed when the process is gone
	err     error         // how it ended, and
	died    bool          // whether nobody told it to: both set before ended is closed
	ordered atomic.Bool   // it was told to end
}

// launch starts the postmaster and waits until it lets someone in.
func launch(ctx context.Context, bin, dataDir string, port int, as account, guarded bool) (*server, error) {
	s := &server{ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), "-D", dataDir, "-p", strconv.Itoa(port))
	s.cmd.Dir, s.cmd.Env = "/", serverEnv()
	as.run(s.cmd)
	if !guarded {
		dieWithParent(s.cmd, syscall.SIGQUIT) // an immediate shutdown
	}

	// A pipe of our own: with one of os/exec, Wait would wait for the backends of a killed postmaster too.
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = writer, writer
	err = start(s.cmd)
	_ = writer.Close() // our copy; the server has its own
	if err != nil {
		_ = reader.Close()
		return nil, fmt.Errorf("start %s: %w", s.cmd.Path, err)
	}
	logged := make(chan struct{})
	go func() {
		defer close(logged)
		defer reader.Close()
		_, _ = io.Copy(&s.log, reader) // until the last writer is gone; an error would mean the same
	}()
	go func() {
		s.err = s.cmd.Wait()
		s.died = !s.ordered.Load()
		select {
		case <-logged: // its last words
		case <-time.After(time.Second): // backends outlive a killed postmaster a little
		}
		close(s.ended)
	}()

	if err := s.ready(ctx, dataDir, port); err != nil {
		s.stop(context.Background(), StopImmediate)
		return nil, err
	}
	return s, nil
}

// ready waits for a connection to this server: by its data folder, not just to anyone on the port.
func (s *server) ready(ctx context.Context, dataDir string, port int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("not ready within %s", readyLimit))
	defer cancel()

	// Whoever else may listen on the port need not answer at all: the end of our server ends the asking.
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	go func() {
		select {
		case <-s.ended:
			giveUp()
		case <-asking.Done():
		}
	}()

	pause := 5 * time.Millisecond
	for {
		got, err := askDataDir(asking, port)
		if err == nil && got == dataDir {
			return nil
		}
		select {
		case <-s.ended:
			if s.log.contains("could not bind", "Address already in use") {
				return errPortTaken
			}
			return fmt.Errorf("postgres did not start: %v%s", s.err, quoteLines(s.log.String()))
		case <-ctx.Done():
			return fmt.Errorf("postgres did not start: %w%s", context.Cause(ctx), quoteLines(s.log.String()))
		case <-time.After(pause):
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

func askDataDir(ctx context.Context, port int) (dir string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, postgresURL(port, "postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir)
	return dir, err
}

// stop ends the process in the given way, and harder once ctx has ended. It returns when the process is gone.
func (s *server) stop(ctx context.Context, mode StopMode) {
	s.ordered.Store(true)
	switch mode {
	case StopFast:
		s.signal(syscall.SIGINT)
		select {
		case <-s.ended:
			return
		case <-ctx.Done():
		}
		fallthrough
	case StopImmediate:
		s.signal(syscall.SIGQUIT)
		select {
		case <-s.ended:
			return
		case <-time.After(10 * time.Second): // Postgres gives its own children 5 s
		}
		fallthrough
	default:
		s.signal(syscall.SIGKILL)
		<-s.ended
	}
}

func (s *server) signal(sig syscall.Signal) {
	_ = s.cmd.Process.Signal(sig) // the only failure is that the process is gone already, which is what is wanted
}

func postgresURL(port int, database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", port, database)
}
