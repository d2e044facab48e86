package faults

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// fork starts the command so that it dies with this process, and out of reach of a terminal's Ctrl-C. The kernel kills it
// when the *thread* that forked it ends, so that thread lives for ever.
func fork(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	forker() <- func() { result <- cmd.Start() }
	return <-result
}

var forker = sync.OnceValue(func() chan<- func() {
	forks := make(chan func())
	go func() {
		runtime.LockOSThread() // and never unlocked
		for fork := range forks {
			fork()
		}
	}()
	return forks
})
