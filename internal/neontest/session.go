package neontest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// session is one client's connection.
type session struct {
	mu          sync.Mutex // held while a message of the server is passed on
	client      net.Conn
	server      net.Conn // nil until the client was let in
	replication bool

	ends   sync.Mutex // of what close closes
	closed bool
}

// encrypt has the session go on inside TLS.
func (s *session) encrypt(conn net.Conn) {
	s.ends.Lock()
	defer s.ends.Unlock()
	s.client = conn
}

// join gives the session its server, unless it was closed meanwhile.
func (s *session) join(server net.Conn, replication bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends.Lock()
	defer s.ends.Unlock()
	if s.closed {
		server.Close()
		return false
	}
	s.server, s.replication = server, replication
	return true
}

func (s *session) close() {
	s.ends.Lock()
	defer s.ends.Unlock()
	s.closed = true
	s.client.Close()
	if s.server != nil {
		s.server.Close()
	}
}

// say sends a message of our own.
func (s *session) say(m *pgproto3.ErrorResponse) {
	if packet, err := m.Encode(nil); err == nil {
		s.client.Write(packet) // a client that is gone need not hear it
	}
}

// tell gives a session that replicates an error, upon which the client closes it, and reports whether it is one.
func (s *session) tell(m *pgproto3.ErrorResponse) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.replication || s.server == nil {
		return false
	}
	s.replication = false
	s.say(m)
	return true
}

// pump passes bytes on until either end closes.
func (s *session) pump() {
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(s.server, s.client) // that an end is closed is how it ends
		s.close()
	})
	s.down()
	s.close()
	up.Wait()
}

// down passes on what the server says, message by message.
func (s *session) down() {
	from, to := bufio.NewReader(s.server), bufio.NewWriter(s.client)
	for {
		head, err := from.Peek(5)
		if err != nil {
			return
		}
		size := 1 + int64(binary.BigEndian.Uint32(head[1:]))
		s.mu.Lock()
		_, err = io.CopyN(to, from, size)
		if err == nil && from.Buffered() < 5 {
			err = to.Flush()
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}
