package ui

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/processor"
)

// readEvents reads the stream in commit order, from now on, until the context ends. When the reader fails it is opened
// anew at the newest transaction, and the page shows how many events lie between.
func readEvents(ctx context.Context, c Config, m *model) {
	keepTrying(ctx, func(ctx context.Context) error { return readOnce(ctx, c, m) }, func(err error) {
		m.setEvents(linkFailed, err.Error())
		c.Log.Warn("reading events failed", "error", err)
	})
}

func readOnce(ctx context.Context, c Config, m *model) error {
	client, err := kafka.Connect(ctx, c.Kafka)
	if err != nil {
		return err
	}
	defer client.Close()
	topic := envelope.Topics(c.Prefix).Transaction()
	err = awaitTopic(ctx, client, topic, func() {
		m.setEvents(linkWaiting, fmt.Sprintf("The topic %s does not exist yet: change data capture makes it when it starts.", topic))
	})
	if err != nil {
		return err
	}
	reader, err := processor.OpenReader(ctx, processor.ReaderConfig{Client: client, Prefix: c.Prefix, Start: processor.Now()})
	if err != nil {
		return fmt.Errorf("read the stream %s: %w", c.Prefix, err)
	}
	defer reader.Close()
	m.setEvents(linkReading, "")
	return readItems(ctx, c, m, reader)
}

func readItems(ctx context.Context, c Config, m *model, reader *processor.Reader) error {
	observe := c.UI.Latency.WithLabelValues(metrics.StageRead)
	reopened, snapshot := true, false
	for {
		item, err := next(ctx, m, reader)
		if err != nil {
			return fmt.Errorf("read the stream %s: %w", c.Prefix, err)
		}
		now := time.Now()
		switch item.Kind {
		case processor.Begin:
			snapshot = false
		case processor.Event:
			if item.Value == nil {
				continue // a tombstone repeats its delete
			}
			m.event(&item, reopened, now)
			reopened = false
			snapshot = m.last.op == cdc.Read
		case processor.Epoch:
			m.renew(item.Gap)
			reopened = false
		case processor.End:
			if latency, known := m.transaction(&item.Tx, snapshot, now); known {
				observe.Observe(latency.Seconds())
			}
		}
	}
}

// calm is how long the reader must go without an error to count as reading again, if no event says so before: longer
// than sarama takes from one attempt to the next.
const calm = 10 * time.Second

// next returns the reader's next item. While Kafka does not answer the reader goes on trying, and the page is told.
func next(ctx context.Context, m *model, reader *processor.Reader) (processor.Item, error) {
	item, err := reader.Next(ctx)
	for errors.Is(err, processor.ErrUnavailable) && ctx.Err() == nil {
		m.setEvents(linkFailed, err.Error())
		patience, cancel := context.WithTimeout(ctx, calm)
		item, err = reader.Next(patience)
		silent := patience.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || silent {
			m.setEvents(linkReading, "")
		}
		if err != nil && silent {
			item, err = reader.Next(ctx)
		}
	}
	return item, err
}
