// Package metrics names every Prometheus metric of LiveDB and holds them by role. Units are base units (seconds,
// bytes); labels take few values: a table yes, a key or an LSN never.
package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NewRegistry returns a registry with the Go, process and build collectors.
func NewRegistry(version, revision string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	promauto.With(r).NewGaugeVec(prometheus.GaugeOpts{Name: "livedb_build_info", Help: "Always 1; the labels tell the build."},
		[]string{"version", "revision", "goversion"}).WithLabelValues(version, revision, runtime.Version()).Set(1)
	return r
}

// Handler serves a registry.
func Handler(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{Registry: r, EnableOpenMetrics: true, CoalesceGather: true})
}

func latency(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: name, Help: help,
		Buckets:                        []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		NativeHistogramBucketFactor:    1.1,
		NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}
}

// Stages of livedb_end_to_end_latency_seconds, each measured from the commit in Postgres.
const (
	StageCommitted = "committed" // its Kafka transaction committed
	StageProcessed = "processed" // in the processor's committed results
	StageRead      = "read"      // seen by a read_committed reader: the dashboard's
)

// EndToEnd is the latency from commit to a stage. Roles of one process share it.
func EndToEnd(r prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(latency("livedb_end_to_end_latency_seconds", "Time from the commit in Postgres to a stage, by both machines' clocks."), []string{"stage"})
	if err := r.Register(h); err != nil {
		if already, ok := err.(prometheus.AlreadyRegisteredError); ok {
			return already.ExistingCollector.(*prometheus.HistogramVec)
		}
		panic(err)
	}
	return h
}

// Burst holds the burst writer's metrics.
type Burst struct {
	Rows         *prometheus.CounterVec // table, op
	Transactions *prometheus.CounterVec // outcome: commit, rollback, unknown
	OfferedRows  prometheus.Counter
}

// NewBurst registers the burst writer's metrics.
func NewBurst(r prometheus.Registerer) *Burst {
	f := promauto.With(r)
	return &Burst{
		Rows:         f.NewCounterVec(prometheus.CounterOpts{Name: "livedb_burst_rows_total", Help: "Rows whose transaction committed."}, []string{"table", "op"}),
		Transactions: f.NewCounterVec(prometheus.CounterOpts{Name: "livedb_burst_transactions_total", Help: "Transactions by outcome."}, []string{"outcome"}),
		OfferedRows:  f.NewCounter(prometheus.CounterOpts{Name: "livedb_burst_offered_rows_total", Help: "Rows that the rate asked for."}),
	}
}

// WALStatuses are the values of pg_replication_slots.wal_status.
var WALStatuses = []string{"reserved", "extended", "unreserved", "lost"}

// CDC holds the metrics of the replication reader and the producer.
type CDC struct {
	Events         *prometheus.CounterVec // schema, table, op
	Transactions   prometheus.Counter
	WALBytes       prometheus.Counter
	SocketReads    prometheus.Counter
	SocketBytes    prometheus.Counter
	LastCommit     prometheus.Gauge
	CommitLag      prometheus.Gauge
	Reconnects     *prometheus.CounterVec // reason
	UnchangedTOAST *prometheus.CounterVec // table
	SchemaChanges  *prometheus.CounterVec // table
	Stray          prometheus.Counter
	HeartbeatAge   prometheus.Gauge
	Gaps           prometheus.Counter

	SlotActive, SlotLag, SlotRetained, SlotConfirmed, SlotRestart *prometheus.GaugeVec // slot
	WALCurrent                                                    prometheus.Gauge

	SlotSafe, SlotRunway, SlotInactive, SlotSnapshotFiles *prometheus.GaugeVec   // slot; a series is missing where nothing limits the slot
	SlotStatus                                            *prometheus.GaugeVec   // slot, status: WALStatuses
	SlotSpilledTransactions, SlotSpilledBytes             *prometheus.CounterVec // slot
	SnapshotFilesLimit                                    prometheus.Gauge
	WALRate                                               prometheus.Gauge

	WindowSeconds, WindowBytes, WindowStep prometheus.Gauge
	WindowSteps                            *prometheus.CounterVec // step

	Records             *prometheus.CounterVec // topic
	RecordBytes         prometheus.Counter
	KafkaTransactions   *prometheus.CounterVec // outcome: commit, abort, fenced, unknown
	TransactionDuration prometheus.Histogram
	Latency             *prometheus.HistogramVec // stage
}

