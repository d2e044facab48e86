package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/livedb/livedb/internal/devstack"
)

// broker is a Kafka whose CPU can be told apart: an embedded one in a process of its own, or one that is given.
type broker struct {
	*attendant // the embedded one; nil for one that is given
	pids       []int
	brokers    []string
}

func startBroker(ctx context.Context, command Command) (*broker, error) {
	var brokers []string
	a, err := startAttendant(ctx, command, partBroker, Task{}, &brokers)
	if err != nil {
		return nil, err
	}
	return &broker{attendant: a, pids: []int{a.cmd.Process.Pid}, brokers: brokers}, nil
}

// cpu is what it has used so far, in seconds.
func (b *broker) cpu() (sum float64) {
	for _, pid := range b.pids {
		p, _ := readProcess(pid) // gone is 0
		sum += p.own
	}
	return sum
}

// serveBroker is the embedded one's own side.
func serveBroker(ctx context.Context, in io.Reader, out io.Writer, log *slog.Logger) error {
	k, err := devstack.StartKafka(devstack.KafkaConfig{Log: log})
	if err != nil {
		return fmt.Errorf("start the embedded Kafka: %w", err)
	}
	defer k.Close()
	return serve(ctx, in, out, k.Brokers())
}
