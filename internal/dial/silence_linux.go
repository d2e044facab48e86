package dial

import (
	"context"
	"errors"
	"strings"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds: how long sent data may stay unacknowledged. Package
// syscall does not name it.
const tcpUserTimeout = 18

func limitSilence(_ context.Context, network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var set error
	err := c.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(SilenceLimit.Milliseconds()))
	})
	return errors.Join(err, set)
}
