package devstack

import (
	"fmt"
	"os"
)

// runsIn reports whether the process is a server at work in the data folder: a postmaster's working directory is its data
// folder. A zombie has none.
func runsIn(pid int, dataDir string) bool {
	cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	return err == nil && cwd == dataDir
}
