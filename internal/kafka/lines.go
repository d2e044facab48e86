package kafka

import (
	"errors"
	"net"
	"sync"
)

// lines are the connections of one client, so that they can be hung up: sarama waits for the answer of a request under way
// before it closes.
type lines struct {
	dialer interface {
		Dial(network, address string) (net.Conn, error)
	}

	mu   sync.Mutex
	open map[*line]struct{}
	hung bool
}

type line struct {
	net.Conn
	of *lines
}

var errHungUp = errors.New("the producer was abandoned")

// Dial opens a connection, unless the lines are hung up.
func (l *lines) Dial(network, address string) (net.Conn, error) {
	conn, err := l.dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hung {
		conn.Close()
		return nil, errHungUp
	}
	if l.open == nil {
		l.open = map[*line]struct{}{}
	}
	added := &line{conn, l}
	l.open[added] = struct{}{}
	return added, nil
}

// Close closes one connection.
func (l *line) Close() error {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.of.mu.Unlock()
	return l.Conn.Close()
}

// hangUp closes all connections, and those that are still being made.
func (l *lines) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hung = true
	for open := range l.open {
		open.Conn.Close()
	}
}
