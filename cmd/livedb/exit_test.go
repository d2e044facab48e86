package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/processor"
)

func TestExitCode(t *testing.T) {
	parser, err := kong.New(&struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	_, unknownFlag := parser.Parse([]string{"--no-such-flag"})

	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, exitDone},
		{"any failure", errors.New("no"), exitFailure},
		{"cancelled", context.Canceled, exitFailure},
		{"a refusal", &cdc.Refusal{Name: "pooled_endpoint"}, exitFailure},
		{"an unsafe refusal", fmt.Errorf("start cdc: %w", &cdc.Refusal{Name: "slot_wal_lost", Unsafe: true}), exitUnsafe},
		{"a gap seen by a reader", fmt.Errorf("read: %w", &processor.Violation{Err: processor.ErrGap}), exitUnsafe},
		{"a usage error", fmt.Errorf("demo: %w", &usageError{Problem: "a", Remedy: "b"}), exitUsage},
		{"an unknown flag", unknownFlag, exitUsage},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
