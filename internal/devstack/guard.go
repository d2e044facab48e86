//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"fmt"
	"io"
	"os/exec"
)

// guardScript waits on a pipe that only our process holds open. The word "stopped" dismisses it; the end of the pipe means
// that we died, also by kill -9, and it sends the postmaster of data folder $1 an immediate shutdown. The loop covers a
// postmaster that had not yet written its pid.
const guardScript = `
trap '' HUP INT TERM
read -r word
if [ "$word" = stopped ]; then exit 0; fi
for _ in 1 2 3 4 5 6 7 8 9 10; do
	if read -r pid <"$1/postmaster.pid" && kill -QUIT "$pid"; then exit 0; fi
	sleep 1
done
`

// guard ends a server whose parent died, on systems where the kernel does not.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// startGuard must come before the server's start, so that there is no moment without a guard.
func startGuard(dataDir string, as account) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "livedb-guard", dataDir)
	cmd.Dir = "/"
	as.run(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("guard of postgres: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard of postgres did not start: %w; check that /bin/sh works", err)
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// dismiss ends the guard once there is nothing left to guard. A nil guard is fine.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	// A guard that is already gone cannot be told so; nothing depends on it any more.
	_, _ = io.WriteString(g.pipe, "stopped\n")
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
