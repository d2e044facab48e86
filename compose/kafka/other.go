//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package kafka

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
)

// Cluster is a running Kafka. There is none on this system: Start gives an error.
type Cluster struct{}

var errSystem = errors.New("a Kafka of our own does not run on " + runtime.GOOS + "; use one that you start, or run livedb in WSL or a container")

// Start refuses: on this system nothing here could make sure that the nodes end with their parent.
func Start(context.Context, Config) (*Cluster, error) { return nil, errSystem }

// Fetch refuses, as Start does.
func Fetch(context.Context, *slog.Logger) error { return errSystem }

// Programs refuses, as Start does.
func Programs(context.Context, *slog.Logger, string, []byte) (java, jarFolder string, err error) {
	return "", "", errSystem
}

// Brokers are the addresses for clients.
func (c *Cluster) Brokers() []string { return nil }

// PID is that of the node's process.
func (c *Cluster) PID(int) int { return 0 }

// Log is the end of what the node wrote.
func (c *Cluster) Log(int) string { return "" }

// Kill ends the node.
func (c *Cluster) Kill(int) error { return errSystem }

// StartNode starts a node that was killed.
func (c *Cluster) StartNode(context.Context, int) error { return errSystem }

// Pause stops the node.
func (c *Cluster) Pause(int) error { return errSystem }

// Resume lets a paused node go on.
func (c *Cluster) Resume(int) error { return errSystem }

// Close ends the nodes.
func (c *Cluster) Close() error { return errSystem }
