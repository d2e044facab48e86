//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package devstack

import (
	"os/exec"
	"syscall"
)

// kernelGuards says that this kernel does not end children with their parent: a guard process does.
const kernelGuards = false

func dieWithParent(*exec.Cmd, syscall.Signal) {}

func start(cmd *exec.Cmd) error { return cmd.Start() }
