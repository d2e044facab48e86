package bench

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// counter is the handler that does nothing but count.
type counter struct {
	task Task
	rows int
}

var errDrained = errors.New("drained")

func (c *counter) Begin(cdc.Transaction) error { return nil }

func (c *counter) Change(*cdc.Change) error { c.rows++; return nil }

func (c *counter) Truncate(cdc.LSN, []*cdc.Table) error { return nil }

func (c *counter) Commit(cdc.Transaction) error {
	if c.rows >= c.task.Rows {
		return errDrained
	}
	return nil
}

func (c *counter) Quiet(cdc.LSN, bool) error { return nil }

func (c *counter) Tick(time.Time) error { return nil }

// never is an alarm that does not ring while a drain may last.
var never = time.Now().Add(24 * time.Hour)

func (c *counter) Alarm() time.Time { return never }

func (c *counter) Full() <-chan struct{} { return nil }

func (c *counter) Durable() cdc.LSN { return c.task.Start }

// drainToNothing is LiveDB's own reader with nothing behind it.
func drainToNothing(ctx context.Context, t Task, m *meter, _ *slog.Logger) error {
	conn, err := postgres.Dial(ctx, t.source())
	if err != nil {
		return err
	}
	defer conn.Close()
	var reads, bytes int
	m.begin()
	s, err := conn.Start(ctx, cdc.EndLSN(t.Start), postgres.StreamOptions{Read: func(n int) { reads++; bytes += n }})
	if err != nil {
		return err
	}
	c := &counter{task: t}
	if err := s.Run(ctx, c); !errors.Is(err, errDrained) {
		return errors.Join(err, ctx.Err())
	}
	m.end(c.rows)
	m.BytesPerRead = float64(bytes) / float64(max(1, reads))
	return nil
}
