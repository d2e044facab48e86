package bench

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/livedb/livedb/internal/kafka"
)

// givenBroker finds the processes of a Kafka that is already there, so that its CPU is known too. It returns nil if any of
// its brokers does not run on this machine, or cannot be told from the outside.
func givenBroker(ctx context.Context, brokers []string) (*broker, error) {
	client, err := kafka.Connect(ctx, kafka.Config{Brokers: brokers, ClientID: "livedb/bench"})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	b := &broker{brokers: brokers}
	for _, one := range client.Brokers() { // all of the cluster
		pid := listener(one.Addr())
		if pid == 0 {
			return nil, nil
		}
		if !slices.Contains(b.pids, pid) {
			b.pids = append(b.pids, pid)
		}
	}
	return b, nil
}

// listener is the process of this machine that listens at an address; 0 if there is none, or none that we may see.
func listener(address string) int {
	host, service, err := net.SplitHostPort(address)
	if err != nil || !here(host) {
		return 0
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return 0
	}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		socket := listening(bufio.NewScanner(f), uint16(port))
		f.Close()
		if pid := owner(socket); pid != 0 {
			return pid
		}
	}
	return 0
}

// here reports whether a host is this machine.
func here(host string) bool {
	addresses, err := net.LookupIP(host)
	if err != nil {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addresses, func(ip net.IP) bool {
		return ip.IsLoopback() || slices.ContainsFunc(own, func(a net.Addr) bool {
			network, ok := a.(*net.IPNet)
			return ok && network.IP.Equal(ip)
		})
	})
}

// listening finds the socket that listens at a port, as /proc/<pid>/fd names it, in proc(5)'s net/tcp: the second field is
// the local address in hexadecimal, the fourth the state, 0A for listening, the tenth the inode.
func listening(lines *bufio.Scanner, port uint16) string {
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[3] == "0A" && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			return "socket:[" + fields[9] + "]"
		}
	}
	return ""
}

// owner is a process that holds a socket.
func owner(socket string) int {
	if socket == "" {
		return 0
	}
	names, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the only error is a bad pattern
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && to == socket {
			pid, _ := strconv.Atoi(strings.Split(name, "/")[2]) // the pattern has digits there
			return pid
		}
	}
	return 0
}
