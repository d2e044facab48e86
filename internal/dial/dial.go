// Package dial opens the TCP connections to Postgres and Kafka. A connection whose other side vanished without a word is
// ended after half a minute, whether it waits for an answer or has something to send.
package dial

import (
	"context"
	"net"
	"strings"
	"syscall"
	"time"
)

// SilenceLimit is after what time without an acknowledgement from the other side's machine a connection is ended.
const SilenceLimit = 30 * time.Second

// Probes of a quiet connection; on systems without TCP_USER_TIMEOUT they alone bound the silence.
const (
	probeAfter = 10 * time.Second
	probeEvery = 5 * time.Second
	probes     = int((SilenceLimit - probeAfter) / probeEvery)
)

// Context dials as net.Dialer does. It ends with the context.
func Context(ctx context.Context, network, address string) (net.Conn, error) {
	return Buffered(ctx, network, address, 0)
}

// Buffered is Context with a receive buffer of some bytes, which the other side sees from the first packet on; 0 leaves it to
// the kernel. Only Linux does it.
func Buffered(ctx context.Context, network, address string, receive int) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probes},
		ControlContext: func(_ context.Context, network, _ string, c syscall.RawConn) error {
			if !strings.HasPrefix(network, "tcp") {
				return nil
			}
			return setOptions(c, receive)
		},
	}
	return d.DialContext(ctx, network, address)
}

// Local reports whether a host is this machine by its name alone: a loopback address, localhost, or the folder of a unix
// socket. What is sent to it does not leave the machine.
func Local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
