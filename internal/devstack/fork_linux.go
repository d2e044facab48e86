package devstack

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// kernelGuards says that the kernel ends our children when we die, so that no guard process is needed.
const kernelGuards = true

// dieWithParent has the kernel send sig to the process when the thread that forks it ends.
func dieWithParent(cmd *exec.Cmd, sig syscall.Signal) { cmd.SysProcAttr.Pdeathsig = sig }

// start starts the command from a thread that lives as long as this process. Pdeathsig fires when the forking *thread*
// ends, and the Go runtime ends threads as it likes: a server forked from any goroutine could be shot at any time.
func start(cmd *exec.Cmd) error {
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