// NewCDC registers the metrics of the replication reader and the producer.
func NewCDC(r prometheus.Registerer) *CDC {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	slot := func(name, help string) *prometheus.GaugeVec {
		return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"slot"})
	}
	return &CDC{
		Events:         counters("livedb_cdc_events_total", "Events committed to Kafka.", "schema", "table", "op"),
		Transactions:   counter("livedb_cdc_transactions_total", "Postgres transactions committed to Kafka whole."),
		WALBytes:       counter("livedb_cdc_wal_bytes_total", "Bytes of decoded messages received from the walsender."),
		SocketReads:    counter("livedb_cdc_socket_reads_total", "Reads of the replication connection's socket."),
		SocketBytes:    counter("livedb_cdc_socket_read_bytes_total", "Bytes that they brought; by the number of reads, how well a busy stream is gathered."),
		LastCommit:     gauge("livedb_cdc_last_commit_timestamp_seconds", "Commit time of the last transaction committed to Kafka."),
		CommitLag:      gauge("livedb_cdc_commit_lag_seconds", "From commit in Postgres to commit in Kafka, of the last transaction."),
		Reconnects:     counters("livedb_cdc_reconnects_total", "Starts of the stream after the first, by reason.", "reason"),
		UnchangedTOAST: counters("livedb_cdc_unchanged_toast_values_total", "Values written as the unavailable placeholder.", "table"),
		SchemaChanges:  counters("livedb_cdc_schema_changes_total", "New descriptions of a known table.", "table"),
		Stray:          counter("livedb_cdc_stray_messages_total", "Stream aborts that arrived unasked; they carry no data."),
		Gaps:           counter("livedb_cdc_gaps_total", "Epochs begun after changes were lost, each with its gap certificate."),
		HeartbeatAge:   gauge("livedb_cdc_heartbeat_age_seconds", "Since the source was last heard."),

		SlotActive:    slot("livedb_slot_active", "1 while a walsender serves the slot."),
		SlotLag:       slot("livedb_slot_lag_bytes", "WAL written but not confirmed by the slot."),
		SlotRetained:  slot("livedb_slot_retained_wal_bytes", "WAL kept back for the slot."),
		SlotConfirmed: slot("livedb_slot_confirmed_flush_lsn", "The slot's confirmed_flush_lsn as a number."),
		SlotRestart:   slot("livedb_slot_restart_lsn", "The slot's restart_lsn as a number."),
		WALCurrent:    gauge("livedb_wal_current_lsn", "The source's current WAL position as a number."),

		SlotSafe:          slot("livedb_slot_safe_wal_bytes", "WAL that may be written before the slot may lose some, by max_slot_wal_keep_size."),
		SlotRunway:        slot("livedb_slot_runway_seconds", "How long the slot would live if it stood still, at the present write rate."),
		SlotInactive:      slot("livedb_slot_inactive_since_timestamp_seconds", "When the slot was last in use; only while it is not, and from Postgres 17 on."),
		SlotSnapshotFiles: slot("livedb_slot_snapshot_files", "Snapshot files newer than the slot, where Neon removes a slot for too many."),
		SlotStatus: f.NewGaugeVec(prometheus.GaugeOpts{Name: "livedb_slot_wal_status", Help: "1 at the wal_status that the slot has."},
			[]string{"slot", "status"}),
		SlotSpilledTransactions: counters("livedb_slot_spill_transactions_total", "Transactions that the walsender spilled to disk to decode them.", "slot"),
		SlotSpilledBytes:        counters("livedb_slot_spill_bytes_total", "Bytes that it spilled.", "slot"),
		SnapshotFilesLimit:      gauge("livedb_slot_snapshot_files_limit", "So many, and Neon removes the slot; 0 elsewhere."),
		WALRate:                 gauge("livedb_wal_bytes_per_second", "How fast the source writes WAL: a mean of about a minute."),

		WindowSeconds: gauge("livedb_replay_window_seconds", "How far back the replay slot reaches, in time, as far as it is known."),
		WindowBytes:   gauge("livedb_replay_window_bytes", "How far back the replay slot reaches, in WAL; 0 without one."),
		WindowStep:    gauge("livedb_replay_window_step", "What the guard of the source's disk leaves of the replay window: 0 all, 1 half, 2 a quarter, 3 the last commit, 4 no slot."),
		WindowSteps:   counters("livedb_replay_window_steps_total", "Steps of the guard, by the one that it went to.", "step"),

		Records:             counters("livedb_kafka_records_total", "Records committed.", "topic"),
		RecordBytes:         counter("livedb_kafka_record_bytes_total", "Bytes of keys and values committed, before compression."),
		KafkaTransactions:   counters("livedb_kafka_transactions_total", "Kafka transactions of the producer by outcome.", "outcome"),
		TransactionDuration: f.NewHistogram(latency("livedb_kafka_transaction_duration_seconds", "From begin to commit of a Kafka transaction.")),
		Latency:             EndToEnd(r),
	}
}

