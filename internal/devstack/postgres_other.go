//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package devstack

import (
	"context"
	"errors"
	"runtime"
)

// Postgres is a running embedded server. There is none on this system: StartPostgres gives an error.
type Postgres struct{}

// StartPostgres refuses: on this system nothing here could make sure that the server ends with its parent.
func StartPostgres(context.Context, PostgresConfig) (*Postgres, error) {
	return nil, errors.New("the embedded Postgres does not run on " + runtime.GOOS +
		"; use --source with a server of your own, or run livedb in WSL or a container")
}

// URL connects as the superuser to the database postgres.
func (p *Postgres) URL() string { return "" }

// Port is where the server listens.
func (p *Postgres) Port() int { return 0 }

// DataDir is the server's data folder.
func (p *Postgres) DataDir() string { return "" }

// PID is the postmaster's.
func (p *Postgres) PID() int { return 0 }

// Version is the server's.
func (p *Postgres) Version() string { return "" }

// LastLog is the end of the server's own log.
func (p *Postgres) LastLog() string { return "" }

// Done is closed when the server has ended.
func (p *Postgres) Done() <-chan struct{} { return nil }

// Err says why the server ended.
func (p *Postgres) Err() error { return nil }

// Stop shuts the server down.
func (p *Postgres) Stop(context.Context) error { return nil }

// Restart stops the server and starts it again.
func (p *Postgres) Restart(context.Context, StopMode, ...func() error) error { return nil }

func postgresURL(int, string) string { return "" }
