package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/burst"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/processor"
)

// demoWindow is short: nobody replays a demo, and it may run on the user's own disk.
var demoWindow = capture.Window{Time: 10 * time.Minute, Bytes: 64 << 20}

// stream runs the roles and the proof until the burst writer's time is over or the user has had enough.
func (c *demoCommand) stream(i *invocation, s *stack, listener net.Listener, log *slog.Logger) (*summary, error) {
	// The roles end when the proof is done, not when the user interrupts: the last events must still get through.
	roles, end := context.WithCancel(context.WithoutCancel(i.ctx))
	defer end()
	h := newHost(roles, log)
	h.checks = c.Source != ""
	k := kafkaFlags{Kafka: s.brokers, Prefix: s.prefix, kafkaAccess: s.access}
	if err := h.runCDC(k, topicFlags{Partitions: c.Partitions, Linger: c.Linger}, s.source, s.retain, func(r *capture.Config) { r.Window = demoWindow }); err != nil {
		return nil, err
	}
	h.publish(k.config("demo"), s.prefix)
	h.runProcess(k, transactionFlags{}, demoName, s.results)
	h.runUI(k, c.uiFlags, listener)

	var result *summary
	h.group.Go(func() (err error) {
		result, err = c.prove(i, h, k, s)
		end()
		return err
	})
	if err := h.wait(); err != nil && !errors.Is(err, context.Canceled) {
		return nil, err
	}
	return result, nil
}

