//go:build unix

// Command run breaks LiveDB at random and audits what is left; package faults tells how.
//
//	go run ./internal/faults/run                                          the whole of it
//	go run ./internal/faults/run --state faults.json --resume             what is left of it
//	go run ./internal/faults/run --kafka-nodes 0 --cdc 3 --per-round 3    a small part, on the embedded Kafka
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Run    runCommand    `cmd:"" default:"withargs" help:"Break LiveDB at random and audit what is left."`
	Reader readerCommand `cmd:"" hidden:"" help:"The online reader."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed := kong.Parse(&grammar{}, kong.Description("Break LiveDB at random and audit what is left."), kong.BindTo(ctx, (*context.Context)(nil)))
	if err := parsed.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
