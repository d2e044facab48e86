package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
	"github.com/livedb/livedb/ui"
)

// view is the page's own, orders by status and second, with the columns of the load.
func view(t Task) processor.View {
	schema, table, _ := strings.Cut(t.Table, ".")
	return processor.View{
		Name: "orders", Schema: schema, Table: table,
		GroupBy:    []processor.Group{{Column: "kind", As: "status"}, {Column: "created_at", As: "second", Tumble: time.Second}},
		Aggregates: []processor.Aggregate{{Func: processor.Count, As: "orders"}, {Func: processor.Sum, Column: "account", As: "revenue"}},
		Retention:  10 * time.Minute,
	}
}

// drainToPage is the whole path in one process: cdc, the processor with a view, the dashboard, and a page that looks at it.
func drainToPage(ctx context.Context, t Task, m *meter, log *slog.Logger) error {
	k := kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"}
	listener, err := ui.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	return drainRoles(ctx, t, m, log, []station{
		{role: "process", run: func(ctx context.Context, s *status.Reporter) error {
			return processor.Run(ctx, processor.Config{Kafka: k, Prefix: t.Prefix, View: view(t), NoSnapshot: true, Status: s, Log: log})
		}},
		{role: "ui", run: func(ctx context.Context, s *status.Reporter) error {
			looking := make(chan error, 1)
			go func() { looking <- look(ctx, address) }()
			err := ui.Run(ctx, ui.Config{Kafka: k, Prefix: t.Prefix, Listener: listener, Status: s, Log: log})
			return errors.Join(err, <-looking)
		}},
	})
}

// look reads the page's stream until the context ends.
func look(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/v1/stream", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err == nil {
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}
