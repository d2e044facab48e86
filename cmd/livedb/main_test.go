package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/browsertest"
	"github.com/livedb/livedb/internal/devstack"
)

// asProgram makes the test binary be livedb itself, so that tests can run it as separate processes.
const asProgram = "LIVEDB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	code := devstack.RunTests(m)
	browsertest.Stop()
	os.Exit(code)
}

// process is a livedb that runs as a process of its own.
type process struct {
	t     *testing.T
	name  string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // of the process's end

	mu    sync.Mutex
	lines []string // of its error stream
	grown chan struct{}
	out   strings.Builder
}

// start starts livedb with these arguments. It is killed when the test ends, if it still runs.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: args[0], cmd: exec.Command(program, args...), ended: make(chan struct{}), grown: make(chan struct{}, 1)}
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stdout = &p.out
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.listen(stderr)
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // fails if it has ended, as it should
		<-p.ended
		if t.Failed() {
			t.Logf("livedb %s said:\n%s", strings.Join(args, " "), strings.Join(p.lines, "\n"))
		}
	})
	return p
}

func (p *process) listen(stderr io.Reader) {
	for s := bufio.NewScanner(stderr); s.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		p.mu.Unlock()
		select {
		case p.grown <- struct{}{}:
		default:
		}
	}
}

// await returns the first line of the error stream that holds the text.
func (p *process) await(text string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	for {
		p.mu.Lock()
		lines := p.lines
		p.mu.Unlock()
		for _, line := range lines {
			if strings.Contains(line, text) {
				return line
			}
		}
		select {
		case <-p.grown:
		case <-p.ended:
			p.t.Fatalf("livedb %s ended (%v) without saying %q", p.name, p.err, text)
		case <-ctx.Done():
			p.t.Fatalf("livedb %s does not say %q", p.name, text)
		}
	}
}

// stop sends a signal and waits for the process's end, which must come in time.
func (p *process) stop(signal syscall.Signal, within time.Duration) error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatalf("signal livedb %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(within):
		p.t.Fatalf("livedb %s has not ended %s after %s", p.name, within, signal)
	}
	return p.err
}
