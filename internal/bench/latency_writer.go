package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Where the writer writes: a table as the view orders reads it.
const (
	latencySchema      = "livedb_latency"
	latencyTable       = latencySchema + ".orders"
	createLatencyTable = `CREATE TABLE ` + latencyTable + ` (id bigserial PRIMARY KEY, customer int, status text, total numeric(10,2),
	payload jsonb, created_at timestamptz DEFAULT clock_timestamp())`
	insertLatencyRow = `INSERT INTO ` + latencyTable + ` (customer, status, total, payload) VALUES ($1, $2, $3, '` + document + `')`
)

const (
	writerTick  = time.Millisecond
	writerBatch = 256 // statements sent before their answers are read
)

// latencyWriter commits one-row transactions on an open schedule: transaction n is due at begin + n/rate, whatever became
// of those before it. Each tick every connection sends what is due of its share, each statement followed by a sync message
// of its own, which makes it a transaction of its own, and then reads the answers.
type latencyWriter struct {
	conns   []*pgx.Conn
	rate    int
	total   int       // transactions
	begin   time.Time // of the schedule
	measure time.Time // of the part that is measured

	written atomic.Int64
	mu      sync.Mutex
	lag     *hdrhistogram.Histogram // from due to sent, of the measured part
}

// openWriter connects and prepares.
func openWriter(ctx context.Context, url string, connections int) (*latencyWriter, error) {
	w := &latencyWriter{lag: newLatencies()}
	for range connections {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("connect the writer: %w", err)
		}
		w.conns = append(w.conns, conn)
		if _, err := conn.Prepare(ctx, "insert", insertLatencyRow); err != nil {
			w.close()
			return nil, fmt.Errorf("prepare the writer: %w", err)
		}
	}
	return w, nil
}

func (w *latencyWriter) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, conn := range w.conns {
		conn.Close(ctx) // what it wrote was answered
	}
}

// run writes the whole schedule.
func (w *latencyWriter) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var writing sync.WaitGroup
	for i, conn := range w.conns {
		writing.Go(func() {
			if err := w.share(ctx, conn, i); err != nil {
				cancel(fmt.Errorf("write at %d transactions per second: %w", w.rate, err))
			}
		})
	}
	writing.Wait()
	return context.Cause(ctx)
}

// due is when a transaction should be sent.
func (w *latencyWriter) due(n int) time.Time {
	return w.begin.Add(time.Duration(float64(n) / float64(w.rate) * float64(time.Second)))
}

// share writes every transaction whose number leaves the connection's as its rest.
func (w *latencyWriter) share(ctx context.Context, conn *pgx.Conn, number int) error {
	pipeline := conn.PgConn().StartPipeline(ctx)
	lag := newLatencies()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lag.Merge(lag)
	}()
	for n := number; n < w.total; {
		if err := sleepUntil(ctx, w.due(n).Truncate(writerTick).Add(writerTick)); err != nil {
			return err
		}
		sent, now := 0, time.Now()
		for ; n < w.total && sent < writerBatch; n += len(w.conns) {
			due := w.due(n)
			if due.After(now) {
				break
			}
			if due.After(w.measure) {
				record(lag, now.Sub(due))
			}
			sendRow(pipeline, n)
			sent++
		}
		if err := receiveRows(pipeline, sent); err != nil {
			return err
		}
		w.written.Add(int64(sent))
	}
	return pipeline.Close()
}

var latencyStates = []string{"new", "paid", "packed", "shipped"}

// sendRow queues one transaction.
func sendRow(p *pgconn.Pipeline, n int) {
	total := strconv.AppendInt(nil, int64(n%10_000), 10)
	p.SendQueryPrepared("insert", [][]byte{strconv.AppendInt(nil, int64(n%1000), 10), []byte(latencyStates[n%len(latencyStates)]), total}, nil, nil)
	p.SendPipelineSync()
}

// receiveRows sends what is queued and reads its answers.
func receiveRows(p *pgconn.Pipeline, sent int) error {
	if err := p.Flush(); err != nil {
		return err
	}
	for synced := 0; synced < sent; {
		result, err := p.GetResults()
		if err != nil {
			return err
		}
		switch r := result.(type) {
		case *pgconn.ResultReader:
			if _, err := r.Close(); err != nil {
				return err
			}
		case *pgconn.PipelineSync:
			synced++
		}
	}
	return nil
}

// sleepUntil waits; its error is that of ctx.
func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}
