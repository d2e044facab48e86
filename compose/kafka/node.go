//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/devstack"
)

// node is broker and controller in one. It has one process after the other.
type node struct {
	id    int
	dir   string
	ports ports

	mu    sync.Mutex
	child *devstack.Child // the last one; nil before the first
}

// dataFolder is within the folder of a node.
const dataFolder = "data"

func nodeFolder(id int) string { return "node-" + strconv.Itoa(id) }

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }
func (n *node) dataDir() string         { return n.file(dataFolder) }

// javaFlags come before the class to run. Memory is scarce and the time to start counts more than the speed.
func (c *Cluster) javaFlags(n *node) []string {
	return []string{
		"-Xms64m", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:-UsePerfData",
		"-XX:+ExitOnOutOfMemoryError", "-Djava.io.tmpdir=" + n.file("tmp"),
		"-Dlog4j2.configurationFile=" + n.file("log4j2.properties"),
		"-cp", filepath.Join(c.jars, "*"),
	}
}

// launch starts the node's process and does not wait for it.
func (c *Cluster) launch(n *node) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child != nil && !ended(n.child) {
		return fmt.Errorf("node %d runs already, with pid %d", n.id, n.child.PID())
	}
	cmd := exec.Command(c.java, append(c.javaFlags(n), "kafka.Kafka", n.file("server.properties"))...)
	cmd.Dir = n.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.dir, "LC_ALL=C"}
	child, err := devstack.StartChild(cmd)
	if err != nil {
		return fmt.Errorf("node %d of kafka: %w", n.id, err)
	}
	n.child = child
	return nil
}

func ended(child *devstack.Child) bool {
	select {
	case <-child.Done():
		return true
	default:
		return false
	}
}

// process gives the running process of the node.
func (n *node) process() (*devstack.Child, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.child == nil || ended(n.child) {
		return nil, fmt.Errorf("node %d of kafka does not run: start it first", n.id)
	}
	return n.child, nil
}

// await asks the node until check holds for its answer, or it ends.
func (n *node) await(ctx context.Context, check func(*sarama.Broker) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyLimit, fmt.Errorf("not ready within %s", readyLimit))
	defer cancel()
	child, err := n.process()
	if err != nil {
		return err
	}
	for {
		err := ask(address(n.ports.plain), check)
		if err == nil {
			return nil
		}
		select {
		case <-child.Done():
			return fmt.Errorf("node %d of kafka ended: %v; its last words:\n%s", n.id, child.Err(), child.Log())
		case <-ctx.Done():
			return fmt.Errorf("node %d of kafka is not ready (%v): %w; its last words:\n%s", n.id, err, context.Cause(ctx), child.Log())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func ask(addr string, check func(*sarama.Broker) error) error {
	s := sarama.NewConfig()
	s.ClientID = "livedb/start"
	s.Version = sarama.V3_0_0_0
	s.Net.DialTimeout, s.Net.ReadTimeout, s.Net.WriteTimeout = time.Second, 5*time.Second, 5*time.Second
	b := sarama.NewBroker(addr)
	if err := b.Open(s); err != nil {
		return err
	}
	defer b.Close()
	if _, err := b.Connected(); err != nil {
		return err
	}
	return check(b)
}

// serves checks that a topic could be created on all nodes by way of this broker, so they are registered, a controller
// leads and this broker reaches it; and that the broker itself knows them all.
func serves(nodes int) func(*sarama.Broker) error {
	return func(b *sarama.Broker) error {
		created, err := b.CreateTopics(&sarama.CreateTopicsRequest{
			Version: 3, ValidateOnly: true, Timeout: 2 * time.Second,
			TopicDetails: map[string]*sarama.TopicDetail{"ready": {NumPartitions: 1, ReplicationFactor: int16(nodes)}},
		})
		if err != nil {
			return err
		}
		for _, e := range created.TopicErrors {
			if e.Err != sarama.ErrNoError {
				return e
			}
		}
		known, err := b.GetMetadata(&sarama.MetadataRequest{Version: 5, Topics: []string{}})
		if err == nil && len(known.Brokers) != nodes {
			err = fmt.Errorf("it knows %d of %d nodes", len(known.Brokers), nodes)
		}
		return err
	}
}

// inSync checks that the broker is registered and caught up in every partition that it holds a copy of. A partition whose
// leader is away does not count.
func inSync(id int) func(*sarama.Broker) error {
	return func(b *sarama.Broker) error {
		known, err := b.GetMetadata(&sarama.MetadataRequest{Version: 5})
		if err != nil {
			return err
		}
		registered := false
		for _, other := range known.Brokers {
			registered = registered || other.ID() == int32(id)
		}
		if !registered {
			return errors.New("it is not registered")
		}
		for _, t := range known.Topics {
			for _, p := range t.Partitions {
				if p.Leader >= 0 && contains(p.Replicas, id) && !contains(p.Isr, id) {
					return fmt.Errorf("it has not caught up in partition %d of topic %s", p.ID, t.Name)
				}
			}
		}
		return nil
	}
}

func contains(nodes []int32, id int) bool {
	for _, n := range nodes {
		if n == int32(id) {
			return true
		}
	}
	return false
}
