//go:build unix

package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	apachekafka "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/devstack"
)

// Stack is what the rounds of a run share.
type Stack struct {
	Livedb string   // the program, built with failpoints
	Reader []string // the command that calls ReadOnline; brokers, prefix and file are appended to it
	Kafka  *Kafka
	Dir    string // gets a folder of logs for each round
	Log    *slog.Logger
	Out    io.Writer // gets the ends of the logs of a round that failed
}

// Build builds livedb with failpoints into a folder and returns its path. It runs inside the module.
func Build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(dir, "livedb")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "failpoints", "-o", program, "github.com/livedb/livedb/cmd/livedb")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build livedb with failpoints: %w", err)
	}
	return program, nil
}

// Kafka is the Kafka of a run.
type Kafka struct {
	Name      string // such as Apache Kafka, 3 nodes
	Addresses []string
	Nodes     int // 0 for the embedded one, which cannot be killed
	cluster   *apachekafka.Cluster
	embedded  *devstack.Kafka
}

// StartKafka starts a Kafka of so many nodes, or with 0 the embedded one.
func StartKafka(ctx context.Context, nodes int, log *slog.Logger) (*Kafka, error) {
	if nodes == 0 {
		embedded, err := devstack.StartKafka(devstack.KafkaConfig{})
		if err != nil {
			return nil, err
		}
		return &Kafka{Name: "kfake", Addresses: embedded.Brokers(), embedded: embedded}, nil
	}
	cluster, err := apachekafka.Start(ctx, apachekafka.Config{Nodes: nodes, Log: log})
	if err != nil {
		return nil, err
	}
	return &Kafka{Name: fmt.Sprintf("Apache Kafka, %d nodes", nodes), Addresses: cluster.Brokers(), Nodes: nodes, cluster: cluster}, nil
}

// Close ends it.
func (k *Kafka) Close() error {
	if k.embedded != nil {
		k.embedded.Close()
		return nil
	}
	return k.cluster.Close()
}

// errNoBroker: there is no node that could be killed without losing what is acknowledged.
var errNoBroker = errors.New("a broker can be killed only where there are three nodes: give --kafka-nodes 3")
