//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package debezium

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
)

// Connect is a running Kafka Connect. There is none on this system: Start gives an error.
type Connect struct{}

var errSystem = errors.New("debezium does not run on " + runtime.GOOS + " from here; run livedb in WSL or a container")

// Start refuses: on this system nothing here could make sure that the process ends with its parent.
func Start(context.Context, Config) (*Connect, error) { return nil, errSystem }

// Fetch refuses, as Start does.
func Fetch(context.Context, *slog.Logger) error { return errSystem }

// PID is that of the process.
func (c *Connect) PID() int { return 0 }

// Log is the end of what it wrote.
func (c *Connect) Log() string { return "" }

// Done is closed when the process is gone.
func (c *Connect) Done() <-chan struct{} { return nil }

// Err says how the process ended.
func (c *Connect) Err() error { return errSystem }

// Close ends the process.
func (c *Connect) Close() error { return errSystem }
