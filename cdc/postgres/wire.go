package postgres

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/livedb/livedb/internal/dial"
)

// wire is the network connection of a stream, below TLS: above it a read ends with a TLS record, and to wait between reads
// would mean to wait for each row.
//
// A blocking read of it ends at a set time, without a timer or a context per message, and can be repeated. It reads a busy
// stream in large pieces: see pace.
type wire struct {
	net.Conn
	streaming   atomic.Bool
	alarm       func() time.Time // when a read is to end without having brought anything
	interrupted atomic.Bool
	turned      bool // the socket was read, or could not be, since this was last cleared

	pace   pace
	raw    syscall.RawConn // nil where the socket is none of ours
	buffer []byte
	unread []byte    // the rest of what the last read of the socket brought
	told   func(int) // how many bytes a read of the socket brought; may be nil
}

const (
	wireBuffer = 256 << 10
	// nearBuffer is the socket's receive buffer where the sender is near. It fills while we wait, and then the sender's messages
	// pile up on its side, where they cost nothing. With the kernel's own, a drain falls by chance into one of two speeds, of
	// which the slow one is a third of the other.
	nearBuffer = 32 << 10
	// near is a round trip that a larger receive buffer does not shorten.
	near = 200 * time.Microsecond
	// writeTimeout ends a connection whose other side takes nothing.
	writeTimeout = 10 * time.Second
)

// dialWire opens the connection of a stream. open is the configuration's own dialler, or nil.
func dialWire(ctx context.Context, network, address string, open func(ctx context.Context, network, address string) (net.Conn, error)) (*wire, error) {
	if open != nil {
		raw, err := open(ctx, network, address)
		return newWire(raw), err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if host, _, _ := net.SplitHostPort(address); dial.Local(host) {
		raw, err := dial.Buffered(ctx, network, address, nearBuffer)
		return newWire(raw), err
	}
	began := time.Now()
	raw, err := dial.Context(ctx, network, address)
	if took := time.Since(began); err == nil && took < near {
		raw.Close() // the buffer counts from the first packet on, and to begin again takes no longer
		raw, err = dial.Buffered(ctx, network, address, nearBuffer)
	}
	return newWire(raw), err
}

func newWire(raw net.Conn) *wire {
	w := &wire{Conn: raw, buffer: make([]byte, wireBuffer)}
	if tcp, ok := raw.(*net.TCPConn); ok {
		w.raw, _ = tcp.SyscallConn() // it fails on a closed connection alone
	}
	return w
}

func (w *wire) Read(p []byte) (int, error) {
	if !w.streaming.Load() {
		return w.Conn.Read(p)
	}
	if len(w.unread) == 0 {
		n, err := w.fill()
		if n == 0 {
			return 0, err
		}
		w.unread = w.buffer[:n] // an error comes again with the next read
	}
	n := copy(p, w.unread)
	w.unread = w.unread[n:]
	return n, nil
}

// fill reads the socket once, when it is time to.
func (w *wire) fill() (int, error) {
	alarm := w.alarm()
	if pause := min(w.pace.pause(), time.Until(alarm)); pause > 0 {
		time.Sleep(pause)
	}
	// A deadline in the past would keep a read from looking at what has arrived.
	deadline := time.Now().Add(shortestRead)
	if !w.pace.busy && alarm.After(deadline) {
		deadline = alarm
	}
	w.turned = true
	if err := w.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	// interrupt sets the flag before the deadline, so one of the two is seen here.
	if w.interrupted.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	busy := w.pace.busy
	n, err := w.Conn.Read(w.buffer)
	w.pace.brought(n, time.Now())
	if w.pace.busy != busy {
		w.wakeAt(w.pace.busy)
	}
	if n > 0 && w.told != nil {
		w.told(n)
	}
	return n, err
}

// wakeAt has the kernel tell of data once there is much of it, or at once. Otherwise the runtime's poller would be woken by
// each segment, and charge the sender for it, although nobody waits for it.
func (w *wire) wakeAt(much bool) {
	if w.raw == nil {
		return
	}
	least := 1
	if much {
		least = paceLittle
	}
	w.raw.Control(func(fd uintptr) { setLowWater(fd, least) }) // without it a busy stream costs more, and an error is the next read's too
}

func (w *wire) Write(p []byte) (int, error) {
	if w.streaming.Load() {
		if err := w.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return 0, err
		}
	}
	return w.Conn.Write(p)
}

// SetDeadline ends the stream's way of reading. While we stream, pgconn sets one only as it gives up a connection that broke, and then,
// on a goroutine of its own, reads what is left: what the reads of a stream touch and call belongs to the stream's goroutine.
func (w *wire) SetDeadline(t time.Time) error {
	w.streaming.Store(false)
	return w.Conn.SetDeadline(t)
}

// interrupt ends a read under way, and each later one, at once.
func (w *wire) interrupt() {
	w.interrupted.Store(true)
	w.Conn.SetReadDeadline(time.Unix(1, 0)) // an error says that the connection is closed: nothing is left to interrupt
}

// pace says how long to wait before the next read of a socket. The walsender makes a send of every protocol message; a
// reader that is there at once makes each a segment and a wake-up, which costs both sides more than the decoding. A busy
// stream is therefore left alone for some milliseconds, so that its messages pile up; a quiet one is read at once. Pure.
type pace struct {
	busy  bool
	few   bool // the last read brought little
	count int  // reads in a row that speak for the other state
	since time.Time
}

const (
	paceWait   = 3 * time.Millisecond
	paceLittle = 24 << 10 // a read that brought as much may be repeated at once: the sender keeps up with us

	// A quiet stream becomes busy with paceReads reads within paceReads milliseconds, each of little.
	paceReads = 8
	// A busy one becomes quiet when as many waits in a row brought less than a few rows.
	paceIdle = 512
)

// pause returns how long to wait before the next read.
func (p *pace) pause() time.Duration {
	if p.busy && p.few {
		return paceWait
	}
	return 0
}

// brought notes what a read brought, and when; nothing if it timed out.
func (p *pace) brought(bytes int, now time.Time) {
	p.few = bytes < paceLittle
	if p.busy {
		if bytes >= paceIdle {
			p.count = 0
			return
		}
		if p.count++; p.count == paceReads {
			*p = pace{few: true}
		}
		return
	}
	if !p.few || p.count == 0 || now.Sub(p.since) > paceReads*time.Millisecond {
		p.count, p.since = 0, now
	}
	if !p.few || bytes == 0 {
		return
	}
	if p.count++; p.count > paceReads {
		*p = pace{busy: true, few: true}
	}
}