// prove runs the burst writer beside a reader, and compares what the source's ledger says with what the reader saw.
func (c *demoCommand) prove(i *invocation, h *host, k kafkaFlags, s *stack) (*summary, error) {
	client, err := kafka.Connect(h.ctx, k.config("proof"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	reader, err := processor.OpenReader(h.ctx, processor.ReaderConfig{Client: client, Prefix: k.Prefix})
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	p := &proof{reader: reader, verifier: ledger.NewVerifier(ledger.Config{Schema: demoName}), latency: hdrhistogram.New(1, 10*60*1e6, 3)}

	select {
	case <-h.board.Role("cdc").Healthy(): // the slot exists: whatever is written from now on is in the stream
	case <-i.ctx.Done():
	case <-h.ctx.Done():
	}
	writing, stopWriting := context.WithCancel(h.ctx)
	defer stopWriting()
	defer context.AfterFunc(i.ctx, stopWriting)() // Ctrl-C stops the writer first
	began := time.Now()
	var result burst.Result
	written := make(chan struct{})
	go func() {
		defer close(written)
		result, err = burst.Run(writing, h.burst(c.burstFlags.config(s.source.URL, demoName)))
	}()
	followErr := p.follow(h.ctx, written)
	stopWriting()
	<-written
	if err := cmp.Or(followErr, err); err != nil {
		return nil, err
	}
	elapsed := time.Since(began)
	limit := catchUpLimit
	if i.ctx.Err() != nil {
		limit = interruptLimit
	}
	catchUp, cancel := context.WithTimeout(h.ctx, limit)
	defer cancel()
	report, err := p.finish(catchUp, s.source.URL, result.Writers, i.ctx.Err() != nil)
	if err != nil {
		return nil, err
	}
	return newSummary(result, report, p, elapsed), nil
}

// proof feeds the verifier with the stream in commit order.
type proof struct {
	reader   *processor.Reader
	verifier *ledger.Verifier
	latency  *hdrhistogram.Histogram // commit to here, microseconds
}

// follow reads until the writer has ended.
func (p *proof) follow(ctx context.Context, written <-chan struct{}) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-written:
			stop()
		case <-reading.Done():
		}
	}()
	for {
		err := p.step(reading)
		if reading.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// finish reads on until everything that the ledger holds was seen, or the context ends: what is missing then is counted.
// The ledger may hold writers of earlier runs: they were before this stream.
func (p *proof) finish(ctx context.Context, url string, writers []ledger.Writer, interrupted bool) (ledger.Report, error) {
	truth, err := burst.ReadTruth(context.WithoutCancel(ctx), url, demoName)
	if err != nil {
		return ledger.Report{}, err
	}
	maps.DeleteFunc(truth, func(id string, _ ledger.Writer) bool {
		return !slices.ContainsFunc(writers, func(w ledger.Writer) bool { return w.ID == id })
	})
	for !p.verifier.CaughtUp(truth) {
		if err := p.step(ctx); ctx.Err() != nil && interrupted {
			return p.verifier.Report(), nil // the user did not wait for the rest: nothing is known of it
		} else if ctx.Err() != nil {
			break
		} else if err != nil {
			return ledger.Report{}, err
		}
	}
	return p.verifier.Finish(truth), nil
}

func (p *proof) step(ctx context.Context) error {
	item, err := p.reader.Next(ctx)
	if errors.Is(err, processor.ErrUnavailable) {
		return nil // the reader goes on trying
	}
	if err != nil {
		return err
	}
	switch item.Kind {
	case processor.Begin:
		p.verifier.Begin(item.Tx.XID, item.Tx.Commit)
	case processor.Event:
		e, err := envelope.ParseEvent(item.Value)
		if err != nil {
			return fmt.Errorf("read the event %s: %w", item.Position, err)
		}
		return p.verifier.Event(e.Kind(), e.Source.Schema+"."+e.Source.Table, e.Before, e.After)
	case processor.End:
		p.verifier.End()
		return p.latency.RecordValue(max(1, min(time.Since(item.Tx.Time).Microseconds(), p.latency.HighestTrackableValue())))
	}
	return nil
}

// summary is what the demo prints at its end.
type summary struct {
	RowsWritten     int64    `json:"rows_written"` // of committed transactions, the ledger's rows included, by the writer's own count
	Transactions    int64    `json:"transactions"`
	Events          uint64   `json:"events"` // seen by the reader
	Missing         uint64   `json:"missing"`
	Duplicated      uint64   `json:"duplicated"`
	Disordered      uint64   `json:"disordered"`
	Altered         uint64   `json:"altered"`
	EventsPerSecond float64  `json:"events_per_second"`
	LatencyMS       latency  `json:"latency_ms"` // from commit in Postgres to a read_committed reader
	Seconds         float64  `json:"seconds"`
	Seed            uint64   `json:"seed"`
	Findings        []string `json:"findings,omitempty"`
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func newSummary(written burst.Result, r ledger.Report, p *proof, elapsed time.Duration) *summary {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	return &summary{RowsWritten: written.Rows, Transactions: written.Transactions, Seed: written.Seed,
		Events: r.Events, Missing: r.Missing, Duplicated: r.Duplicated, Disordered: r.Disordered, Altered: r.Altered, Findings: r.Findings,
		EventsPerSecond: float64(int(float64(r.Events)/elapsed.Seconds()*10)) / 10, Seconds: float64(elapsed.Milliseconds()) / 1000,
		LatencyMS: latency{P50: ms(p.latency.ValueAtQuantile(50)), P99: ms(p.latency.ValueAtQuantile(99)), Max: ms(p.latency.Max())}}
}

func (s *summary) String() string {
	text, _ := json.Marshal(s.LatencyMS) // plain numbers
	return fmt.Sprintf("%d rows in %d transactions over %.1f s; a reader saw %d events: %d missing, %d duplicated, %d disordered, %d altered; latency in ms %s",
		s.RowsWritten, s.Transactions, s.Seconds, s.Events, s.Missing, s.Duplicated, s.Disordered, s.Altered, text)
}

// errNotProven says that the reader did not see what was written.
var errNotProven = errors.New("the stream did not deliver what was written, exactly once and in order: see the counts and findings above")

func (s *summary) verdict() error {
	if s.Missing+s.Duplicated+s.Disordered+s.Altered > 0 {
		return errNotProven
	}
	return nil
}
