//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package devstack

import (
	"os/exec"
	"strconv"
	"strings"
)

// runsIn reports whether the process is a server at work in the data folder, which stands in its command line.
func runsIn(pid int, dataDir string) bool {
	out, err := exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), dataDir)
}
