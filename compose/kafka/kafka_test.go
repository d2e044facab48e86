//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package kafka_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	apachekafka "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/kafka"
)

const helperEnv = "LIVEDB_KAFKA_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		helper()
		return
	}
	os.Exit(m.Run())
}

// helper is the test binary run as another process: it starts a node, tells its pid and address, and waits to be killed.
func helper() {
	c, err := apachekafka.Start(context.Background(), apachekafka.Config{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.PID(1), c.Brokers()[0])
	select {}
}

// writer is a connection of LiveDB's with its transactional producer, and a topic to write to.
type writer struct {
	t      *testing.T
	config kafka.Config
	client sarama.Client
	topic  string
	*kafka.Producer
}

func newWriter(t *testing.T, c *apachekafka.Cluster) *writer {
	t.Helper()
	w := &writer{t: t, config: kafka.Config{Brokers: c.Brokers(), ClientID: "livedb/test"}, topic: "orders"}
	var err error
	if w.client, err = kafka.Connect(t.Context(), w.config); err != nil {
		t.Fatal(err)
	}
	if err := kafka.EnsureTopics(t.Context(), w.client, kafka.Topic{Name: w.topic, Partitions: 1, Compacted: true}); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(func() {
		if w.Producer != nil {
			w.Close()
		}
		_ = w.client.Close()
	})
	return w
}

// open opens a producer, as soon as the node that leads the partition of its id in __transaction_state lets it.
func (w *writer) open() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for {
		p, err := kafka.OpenProducer(ctx, w.config, "stream")
		if err == nil {
			w.Producer = p
			return
		}
		w.t.Logf("open the producer: %v", err)
		select {
		case <-ctx.Done():
			w.t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// reopen takes over from the producer, as a restarted LiveDB would.
func (w *writer) reopen() {
	w.t.Helper()
	w.Close()
	w.Producer = nil
	w.open()
}

func (w *writer) put(key string) {
	w.Send(&sarama.ProducerMessage{Topic: w.topic, Key: sarama.StringEncoder(key), Value: sarama.StringEncoder(key)})
}

// commit writes the key in a transaction, and again after each error, with a new producer.
func (w *writer) commit(key string) {
	w.t.Helper()
	for {
		err := w.Begin()
		if err == nil {
			w.put(key)
			err = w.Commit()
		}
		if err == nil {
			return
		}
		w.t.Logf("commit %s: %v", key, err)
		w.reopen()
	}
}

// holds compares the topic's keys with those wanted.
func (w *writer) holds(want ...string) {
	w.t.Helper()
	values, err := kafka.ReadCompacted(w.t.Context(), w.client, w.Producer, w.topic)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(values))); diff != "" {
		w.t.Error(diff)
	}
}

// A new node takes a transaction, and gives what was committed but not what was left open. Who left it, and goes on, hears that
// it was fenced.
func TestTransaction(t *testing.T) {
	t.Parallel()
	w := newWriter(t, apachekafka.TestCluster(t, apachekafka.Config{}))
	w.commit("committed")
	if err := w.Begin(); err != nil {
		t.Fatal(err)
	}
	w.put("open")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	fenced := w.Producer
	defer fenced.Close()
	w.open()
	fenced.Send(&sarama.ProducerMessage{Topic: w.topic, Value: sarama.StringEncoder("late")})
	if err := fenced.Flush(); !kafka.Fenced(err) {
		t.Errorf("the fenced producer says %v", err)
	}
	w.holds("committed")
}

// Two nodes of three take every acknowledged record on, whichever node is killed, and a node that comes back is in sync:
// else the next kill would leave one node, which takes nothing.
func TestKilledNode(t *testing.T) {
	t.Parallel()
	cluster := apachekafka.TestCluster(t, apachekafka.Config{Nodes: 3})
	w := newWriter(t, cluster)
	var want []string
	for node := 1; node <= 3; node++ {
		before, during := fmt.Sprint("before ", node), fmt.Sprint("during ", node)
		want = append(want, before, during)
		w.commit(before)
		if err := cluster.Kill(node); err != nil {
			t.Fatal(err)
		}
		if cluster.PID(node) != 0 {
			t.Errorf("node %d has a process after its death", node)
		}
		began := time.Now()
		w.commit(during)
		t.Logf("committed %s after node %d was killed", time.Since(began), node)
		began = time.Now()
		if err := cluster.StartNode(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		t.Logf("node %d was back after %s", node, time.Since(began))
	}
	w.holds(want...)
}

// A paused node is reached and answers nothing; a resumed one goes on where it was.
func TestPausedNode(t *testing.T) {
	t.Parallel()
	cluster := apachekafka.TestCluster(t, apachekafka.Config{})
	w := newWriter(t, cluster)
	w.commit("before")
	patience := sarama.NewConfig()
	patience.Net.ReadTimeout, patience.Metadata.Retry.Max = time.Second, 0

	if err := cluster.Pause(1); err != nil {
		t.Fatal(err)
	}
	var unanswered error
	for try := 0; try < 10 && unanswered == nil; try++ { // the signal takes effect once the system has let the process run again
		var client sarama.Client
		if client, unanswered = sarama.NewClient(cluster.Brokers(), patience); unanswered == nil {
			_ = client.Close()
		}
	}
	if unanswered == nil {
		t.Error("a paused node answers")
	}
	if err := cluster.Resume(1); err != nil {
		t.Fatal(err)
	}
	w.commit("after")
	w.holds("before", "after")
}

// A folder of the user's own outlives the cluster, and its data is there in the next one.
func TestFolderStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := apachekafka.TestCluster(t, apachekafka.Config{Dir: dir})
	newWriter(t, first).commit("kept")
	_, err := apachekafka.Start(t.Context(), apachekafka.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("two clusters in a folder: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = apachekafka.Start(t.Context(), apachekafka.Config{Dir: dir, Nodes: 3})
	if err == nil || !strings.Contains(err.Error(), "another number of nodes") {
		t.Errorf("three nodes in the folder of one: %v", err)
	}
	newWriter(t, apachekafka.TestCluster(t, apachekafka.Config{Dir: dir})).holds("kept")
}

// What Kafka would refuse at its start, or with a stack of exceptions, is refused in a sentence.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for says, c := range map[string]apachekafka.Config{
		"ask for 1 or 3":           {Nodes: 2},
		"without a keystore":       {Security: apachekafka.Security{Truststore: "ca.pem"}},
		`the Kafka user "a"`:       {Security: apachekafka.Security{Users: map[string]string{"a": "b c"}}},
		"a character that is none": {Security: apachekafka.Security{Users: map[string]string{`a"`: "b"}}},
	} {
		cluster, err := apachekafka.Start(t.Context(), c)
		if err == nil {
			_ = cluster.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %q in it", err, says)
		}
	}
}

// A parent that is killed takes its node along.
func TestNodeDiesWithParent(t *testing.T) {
	t.Parallel()
	apachekafka.Require(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helperEnv+"=1", "TMPDIR="+t.TempDir())
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = parent.Process.Kill()
		_ = parent.Wait()
	})
	var pid int
	var broker string
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &pid, &broker); err != nil {
		t.Fatal(err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for lives(pid) {
		select {
		case <-ctx.Done():
			t.Fatalf("the node with pid %d lives without its parent", pid)
		case <-time.After(10 * time.Millisecond): // it is not our child: nothing to wait on but its presence
		}
	}
}

// lives reports whether the process is there and no zombie: whoever inherits it may be slow to bury it.
func lives(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	out, err := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}
