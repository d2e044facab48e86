package devstack

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	tidyInterval  = time.Second
	tidyTries     = 10 // per interval, to find a moment without an open transaction
	tidyPause     = 5 * time.Millisecond
	minDirtyBytes = 1 << 20
)

// janitor applies retention and compaction, in place of kfake's own cleaner, for three reasons. That one does not run at
// all for retention set on the broker only; it compacts everything each time, however little is new, while nobody else is
// served; and it does not know of transactions: what an open one wrote supersedes what is committed, and if it is aborted
// then, both are gone. (Kafka compacts up to the last stable offset.)
type janitor struct {
	cluster *kfake.Cluster
	broker  string
	log     *slog.Logger

	mu     sync.Mutex
	topics map[string]bool // every topic a client asked to create: kfake cannot be asked for a list

	cleanBytes int64 // of all compacted topics, after the last compaction
}

func newJanitor(cluster *kfake.Cluster, broker string, log *slog.Logger) *janitor {
	j := &janitor{cluster: cluster, broker: broker, log: log, topics: map[string]bool{}}
	cluster.ControlKey(int16(kmsg.CreateTopics), func(request kmsg.Request) (kmsg.Response, error, bool) {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, topic := range request.(*kmsg.CreateTopicsRequest).Topics {
			j.topics[topic.Topic] = true
		}
		return nil, nil, false // kfake goes on to handle it
	})
	return j
}

func (j *janitor) run(ctx context.Context) {
	ticker := time.NewTicker(tidyInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		j.cluster.ApplyRetention()
		if _, err := j.compact(); err != nil {
			j.log.Debug("kafka: compaction failed, to be tried again", "error", err)
		}
	}
}

// compact compacts all compacted topics if they have doubled since the last time, so that its cost stays in proportion to
// what is written, and if no transaction is open on them.
func (j *janitor) compact() (done bool, err error) {
	topics := j.compactedTopics()
	if size, _ := j.survey(topics); size < 2*j.cleanBytes+minDirtyBytes {
		return false, nil
	}
	for range tidyTries {
		if done, err = j.compactNow(topics); done || err != nil {
			return done, err
		}
		time.Sleep(tidyPause)
	}
	return false, nil
}

// compactNow looks for open transactions and compacts, as one step: kfake handles no request while a control function runs,
// so it does both inside that of a request of its own. (A topic made since the topics were listed is compacted unlooked at,
// but then has nothing committed yet that could be lost.)
func (j *janitor) compactNow(topics []string) (done bool, err error) {
	cleaned := make(chan int64, 1)
	j.cluster.ControlKey(int16(kmsg.DescribeCluster), func(kmsg.Request) (kmsg.Response, error, bool) {
		defer close(cleaned)
		j.cluster.DropControl()
		if _, settled := j.survey(topics); settled {
			j.cluster.Compact()
			size, _ := j.survey(topics)
			cleaned <- size
		}
		return nil, nil, false
	})
	if err := j.request(kmsg.NewPtrDescribeClusterRequest()); err != nil {
		return false, err
	}
	size, done := <-cleaned
	if done {
		j.cleanBytes = size
	}
	return done, nil
}

// survey gives the size of the topics, and whether no transaction is open on them.
func (j *janitor) survey(topics []string) (bytes int64, settled bool) {
	settled = true
	for _, topic := range topics {
		for _, partition := range j.cluster.PartitionInfos(topic) {
			bytes += partition.NumBytes
			settled = settled && partition.LastStableOffset == partition.HighWatermark
		}
	}
	return bytes, settled
}

func (j *janitor) compactedTopics() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var compacted []string
	for topic := range j.topics {
		info := j.cluster.TopicInfo(topic)
		if info == nil {
			continue // not made yet, refused, or deleted
		}
		if policy := info.Configs["cleanup.policy"]; policy != nil && strings.Contains(*policy, "compact") {
			compacted = append(compacted, topic)
		}
	}
	return compacted
}

// request sends a request over a connection of its own and waits for the response, whatever it is.
func (j *janitor) request(request kmsg.Request) error {
	conn, err := net.DialTimeout("tcp", j.broker, tidyInterval)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID("livedb-janitor"))
	if _, err := conn.Write(formatter.AppendRequest(nil, request, 1)); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 4)) // its size, which comes only after it was handled
	return err
}
