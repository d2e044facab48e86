package network

import (
	"context"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
)

// Dialer opens connections that its faults break. Its Dial fits kafka.Config and postgres.Config. Any goroutine may use it.
type Dialer struct {
	framing func() framing
	under   net.Dialer
	pumps   sync.WaitGroup
	closed  chan struct{}

	mu         sync.Mutex
	random     *rand.Rand
	injections []*Injection
	conns      map[*conn]bool
	down       chan struct{} // not nil: the servers cannot be reached until it is closed
	refusing   bool          // while down: a dial fails at once, instead of hanging
}

// NewKafka returns a dialer that sees Kafka's messages. The seed decides at which byte a message is cut.
func NewKafka(seed uint64) *Dialer { return newDialer(seed, newKafkaFraming) }

// NewPostgres returns a dialer that sees Postgres's messages. The seed decides at which byte a message is cut.
func NewPostgres(seed uint64) *Dialer { return newDialer(seed, newPostgresFraming) }

func newDialer(seed uint64, framing func() framing) *Dialer {
	return &Dialer{framing: framing, closed: make(chan struct{}), random: rand.New(rand.NewPCG(seed, 0)), conns: map[*conn]bool{}}
}

// Dial connects, or behaves as Refuse or Isolate told it.
func (d *Dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	down, refusing := d.down, d.refusing
	d.mu.Unlock()
	if down != nil {
		if refusing {
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
		}
		select {
		case <-down:
		case <-ctx.Done():
			return nil, &net.OpError{Op: "dial", Net: network, Err: ctx.Err()}
		case <-d.closed:
			return nil, net.ErrClosed
		}
	}
	server, err := d.under.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	near, far, err := pair(ctx)
	if err != nil {
		server.Close()
		return nil, err
	}
	c := &conn{dialer: d, client: far, server: server, framing: d.framing(), silent: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	select {
	case <-d.closed:
		near.Close()
		c.close()
		return nil, net.ErrClosed
	default:
	}
	d.conns[c] = true
	d.pumps.Add(2)
	go c.up()
	go c.down()
	return &addressed{near, server}, nil
}

// pair returns two ends that are connected through the kernel, which buffers as it does on a real way.
func pair(ctx context.Context) (near, far net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	var dialer net.Dialer
	if near, err = dialer.DialContext(ctx, "tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	for err == nil {
		if far, err = listener.Accept(); err == nil && far.RemoteAddr().String() == near.LocalAddr().String() {
			return near, far, nil
		}
		if err == nil {
			far.Close() // a stranger's
		}
	}
	near.Close()
	return nil, nil, err
}

// addressed is the client's end of a connection, under the addresses that it stands for.
type addressed struct {
	net.Conn
	server net.Conn
}

func (a *addressed) LocalAddr() net.Addr  { return a.server.LocalAddr() }
func (a *addressed) RemoteAddr() net.Addr { return a.server.RemoteAddr() }

// Inject watches for a fault's messages on all connections, those to come too. A message that fits several faults is for
// the first of them that is not spent.
func (d *Dialer) Inject(f Fault) *Injection {
	i := &Injection{fault: f, fired: make(chan struct{}), answered: make(chan struct{})}
	i.fault.Times = max(1, f.Times)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.injections = append(d.injections, i)
	return i
}

// Withdraw watches for a fault no longer. What it has done to connections stays.
func (d *Dialer) Withdraw(i *Injection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.injections = slices.DeleteFunc(d.injections, func(other *Injection) bool { return other == i })
}

// Cut closes every connection.
func (d *Dialer) Cut() {
	for _, c := range d.open() {
		c.close()
	}
}

// Refuse closes every connection and refuses new ones, until Heal.
func (d *Dialer) Refuse() {
	d.goDown(true)
	d.Cut()
}

// Isolate makes every connection half open, and has new ones wait, until Heal. Heal mends the new ones only.
func (d *Dialer) Isolate() {
	d.goDown(false)
	for _, c := range d.open() {
		c.silence()
	}
}

// Heal lets connections be made again.
func (d *Dialer) Heal() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down != nil {
		close(d.down)
		d.down = nil
	}
}

// Close closes every connection and waits for what served it.
func (d *Dialer) Close() {
	d.Heal()
	d.mu.Lock()
	close(d.closed)
	d.mu.Unlock()
	d.Cut()
	d.pumps.Wait()
}

func (d *Dialer) goDown(refusing bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.down == nil {
		d.down = make(chan struct{})
	}
	d.refusing = refusing
}

func (d *Dialer) open() []*conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	var open []*conn
	for c := range d.conns {
		open = append(open, c)
	}
	return open
}

// forget drops a connection both ends of which are closed.
func (d *Dialer) forget(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
}

// decide returns what is to be done with a message; nil: pass it on.
func (d *Dialer) decide(m Message) *Injection {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.injections {
		waits := i.fault.After != nil && !i.fault.After.hasFired()
		if waits || i.acted == i.fault.Times || !i.fault.Match(m) {
			continue
		}
		if i.fault.Skip > 0 {
			i.fault.Skip--
			continue
		}
		if i.acted++; i.acted == 1 {
			close(i.fired)
		}
		return i
	}
	return nil
}

// part draws how much of a message gets through before a cut.
func (d *Dialer) part(size int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.random.IntN(size)
}
