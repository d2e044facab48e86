package dial

import (
	"errors"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds: how long sent data may stay unacknowledged. Package
// syscall does not name it.
const tcpUserTimeout = 18

// setOptions limits the silence of a socket that is not connected yet, and sets its receive buffer, if any is asked for.
func setOptions(c syscall.RawConn, receive int) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(SilenceLimit.Milliseconds()))
		if receive > 0 && set == nil {
			set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
		}
	})
	return errors.Join(err, set)
}
