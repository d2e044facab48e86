//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package devstack

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endOrphan ends the postmaster that still runs in a data folder although its parent is dead: an immediate shutdown, then
// kill -9. It is found by the folder's own postmaster.pid and must be running there, so that a pid that meanwhile belongs
// to another process is left alone.
func endOrphan(dataDir string) error {
	pid, ok := readPostmasterPID(dataDir)
	if !ok || !runsIn(pid, dataDir) {
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			return fmt.Errorf("end the orphaned postgres with pid %d: %w", pid, err)
		}
		// It is not our child, so there is nothing to wait on but its presence.
		for deadline := time.Now().Add(6 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if !runsIn(pid, dataDir) {
				return nil
			}
		}
	}
	return fmt.Errorf("the orphaned postgres with pid %d does not end", pid)
}

// readPostmasterPID reads the pid of the server that holds, or held, the data folder.
func readPostmasterPID(dataDir string) (int, bool) {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	return pid, err == nil && pid > 1
}
