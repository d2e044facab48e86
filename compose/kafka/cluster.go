//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

//go:embed log4j2.properties
var log4j []byte

// Cluster is a running Kafka. Its nodes are numbered from 1. Its methods may be called by several goroutines, with one at a
// time for each node.
type Cluster struct {
	config     Config
	java, jars string
	folder     *folder
	nodes      []*node
	closing    sync.Once
	closed     error
}

// Start returns when every node is registered and each can have a topic created. ctx bounds the start alone: the cluster
// lives until Close. The first time ever, Maven fetches Kafka's jars (45 MB) into the user's cache.
func Start(ctx context.Context, config Config) (_ *Cluster, err error) {
	if config.Nodes == 0 {
		config.Nodes = 1
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if err := config.check(); err != nil {
		return nil, err
	}
	c := &Cluster{config: config}
	if c.java, c.jars, err = programs(ctx, config.Log); err != nil {
		return nil, err
	}
	if c.folder, err = openFolder(config.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = c.Close() // the first error tells more
		}
	}()
	began := time.Now()
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	for _, n := range c.nodes {
		if err := c.launch(n); err != nil {
			return nil, err
		}
	}
	for _, n := range c.nodes {
		if err := n.await(ctx, serves(len(c.nodes))); err != nil {
			return nil, err
		}
	}
	config.Log.Info("kafka started", "brokers", c.Brokers(), "took", time.Since(began), "folder", c.folder.path)
	return c, nil
}

// prepare finds ports, writes what the nodes read at their start, and formats their data folders.
func (c *Cluster) prepare(ctx context.Context) error {
	all, err := freePorts(c.config.Nodes, c.config.Security.protocol() != "")
	if err != nil {
		return err
	}
	for i, p := range all {
		n := &node{id: i + 1, dir: filepath.Join(c.folder.path, nodeFolder(i+1)), ports: p}
		for _, dir := range []string{n.dataDir(), n.file("tmp")} {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fmt.Errorf("no data folder for node %d of kafka: %w", n.id, err)
			}
		}
		settings := properties(c.config, n.id, all, n.dataDir())
		if err := os.WriteFile(n.file("server.properties"), []byte(settings), 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(n.file("log4j2.properties"), log4j, 0o644); err != nil {
			return err
		}
		c.nodes = append(c.nodes, n)
	}
	return c.format(ctx)
}

// freePorts draws ports below those that systems give to outgoing connections: a node that is down for a while must find
// its own again.
func freePorts(nodes int, secured bool) ([]ports, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	draw := func() (int, error) {
		var err error
		for range 100 {
			port := 15000 + rand.IntN(17000)
			var l net.Listener
			if l, err = net.Listen("tcp", address(port)); err == nil {
				held = append(held, l)
				return port, nil
			}
		}
		return 0, fmt.Errorf("no free port for kafka between 15000 and 32000 of 127.0.0.1: %w", err)
	}

	all := make([]ports, nodes)
	for i := range all {
		wanted := []*int{&all[i].plain, &all[i].controller}
		if secured {
			wanted = append(wanted, &all[i].secured)
		}
		for _, port := range wanted {
			var err error
			if *port, err = draw(); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// Brokers are the addresses for clients, that of node 1 first. They stay the same when a node is killed and started.
func (c *Cluster) Brokers() []string {
	brokers := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		brokers[i] = address(n.ports.client())
	}
	return brokers
}

func (c *Cluster) node(id int) (*node, error) {
	if id < 1 || id > len(c.nodes) {
		return nil, fmt.Errorf("there is no node %d of kafka: there are 1 to %d", id, len(c.nodes))
	}
	return c.nodes[id-1], nil
}

// PID is that of the node's process, 0 if it does not run.
func (c *Cluster) PID(id int) int {
	n, err := c.node(id)
	if err != nil {
		return 0
	}
	child, err := n.process()
	if err != nil {
		return 0
	}
	return child.PID()
}

// Log is the end of what the node's last process wrote, 64 KiB at most: warnings and errors.
func (c *Cluster) Log(id int) string {
	n, err := c.node(id)
	if err != nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child == nil {
		return ""
	}
	return n.child.Log()
}

// Kill ends the node with SIGKILL, also a paused one, and returns when its process is gone.
func (c *Cluster) Kill(id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	child, err := n.process()
	if err != nil {
		return err
	}
	child.Kill()
	return nil
}

// StartNode starts a node that was killed, and returns when it has caught up with the partitions whose leaders live. That
// needs a majority of the nodes: to start two of three that are down, call it for both at once.
func (c *Cluster) StartNode(ctx context.Context, id int) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	if err := c.launch(n); err != nil {
		return err
	}
	return n.await(ctx, inSync(id))
}

// Pause stops the node with SIGSTOP: its connections stay open and nothing answers, but for what it answers until the system
// has delivered the signal.
func (c *Cluster) Pause(id int) error { return c.signal(id, syscall.SIGSTOP) }

// Resume lets a paused node go on. It does not wait until the node is in sync again.
func (c *Cluster) Resume(id int) error { return c.signal(id, syscall.SIGCONT) }

func (c *Cluster) signal(id int, sig syscall.Signal) error {
	n, err := c.node(id)
	if err != nil {
		return err
	}
	child, err := n.process()
	if err != nil {
		return err
	}
	child.Signal(sig)
	return nil
}

// Close kills the nodes and removes the data, if its folder was a temporary one. Data that stays is as after a crash, which
// a later start recovers from. Further calls do nothing.
func (c *Cluster) Close() error {
	c.closing.Do(func() {
		for _, n := range c.nodes {
			if child, err := n.process(); err == nil {
				child.Kill()
			}
		}
		c.closed = c.folder.close()
	})
	return c.closed
}
