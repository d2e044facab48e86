// Command start runs an Apache Kafka of one or three nodes, prints its brokers in one line with commas between, and ends
// with Ctrl-C, SIGTERM or its parent.
//
//	go run ./compose/kafka/start --nodes 3
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	apachekafka "github.com/livedb/livedb/compose/kafka"
)

func main() {
	nodes := flag.Int("nodes", 1, "how many nodes: 1 or 3")
	dir := flag.String("dir", "", "a `folder` for the data, which stays; else a temporary one is made and removed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *nodes, *dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, nodes int, dir string) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { endWithParent(ctx, cancel) })
	defer watching.Wait()
	defer cancel()

	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	c, err := apachekafka.Start(ctx, apachekafka.Config{Nodes: nodes, Dir: dir, Log: log})
	if err != nil {
		return err
	}
	fmt.Println(strings.Join(c.Brokers(), ","))
	<-ctx.Done()
	return c.Close()
}

// endWithParent ends ctx when this process gets another parent, at most a second later: a shell or "go run" that is killed
// does not pass the signal on.
func endWithParent(ctx context.Context, cancel context.CancelFunc) {
	parent := os.Getppid()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if os.Getppid() != parent {
				cancel()
				return
			}
		}
	}
}
