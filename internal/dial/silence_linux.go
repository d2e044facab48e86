package dial

import (
	"errors"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds: how long sent data may stay unacknowledged. Package
// syscall does not name it.
const tcpUserTimeout = 18

// segments that a receive buffer has room for. A segment on loopback may be 64 KiB: once the buffer, filled with small ones, has
// the window smaller than that, the sender splits nothing and waits for its probe of 200 ms (RFC 9293, 3.8.6.2), window after
// window, although all was read. With shorter segments Linux also makes the window smaller: it clamps it to two of them.
const segments = 2

// setOptions limits the silence of a socket that is not connected yet, and sets its receive buffer, if any is asked for.
func setOptions(c syscall.RawConn, receive int) error {
	var set error
	err := c.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(SilenceLimit.Milliseconds()))
		if receive > 0 && set == nil {
			set = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
		}
		if receive > 0 && set == nil {
			set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, receive/segments)
		}
	})
	return errors.Join(err, set)
}
