//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	apachekafka "github.com/livedb/livedb/compose/kafka"
)

const programEnv = "LIVEDB_KAFKA_START"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// Whether it is told to end or its shell is killed, the program takes the broker and the folder with it.
func TestStartLeavesNothing(t *testing.T) {
	apachekafka.Require(t)
	for name, end := range map[string]func(*exec.Cmd) error{
		"SIGTERM":    func(program *exec.Cmd) error { return program.Process.Signal(syscall.SIGTERM) },
		"its parent": func(shell *exec.Cmd) error { return shell.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			if name == "its parent" {
				cmd = exec.Command("/bin/sh", "-c", `"$0" & wait`, os.Args[0])
			}
			temporary := t.TempDir()
			cmd.Env = append(os.Environ(), programEnv+"=1", "TMPDIR="+temporary)
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})

			lines := bufio.NewReader(stdout)
			broker, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			broker = strings.TrimSpace(broker)
			conn, err := net.Dial("tcp", broker)
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			if err := end(cmd); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 { // until the program is gone
				t.Errorf("it says %q after its broker (%v)", rest, err)
			}
			if conn, err := net.Dial("tcp", broker); err == nil {
				t.Error("the broker lives on")
				_ = conn.Close()
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("%v stays behind (%v)", left, err)
			}
		})
	}
}