// Processor holds the processor's metrics.
type Processor struct {
	Records   *prometheus.CounterVec // topic
	Lag       prometheus.Gauge
	Watermark prometheus.Gauge
	Late      prometheus.Counter
	Windows   prometheus.Gauge
	StateKeys prometheus.Gauge
	Latency   *prometheus.HistogramVec // stage
}

// NewProcessor registers the processor's metrics.
func NewProcessor(r prometheus.Registerer) *Processor {
	f := promauto.With(r)
	return &Processor{
		Records:   f.NewCounterVec(prometheus.CounterOpts{Name: "livedb_processor_records_total", Help: "Events read in commit order."}, []string{"topic"}),
		Lag:       f.NewGauge(prometheus.GaugeOpts{Name: "livedb_processor_commit_lag_seconds", Help: "From commit in Postgres to the processor's committed results, of the last transaction."}),
		Watermark: f.NewGauge(prometheus.GaugeOpts{Name: "livedb_processor_watermark_timestamp_seconds", Help: "Greatest event time seen."}),
		Late:      f.NewCounter(prometheus.CounterOpts{Name: "livedb_processor_late_records_total", Help: "Changes of groups that retention had dropped."}),
		Windows:   f.NewGauge(prometheus.GaugeOpts{Name: "livedb_processor_open_windows", Help: "Groups held."}),
		StateKeys: f.NewGauge(prometheus.GaugeOpts{Name: "livedb_processor_state_keys", Help: "Keys of the state topic that hold a value."}),
		Latency:   EndToEnd(r),
	}
}

// Replay holds the metrics of replays.
type Replay struct {
	Active   prometheus.Gauge
	Records  prometheus.Counter
	Progress prometheus.Gauge
}

// NewReplay registers the metrics of replays.
func NewReplay(r prometheus.Registerer) *Replay {
	f := promauto.With(r)
	return &Replay{
		Active:   f.NewGauge(prometheus.GaugeOpts{Name: "livedb_replay_active", Help: "Replays that run."}),
		Records:  f.NewCounter(prometheus.CounterOpts{Name: "livedb_replay_records_total", Help: "Records that replays have written."}),
		Progress: f.NewGauge(prometheus.GaugeOpts{Name: "livedb_replay_progress_ratio", Help: "How much of its events the replay has written, from 0 to 1."}),
	}
}

// UI holds the dashboard's metrics.
type UI struct {
	Clients  prometheus.Gauge
	Dropped  prometheus.Counter
	Requests *prometheus.HistogramVec // route, method, code
	Latency  *prometheus.HistogramVec // stage
}

// NewUI registers the dashboard's metrics.
func NewUI(r prometheus.Registerer) *UI {
	f := promauto.With(r)
	return &UI{
		Clients:  f.NewGauge(prometheus.GaugeOpts{Name: "livedb_ui_clients", Help: "Open event streams."}),
		Dropped:  f.NewCounter(prometheus.CounterOpts{Name: "livedb_ui_dropped_events_total", Help: "Events not sent to a page because it was slow or the rate was above what a page shows."}),
		Requests: f.NewHistogramVec(latency("livedb_http_request_duration_seconds", "HTTP requests."), []string{"route", "method", "code"}),
		Latency:  EndToEnd(r),
	}
}

// Audit holds the metrics of an audit that follows a stream.
type Audit struct {
	Checked    prometheus.Counter
	Violations *prometheus.CounterVec // kind: audit.Kinds
	Verified   prometheus.Gauge
}

// NewAudit registers the metrics of an audit that follows a stream.
func NewAudit(r prometheus.Registerer) *Audit {
	f := promauto.With(r)
	return &Audit{
		Checked:    f.NewCounter(prometheus.CounterOpts{Name: "livedb_audit_checked_total", Help: "Events judged."}),
		Violations: f.NewCounterVec(prometheus.CounterOpts{Name: "livedb_audit_violations_total", Help: "Faults found, by kind."}, []string{"kind"}),
		Verified:   f.NewGauge(prometheus.GaugeOpts{Name: "livedb_audit_verified_lsn", Help: "Commit LSN up to which no fault was found, as a number; it stands still after the first."}),
	}
}
