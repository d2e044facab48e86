package bench

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"github.com/livedb/livedb/internal/devstack"
)

// asPart makes the test binary be one of a bench's parts, which are processes of their own.
const asPart = "LIVEDB_TEST_AS_BENCH_PART"

func TestMain(m *testing.M) {
	if part := os.Getenv(asPart); part != "" {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
		if err := Child(context.Background(), part, os.Stdin, os.Stdout, log); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(devstack.RunTests(m))
}

// testCommand starts this test binary as a part.
func testCommand(part string) *exec.Cmd {
	program, err := os.Executable()
	if err != nil {
		panic(err) // the binary that runs this
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), asPart+"="+part)
	return cmd
}
