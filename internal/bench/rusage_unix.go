//go:build unix

package bench

import (
	"os/exec"
	"syscall"

	"github.com/livedb/livedb/internal/devstack"
)

// selfCPU is what this process has used so far, in seconds.
func selfCPU() float64 { return used(syscall.RUSAGE_SELF) }

// childrenCPU is what those of its children used that have ended.
func childrenCPU() float64 { return used(syscall.RUSAGE_CHILDREN) }

func used(who int) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0 // it fails for a wrong argument only
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// fork starts a child that ends with this process.
func fork(cmd *exec.Cmd) error { return devstack.Fork(cmd) }
