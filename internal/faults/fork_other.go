//go:build unix && !linux

package faults

import (
	"os/exec"
	"syscall"
)

// fork starts the command out of reach of a terminal's Ctrl-C. A runner that is itself killed leaves it behind here.
func fork(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd.Start()
}
