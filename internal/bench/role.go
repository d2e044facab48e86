package bench

import (
	"context"
	"errors"
	"io"
	"log/slog"

	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/status"
	"github.com/livedb/livedb/processor"
)

// Parts of Child that run until their input ends.
const (
	partStream  = "stream"
	partProcess = "process"
)

// serveRole is a role's own side: it answers when the role is healthy, and runs until in ends.
func serveRole(ctx context.Context, part string, t Task, in io.Reader, out io.Writer, log *slog.Logger) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s := status.NewBoard("bench").Role(part)
	served := make(chan error, 1)
	go func() {
		defer stop()
		if healthy(ctx, s) != nil {
			served <- nil // the role says why
			return
		}
		served <- serve(ctx, in, out, part)
	}()
	var err error
	if part == partStream {
		c := captureConfig(t, log)
		c.Status = s
		err = capture.Run(ctx, c)
	} else {
		err = processor.Run(ctx, processor.Config{Kafka: kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"}, Prefix: t.Prefix,
			View: processor.Orders(latencySchema), NoSnapshot: true, Status: s, Log: log})
	}
	stop()
	return errors.Join(err, <-served)
}

// startRole returns when the role is healthy.
func startRole(ctx context.Context, command Command, part string, t Task) (*attendant, error) {
	var answer string
	return startAttendant(ctx, command, part, t, &answer)
}
