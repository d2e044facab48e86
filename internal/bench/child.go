package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"time"
)

// Command gives the command that runs Child in a process of its own, in the given part.
type Command func(part string) *exec.Cmd

// Parts of Child.
const (
	partBroker  = "broker"
	partNothing = "nothing"
	partKafka   = "kafka"
	partPage    = "page"
)

// Child is one of LiveDB's own parties, the broker or a role, in a process of its own. It reads a Task from in. A party writes
// its Figures to out; the others answer once they serve, and live until in ends.
func Child(ctx context.Context, part string, in io.Reader, out io.Writer, log *slog.Logger) error {
	var t Task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		return fmt.Errorf("read the task of %s: %w", part, err)
	}
	switch part {
	case partBroker:
		return serveBroker(ctx, in, out, log)
	case partStream, partProcess:
		return serveRole(ctx, part, t, in, out, log)
	}
	drains := map[string]func(ctx context.Context, t Task, m *meter, log *slog.Logger) error{
		partNothing: drainToNothing, partKafka: drainToKafka, partPage: drainToPage,
	}
	drain := drains[part]
	if drain == nil {
		return fmt.Errorf("there is no part %q: this command is started by livedb bench", part)
	}
	m := &meter{Figures: unknown(), profile: t.Profile}
	if err := drain(ctx, t, m, log); err != nil {
		return err
	}
	if err := m.writeProfiles(); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(m.Figures)
}

// meter measures this process from begin to end.
type meter struct {
	Figures
	began   time.Time
	cpu     float64
	mallocs uint64
	profile string
	samples bytes.Buffer // of the CPU
}

func (m *meter) begin() {
	if m.profile != "" {
		_ = pprof.StartCPUProfile(&m.samples) // it fails if there is one already, and there is none
	}
	m.mallocs, m.cpu, m.began = mallocs(), selfCPU(), time.Now()
}

func (m *meter) end(rows int) {
	pprof.StopCPUProfile()
	m.Seconds, m.ClientCPU = time.Since(m.began).Seconds(), selfCPU()-m.cpu
	m.Rows, m.PeakRSS = rows, peakRSS(os.Getpid())
	m.MallocsPerRow = float64(mallocs()-m.mallocs) / float64(max(1, rows))
}

// lap ends the first part of what is measured and begins the rest.
func (m *meter) lap(rows int) {
	m.end(rows)
	met := m.Figures
	m.Met = &met
	m.begin()
}

// writeProfiles writes what was sampled, for go tool pprof.
func (m *meter) writeProfiles() error {
	if m.profile == "" {
		return nil
	}
	var allocs bytes.Buffer
	if err := pprof.Lookup("allocs").WriteTo(&allocs, 0); err != nil {
		return fmt.Errorf("write the profile %s.allocs: %w", m.profile, err)
	}
	return errors.Join(os.WriteFile(m.profile+".cpu", m.samples.Bytes(), 0o644), os.WriteFile(m.profile+".allocs", allocs.Bytes(), 0o644))
}

func mallocs() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.Mallocs
}

// own is a party of LiveDB's.
func own(name string, command Command) Party {
	p := Party{Name: name, Drain: func(ctx context.Context, t Task) (Figures, error) { return runChild(ctx, command(name), t) }}
	if name != partNothing {
		p.Kafka, p.Verify = true, verify
	}
	return p
}

// runChild gives a child its task and waits for its figures. When the context ends the child is killed.
func runChild(ctx context.Context, cmd *exec.Cmd, t Task) (Figures, error) {
	f := unknown()
	task, err := json.Marshal(t)
	if err != nil {
		return f, err
	}
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(task), &out, os.Stderr
	if err := fork(cmd); err != nil {
		return f, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if err := await(ctx, cmd); err != nil {
		return f, err
	}
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		return f, fmt.Errorf("read the figures of %s: %w", cmd.Path, err)
	}
	return f, nil
}

// await waits for a command that was started, and kills it when the context ends.
func await(ctx context.Context, cmd *exec.Cmd) error {
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // fails if it has ended, which is what is wanted
	defer stop()
	err := cmd.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("%s ended with %s; what it said stands above", cmd.Path, exit)
	}
	return err
}
