package dial

import (
	"net"
	"syscall"
	"testing"
)

// The kernel itself says what it will do with a connection that went silent.
func TestTheKernelEndsASilentConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := Context(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, c := range map[string]struct{ level, option, want int }{
		"user timeout": {syscall.IPPROTO_TCP, tcpUserTimeout, 30_000},
		"keepalive":    {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		"first probe":  {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 10},
		"next probe":   {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 5},
		"probes":       {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 4},
	} {
		if got := option(t, conn, c.level, c.option); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// A sender on this machine must never wait for more room than a small receive buffer has.
func TestASmallBufferHasRoomForSegments(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const receive = 32 << 10
	conn, err := Buffered(t.Context(), "tcp", l.Addr().String(), receive)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// What the socket asked for holds for both ends; the sender's own figure begins lower, and grows with the window.
	if got := option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_MAXSEG); got > receive/segments {
		t.Errorf("segments may have %d bytes with a buffer of %d", got, receive)
	}
}

func option(t *testing.T, conn net.Conn, level, name int) (value int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var asked error
	if err := raw.Control(func(fd uintptr) { value, asked = syscall.GetsockoptInt(int(fd), level, name) }); err != nil || asked != nil {
		t.Fatal(err, asked)
	}
	return value
}

// A unix socket has none of it, and is dialled all the same.
func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := Context(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
