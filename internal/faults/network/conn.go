package network

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// buffer is what each direction reads ahead at most; the head of a message fits.
const buffer = 64 << 10

// framing finds the messages of one connection. Each direction is read by a goroutine of its own.
type framing interface {
	// next waits for a message's head, and returns it and the size of the whole message, head included. The head stays in r.
	next(from Side, r *bufio.Reader) (m Message, size int, err error)
}

// conn passes messages between a client and a server.
type conn struct {
	dialer  *Dialer
	framing framing
	client  net.Conn // our end of the pair whose other end the client has
	server  net.Conn
	ended   atomic.Int32 // pumps
	rate    atomic.Int64 // bytes in a millisecond; 0 is no limit

	goSilent sync.Once
	silent   chan struct{} // closed: nothing passes any more
	late     atomic.Pointer[Injection]
}

// up passes on what the client says. On a silent connection the client's writes succeed until it gives up, and the server
// does not learn that it did.
func (c *conn) up() {
	defer c.end()
	c.pump(Client, c.client, c.server)
	c.client.Close()
	if !c.isSilent() {
		c.server.Close()
	}
}

// down passes on what the server says. On a silent connection the client does not learn of its end.
func (c *conn) down() {
	defer c.end()
	c.pump(Server, c.server, c.client)
	c.server.Close()
	if !c.isSilent() {
		c.client.Close()
	}
}

func (c *conn) end() {
	if c.ended.Add(1) == 2 {
		c.close()
		c.dialer.forget(c)
	}
	c.dialer.pumps.Done()
}

// close closes both ends; a second time does nothing.
func (c *conn) close() {
	c.client.Close()
	c.server.Close()
}

func (c *conn) silence() { c.goSilent.Do(func() { close(c.silent) }) }

func (c *conn) isSilent() bool {
	select {
	case <-c.silent:
		return true
	default:
		return false
	}
}

// pump passes messages in one direction until either end is closed, or a fault closes them.
func (c *conn) pump(from Side, src, dst net.Conn) {
	r, to := bufio.NewReaderSize(src, buffer), valve{c, dst}
	for {
		m, size, err := c.framing.next(from, r)
		if from == Server {
			if i := c.late.Swap(nil); i != nil {
				close(i.answered)
			}
		}
		if err != nil {
			return
		}
		if c.isSilent() {
			err = pass(r, to, size)
		} else {
			err = c.act(c.dialer.decide(m), r, to, size)
		}
		if err != nil {
			return
		}
	}
}

// errCut ends a pump whose connection a fault has broken.
var errCut = errors.New("cut")

// act passes a message on, or does to it what the injection says, which may be nil.
func (c *conn) act(i *Injection, r *bufio.Reader, to valve, size int) error {
	if i == nil {
		return pass(r, to, size)
	}
	switch i.fault.Action {
	case Cut:
		return cmp.Or(pass(r, to, c.dialer.part(size)), errCut)
	case CutAfter:
		return cmp.Or(pass(r, to, size), errCut)
	case Late:
		return c.deliverLate(i, r, size)
	case Hold:
		if err := c.await(i.fault.Until); err != nil {
			return err
		}
	case Drop:
		return pass(r, io.Discard, size)
	case Silence:
		c.silence()
	case Slow:
		c.rate.Store(int64(max(1, i.fault.Rate)))
	}
	return pass(r, to, size)
}

// deliverLate takes a message from a client that finds the connection closed, and gives it to the server in the end.
func (c *conn) deliverLate(i *Injection, r *bufio.Reader, size int) error {
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return err
	}
	c.silence()
	c.client.Close()
	if err := c.await(i.fault.Until); err != nil {
		return err
	}
	c.late.Store(i)
	if _, err := c.server.Write(message); err != nil {
		return err
	}
	return errCut
}

// await waits for a signal, or for the end of the dialer.
func (c *conn) await(signal <-chan struct{}) error {
	select {
	case <-signal:
		return nil
	case <-c.dialer.closed:
		return net.ErrClosed
	}
}

// pass copies the next bytes, without holding a large message whole.
func pass(r *bufio.Reader, to io.Writer, size int) error {
	for size > 0 {
		piece, err := r.Peek(min(size, max(1, r.Buffered())))
		if err != nil {
			return err
		}
		if _, err := to.Write(piece); err != nil {
			return err
		}
		size -= len(piece)
		if _, err := r.Discard(len(piece)); err != nil {
			return err
		}
	}
	return nil
}

// valve is what a pump writes through: it knows what has become of the connection since.
type valve struct {
	conn *conn
	to   net.Conn
}

func (v valve) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if v.conn.isSilent() {
			return len(p), nil
		}
		piece := p[written:]
		if rate := int(v.conn.rate.Load()); rate > 0 {
			began := time.Now()
			select {
			case <-time.After(time.Millisecond):
			case <-v.conn.silent:
			case <-v.conn.dialer.closed:
			}
			waited := max(1, int(time.Since(began).Milliseconds())) // more than asked for on a busy machine
			piece = piece[:min(rate*waited, len(piece))]
		}
		n, err := v.to.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}
