//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Postgres is a running embedded server. Its methods may be called from any goroutine.
type Postgres struct {
	binaries binaries
	account  account
	folder   *folder
	guard    *guard // nil where the kernel does its work
	guarded  bool
	port     int
	log      *slog.Logger

	server atomic.Pointer[server] // the one that runs, or ran last

	mu      sync.Mutex // held by Stop and Restart: one at a time
	stopped bool

	endOnce sync.Once
	done    chan struct{}
	err     error // set before done is closed
}

// StartPostgres makes a new, empty server and returns when it accepts connections. It lives until Stop, or until this
// process ends; ctx bounds the start only. Data folders that killed runs left behind are removed first.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (_ *Postgres, err error) {
	p := &Postgres{log: orDiscard(cfg.Log), guarded: cfg.guarded || !kernelGuards, done: make(chan struct{})}
	began := time.Now()
	if p.account, err = serverAccount(); err != nil {
		return nil, err
	}
	if p.binaries, err = findBinaries(ctx, cfg.BinDir, p.account, p.log); err != nil {
		return nil, err
	}
	parent, err := parentFolder(cfg.Dir, p.account)
	if err != nil {
		return nil, err
	}
	sweep(parent, p.account, p.log)
	if p.folder, err = newFolder(parent, p.account); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.guard.dismiss()
			err = errors.Join(err, p.folder.remove())
		}
	}()

	begin := func(ctx context.Context, settings map[string]string) error {
		return p.initdb(ctx, settings, cfg.Segment)
	}
	if cfg.StandbyOf != "" {
		begin = func(ctx context.Context, settings map[string]string) error {
			return p.copyStandby(ctx, cfg.StandbyOf, settings)
		}
	}
	if err := begin(ctx, cfg.Settings); err != nil {
		return nil, err
	}
	if p.guarded {
		if p.guard, err = startGuard(p.folder.data(), p.account); err != nil {
			return nil, err
		}
	}
	if err := p.startOnPort(ctx, cfg.Port); err != nil {
		return nil, err
	}
	p.log.Info("postgres started", "version", p.Version(), "url", p.URL(), "data", p.DataDir(), "pid", p.PID(),
		"user", p.account.name, "took", time.Since(began).Round(time.Millisecond))
	return p, nil
}

// URL connects as the superuser to the database postgres.
func (p *Postgres) URL() string { return postgresURL(p.port, "postgres") }

// Port is where the server listens, on 127.0.0.1. A Restart keeps it.
func (p *Postgres) Port() int { return p.port }

// DataDir is the server's data folder.
func (p *Postgres) DataDir() string { return p.folder.data() }

// PID is the postmaster's; each Restart gives a new one.
func (p *Postgres) PID() int { return p.server.Load().cmd.Process.Pid }

// Version is the server's, such as 17.6.
func (p *Postgres) Version() string { return p.binaries.version }

// LastLog is the end of the server's own log, 64 KiB at most, since its last start.
func (p *Postgres) LastLog() string { return p.server.Load().log.String() }

// Done is closed when the server has ended: after Stop, or because it died. A Restart does not close it unless it fails.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Err says why the server ended without being asked to: nil as long as it runs, and after Stop.
func (p *Postgres) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop shuts the server down and removes its data folder. Clients are disconnected at once, but a walsender that does not
// flush holds the shutdown up: when ctx ends it becomes an immediate one. Further calls do nothing.
func (p *Postgres) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return nil
	}
	p.stopped = true
	p.server.Load().stop(ctx, StopFast)
	p.end(nil)
	p.guard.dismiss()
	if err := p.folder.remove(); err != nil {
		return err
	}
	p.log.Info("postgres stopped")
	return nil
}

// Restart stops the server in the given way and starts it again on the same port and data. Its error is final: the server
// has then ended.
//
// What is to be done meanwhile, such as putting an older copy of the data folder in its place, runs while it is down.
func (p *Postgres) Restart(ctx context.Context, mode StopMode, meanwhile ...func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	running := p.server.Load()
	running.stop(ctx, mode)
	if running.died || p.ended() {
		return errors.New("postgres has ended and cannot be restarted; start a new one")
	}
	for _, do := range meanwhile {
		if err := do(); err != nil {
			p.end(err)
			return err
		}
	}

	// The children of a killed postmaster hold its shared memory until they notice, and until then a new one gives up.
	err := p.launch(ctx)
	for deadline := time.Now().Add(10 * time.Second); err != nil && mode == StopKill && ctx.Err() == nil && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
		err = p.launch(ctx)
	}
	if err != nil {
		err = fmt.Errorf("restart of postgres after a stop in mode %s: %w", mode, err)
		p.end(err)
	}
	return err
}

// launch runs a server on our port and watches it.
func (p *Postgres) launch(ctx context.Context) error {
	s, err := launch(ctx, p.binaries.dir, p.folder.data(), p.port, p.account, p.guarded)
	if err != nil {
		return err
	}
	p.server.Store(s)
	go func() {
		<-s.ended
		if s.died {
			p.end(fmt.Errorf("postgres ended by itself: %v%s", s.err, quoteLines(s.log.String())))
		}
	}()
	return nil
}

// startOnPort launches on the given port, or on a free one: another process may take that before Postgres does.
func (p *Postgres) startOnPort(ctx context.Context, port int) error {
	p.port = port
	for range 5 {
		if port == 0 {
			free, err := freePort()
			if err != nil {
				return err
			}
			p.port = free
		}
		err := p.launch(ctx)
		if !errors.Is(err, errPortTaken) {
			return err
		}
		if port != 0 {
			return fmt.Errorf("port %d of 127.0.0.1 is in use, so postgres cannot listen there; "+
				"choose another port or stop who has it", port)
		}
	}
	return errors.New("no free port for postgres: each of 5 was taken at once; name one")
}

func (p *Postgres) end(err error) {
	p.endOnce.Do(func() {
		p.err = err
		close(p.done)
	})
}

func (p *Postgres) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// parentFolder is where run folders are made: the one that was named or else the first temporary one that the server's
// account can enter.
func parentFolder(named string, as account) (string, error) {
	candidates := []string{os.TempDir(), "/tmp", "/var/tmp"}
	if named != "" {
		candidates = []string{named}
	}
	for _, candidate := range candidates {
		dir, err := filepath.Abs(candidate)
		if err != nil {
			return "", err
		}
		dir, err = filepath.EvalSymlinks(dir) // as the server will name its folder
		if err != nil && named != "" {
			return "", fmt.Errorf("no folder for the data of postgres: %w; name one that exists", err)
		}
		if err == nil && as.canEnter(dir) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("postgres, running as %s, cannot enter the folder %s; name one that every user may enter",
		as.name, cmp.Or(named, os.TempDir()))
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free port for postgres: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
