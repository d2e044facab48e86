//go:build !unix

package bench

import "os/exec"

func selfCPU() float64     { return 0 }
func childrenCPU() float64 { return 0 }

func fork(cmd *exec.Cmd) error { return cmd.Start() }
