package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	maxSegmentBytes = 16 << 20
	minSegmentBytes = 64 << 10

	never = 365 * 24 * time.Hour
)

// KafkaConfig says how to run the embedded Kafka. Its zero value is fit for use.
type KafkaConfig struct {
	Port           int          // 0 means a free one
	RetentionBytes int64        // of each partition, where its topic does not say otherwise; 0 means all is kept
	SegmentBytes   int64        // memory is given back by the segment; 0 means an eighth of the retention
	Dir            string       // for tests: where all is written too, and found again by a later start; "" means nowhere. See Kafka
	Log            *slog.Logger // nil means none
}

// Kafka is a running embedded Kafka: one kfake broker on the loopback interface, all in memory. Topics are not created by
// themselves.
//
// A partition takes up to about twice its retention and one segment of memory, for kfake grows its buffers by doubling.
// Two things always grow, slowly: a compacted partition keeps a marker of about 200 bytes of every transaction that wrote
// to it, which kfake's compaction does not remove; and a producer id without a transactional id is never forgotten.
//
// What is written to KafkaConfig.Dir survives a Close, not a kill: kfake (v0.0.0-20260918) then forgets to end a transaction
// that was open, commits one by halves, or takes uncommitted records for committed ones. No product of ours sets it. Who
// would, needs tests of these three first.
type Kafka struct {
	cluster *kfake.Cluster
	brokers []string
	stop    context.CancelFunc
	tidying sync.WaitGroup
}

// StartKafka returns when the broker accepts connections. It lives until Close.
func StartKafka(cfg KafkaConfig) (*Kafka, error) {
	log := orDiscard(cfg.Log)
	options := []kfake.Opt{kfake.Ports(cfg.Port), kfake.WithLogger(kafkaLog{log}), kfake.BrokerConfigs(brokerConfigs(cfg))}
	if cfg.Dir != "" {
		options = append(options, kfake.DataDir(cfg.Dir))
	}
	cluster, err := kfake.NewCluster(options...)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d of 127.0.0.1 is in use, so the embedded Kafka cannot listen there; "+
			"choose another port or stop who has it", cfg.Port)
	}
	if err != nil {
		return nil, fmt.Errorf("the embedded Kafka cannot listen on port %d of 127.0.0.1: %w; choose another port", cfg.Port, err)
	}

	// The addresses are asked for once: kfake never answers this question after its end.
	k := &Kafka{cluster: cluster, brokers: cluster.ListenAddrs()}
	ctx, stop := context.WithCancel(context.Background())
	k.stop = stop
	tidy := newJanitor(cluster, k.brokers[0], log)
	k.tidying.Go(func() { tidy.run(ctx) })
	log.Info("kafka started", "brokers", k.brokers, "retention_bytes", cfg.RetentionBytes)
	return k, nil
}

// brokerConfigs are the defaults of all topics. Time never expires anything: kfake, unlike Kafka, would apply it to
// compacted topics too. The same holds for bytes, so a compacted topic must say retention.bytes=-1 itself.
func brokerConfigs(cfg KafkaConfig) map[string]string {
	retention, segment := cfg.RetentionBytes, cfg.SegmentBytes
	if retention <= 0 {
		retention = -1
	}
	if segment <= 0 {
		segment = maxSegmentBytes
		if retention > 0 {
			segment = min(max(retention/8, minSegmentBytes), maxSegmentBytes)
		}
	}
	return map[string]string{
		"log.retention.bytes": strconv.FormatInt(retention, 10),
		"log.retention.ms":    "-1",
		"log.segment.bytes":   strconv.FormatInt(segment, 10),
		// The janitor does its work instead.
		"log.cleaner.backoff.ms": strconv.FormatInt(never.Milliseconds(), 10),
	}
}

// Brokers are the addresses to connect to.
func (k *Kafka) Brokers() []string { return slices.Clone(k.brokers) }

// Cluster is the broker itself, to script its faults in tests. It must be closed through Close only: after its end most of
// its methods block for ever.
func (k *Kafka) Cluster() *kfake.Cluster { return k.cluster }

// Close ends the broker and all connections to it. Further calls do nothing.
func (k *Kafka) Close() {
	k.stop()
	k.tidying.Wait()
	k.cluster.Close()
}

// kafkaLog hands kfake's log on, one level lower: what worries a broker is news to us at most.
type kafkaLog struct{ log *slog.Logger }

func (l kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelWarn
	case kfake.LogLevelWarn:
		to = slog.LevelInfo
	}
	if l.log.Enabled(context.Background(), to) {
		l.log.Log(context.Background(), to, "kafka: "+fmt.Sprintf(format, args...))
	}
}
