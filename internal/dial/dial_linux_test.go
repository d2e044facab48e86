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
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ level, option, want int }{
		"user timeout": {syscall.IPPROTO_TCP, tcpUserTimeout, 30_000},
		"keepalive":    {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		"first probe":  {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 10},
		"next probe":   {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 5},
		"probes":       {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 4},
	} {
		var got int
		var asked error
		if err := raw.Control(func(fd uintptr) { got, asked = syscall.GetsockoptInt(int(fd), c.level, c.option) }); err != nil || asked != nil {
			t.Fatal(err, asked)
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
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
