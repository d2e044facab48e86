// Command livedb turns every committed change of a Postgres database into a Kafka event, exactly once and in commit
// order, and shows it: see README.md. One file per command; each role is one blocking function that demo, run and the
// role's own command call alike.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	// Little is allocated per event, so that to collect more often costs next to nothing and saves some of the memory.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(70)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are the process's own: what a script may read goes to out, everything else to err.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// left is how kong's help leaves Parse.
type left int

// run is the whole program: tests call it as main does.
func run(ctx context.Context, args []string, s streams) (code int) {
	defer func() {
		switch exit := recover().(type) {
		case nil:
		case left:
			code = int(exit)
		default:
			panic(exit)
		}
	}()
	var cli grammar
	parser, err := newParser(&cli, s)
	if err != nil {
		fmt.Fprintln(s.err, "livedb:", err)
		return exitFailure
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(s.err, "livedb: %v; run livedb --help, or livedb <command> --help, for what there is\n", err)
		return exitUsage
	}
	i := &invocation{ctx: ctx, streams: s, parser: parser, parsed: parsed, globals: &cli.Globals}
	if err = i.servePprof(); err == nil {
		err = parsed.Run(i)
	}
	var parse *kong.ParseError
	switch {
	case errors.As(err, &parse):
		fmt.Fprintln(s.err, "livedb:", err)
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(s.err, "livedb:", err)
		return exitCode(err)
	}
	return exitDone
}
