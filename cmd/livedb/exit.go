package main

import (
	"errors"

	"github.com/alecthomas/kong"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/processor"
)

// The exit codes. They are documented in README.md, and scripts rely on them.
const (
	exitDone        = 0
	exitFailure     = 1
	exitUsage       = 2   // the command line, the environment or the configuration file
	exitFindings    = 3   // the run went well and found something wrong
	exitUnsafe      = 4   // going on would break a promise: a gap, another database
	exitNoisy       = 5   // measured, but something else used the machine: no result
	exitInterrupted = 130 // by a signal, which only main knows of
)

// usageError is a mistake of the user that kong cannot see, such as two flags that exclude each other.
type usageError struct {
	Problem string // one sentence: what is wrong
	Remedy  string // one sentence: what to do
}

func (e *usageError) Error() string { return e.Problem + "; " + e.Remedy }

// exitCode tells how a run that ended with err exits.
func exitCode(err error) int {
	var refusal *cdc.Refusal
	var usage *usageError
	var parse *kong.ParseError
	var findings *findingsError
	var checked *checkError
	var noisy *noisyError
	var late *scheduleError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &findings), errors.As(err, &checked):
		return exitFindings
	case errors.As(err, &noisy), errors.As(err, &late):
		return exitNoisy
	case errors.As(err, &refusal) && refusal.Unsafe, processor.Broken(err):
		return exitUnsafe
	case errors.As(err, &usage), errors.As(err, &parse):
		return exitUsage
	default:
		return exitFailure
	}
}
