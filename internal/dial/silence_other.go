//go:build !linux

package dial

import "syscall"

// Without TCP_USER_TIMEOUT the probes alone limit the silence.
func setOptions(syscall.RawConn, int) error { return nil }
