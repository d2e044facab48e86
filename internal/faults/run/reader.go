//go:build unix

package main

import (
	"os"

	"github.com/livedb/livedb/internal/faults"
)

// readerCommand is the online reader, as the runner starts and kills it.
type readerCommand struct {
	Brokers string `arg:""`
	Prefix  string `arg:""`
	File    string `arg:""`
}

// Run implements the command.
func (c *readerCommand) Run() error {
	os.Exit(faults.ReaderMain(c.Brokers, c.Prefix, c.File))
	return nil
}
