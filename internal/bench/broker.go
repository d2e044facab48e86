package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"

	"github.com/livedb/livedb/internal/devstack"
)

// broker is a Kafka whose CPU can be told apart: an embedded one in a process of its own, or one that is given.
type broker struct {
	pids    []int
	brokers []string

	cmd  *exec.Cmd // of the embedded one
	live io.Closer // its standard input: it lives until that ends
}

func startBroker(command Command) (*broker, error) {
	b := &broker{cmd: command(partBroker)}
	in, err := b.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.live, b.cmd.Stderr = in, os.Stderr
	if err := fork(b.cmd); err != nil {
		return nil, fmt.Errorf("start the embedded Kafka: %w", err)
	}
	b.pids = []int{b.cmd.Process.Pid}
	if err := json.NewDecoder(out).Decode(&b.brokers); err != nil {
		return nil, fmt.Errorf("start the embedded Kafka: %w", errors.Join(err, b.stop()))
	}
	return b, nil
}

// cpu is what it has used so far, in seconds.
func (b *broker) cpu() (sum float64) {
	for _, pid := range b.pids {
		p, _ := readProcess(pid) // gone is 0
		sum += p.own
	}
	return sum
}

// stop ends the embedded one.
func (b *broker) stop() error {
	if err := b.live.Close(); err != nil {
		_ = b.cmd.Process.Kill() // it would never end by itself
	}
	return b.cmd.Wait()
}

// serveBroker is the broker's own side.
func serveBroker(in io.Reader, out io.Writer, log *slog.Logger) error {
	k, err := devstack.StartKafka(devstack.KafkaConfig{Log: log})
	if err != nil {
		return err
	}
	defer k.Close()
	if err := json.NewEncoder(out).Encode(k.Brokers()); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}
