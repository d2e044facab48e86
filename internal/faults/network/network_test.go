package network_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/faults/network"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// server answers each message it can find, and tells of it.
type server struct {
	address  string
	received chan string // what was asked, one a message
	ended    chan struct{}
}

// serve runs a server whose talk reads a message and gives what to tell and to answer.
func serve(t *testing.T, talk func(io.Reader) (told string, answer []byte, err error)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{address: listener.Addr().String(), received: make(chan string, 100), ended: make(chan struct{}, 100)}
	var working sync.WaitGroup
	working.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			working.Go(func() {
				defer func() { c.Close(); s.ended <- struct{}{} }()
				for {
					told, answer, err := talk(c)
					if err != nil {
						return
					}
					s.received <- told
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { listener.Close(); working.Wait() })
	return s
}

// kafkaTalk answers a request with its correlation id and its text.
func kafkaTalk(r io.Reader) (string, []byte, error) {
	var head [12]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", nil, err
	}
	text := make([]byte, binary.BigEndian.Uint32(head[:])-8)
	if _, err := io.ReadFull(r, text); err != nil {
		return "", nil, err
	}
	answer := binary.BigEndian.AppendUint32(nil, uint32(4+len(text)))
	return string(text), append(append(answer, head[8:]...), text...), nil
}

// client asks as Kafka's clients do.
type client struct {
	t    *testing.T
	conn net.Conn
	id   uint32
}

func kafkaClient(t *testing.T) (*network.Dialer, *server, func() *client) {
	t.Helper()
	s := serve(t, kafkaTalk)
	d := network.NewKafka(1)
	t.Cleanup(d.Close)
	return d, s, func() *client {
		c, err := d.Dial(t.Context(), "tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return &client{t: t, conn: c}
	}
}

func (c *client) send(api int16, text string) error {
	c.id++
	request := binary.BigEndian.AppendUint32(nil, uint32(8+len(text)))
	request = binary.BigEndian.AppendUint16(request, uint16(api))
	request = binary.BigEndian.AppendUint16(request, 3)
	request = binary.BigEndian.AppendUint32(request, c.id)
	_, err := c.conn.Write(append(request, text...))
	return err
}

func (c *client) ask(api int16, text string) (string, error) {
	if err := c.send(api, text); err != nil {
		return "", err
	}
	return c.hear()
}

func (c *client) hear() (string, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		return "", err
	}
	text := make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err := io.ReadFull(c.conn, text)
	return string(text), err
}

// expect asks and must be answered.
func (c *client) expect(api int16, text string) {
	c.t.Helper()
	if got, err := c.ask(api, text); err != nil || got != text {
		c.t.Fatalf("asked %q and heard %q, %v", text, got, err)
	}
}

func (s *server) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-s.received:
			if got != w {
				t.Fatalf("the server received %q, want %q", got, w)
			}
		case <-time.After(patience):
			t.Fatalf("the server did not receive %q", w)
		}
	}
	select {
	case got := <-s.received:
		t.Fatalf("the server received %q too", got)
	default:
	}
}

func await(t *testing.T, what string, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		t.Fatalf("%s: did not happen", what)
	}
}

func TestARequestOrItsResponseIsLost(t *testing.T) {
	d, s, dial := kafkaClient(t)
	lost := d.Inject(network.Fault{Match: network.Request(network.EndTxn), Action: network.Cut, Skip: 1})
	c := dial()
	c.expect(network.EndTxn, "first")
	c.expect(network.Produce, "other")
	s.expect(t, "first", "other")
	if got, err := c.ask(network.EndTxn, "lost"); err == nil {
		t.Fatalf("the lost request was answered with %q", got)
	}
	await(t, "the fault", lost.Fired())
	await(t, "the end of the server's side", s.ended)
	s.expect(t)

	unheard := d.Inject(network.Fault{Match: network.Response(network.EndTxn), Action: network.Cut})
	c = dial()
	if got, err := c.ask(network.EndTxn, "unheard"); err == nil {
		t.Fatalf("the answer was heard: %q", got)
	}
	await(t, "the fault", unheard.Fired())
	s.expect(t, "unheard") // it was served

	d.Inject(network.Fault{Match: network.Response(network.Produce), Action: network.CutAfter})
	c = dial()
	c.expect(network.Produce, "heard")
	s.expect(t, "heard")
	if _, err := c.hear(); err == nil {
		t.Fatal("the connection lives")
	}
}

// The client gives the connection up and asks again on another one; then its first request arrives after all.
func TestALateRequestArrivesAfterItsRepetition(t *testing.T) {
	d, s, dial := kafkaClient(t)
	until := make(chan struct{})
	late := d.Inject(network.Fault{Match: network.Request(network.EndTxn), Action: network.Late, Until: until})
	later := d.Inject(network.Fault{Match: network.Response(network.Produce), Action: network.Watch, After: late})
	c := dial()
	c.expect(network.Produce, "before")
	s.expect(t, "before")
	if got, err := c.ask(network.EndTxn, "late"); err == nil {
		t.Fatalf("it was answered with %q", got)
	}
	c.conn.Close()
	await(t, "the fault", late.Fired())
	c = dial()
	c.expect(network.EndTxn, "repeated")
	s.expect(t, "repeated")
	select {
	case <-later.Fired():
		t.Fatal("it fired before its time")
	default:
	}
	c.expect(network.Produce, "next")
	await(t, "the fault of later", later.Fired())
	s.expect(t, "next")
	close(until)
	await(t, "the late request", late.Answered())
	s.expect(t, "late")
}

// What one side waits for may happen on the other, whose connections are another dialer's: seen under the race detector.
func TestAFaultWaitsForOneOfAnotherDialer(t *testing.T) {
	first, _, dialFirst := kafkaClient(t)
	second, heard, dialSecond := kafkaClient(t)
	cause := first.Inject(network.Fault{Match: network.Request(network.EndTxn), Action: network.Watch})
	effect := second.Inject(network.Fault{Match: network.Request(network.Produce), Action: network.Watch, After: cause})
	c, other := dialFirst(), dialSecond()
	other.expect(network.Produce, "before")
	heard.expect(t, "before")
	select {
	case <-effect.Fired():
		t.Fatal("it fired before its cause")
	default:
	}
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { c.ask(network.EndTxn, "cause") }) // to be heard is not what matters
	for fired := false; !fired; {
		other.expect(network.Produce, "meanwhile")
		heard.expect(t, "meanwhile")
		select {
		case <-effect.Fired():
			fired = true
		default:
		}
	}
}

func TestAMessageIsHeldAndWhatIsBehindItWaits(t *testing.T) {
	for _, match := range []network.Match{network.Request(network.Produce), network.Response(network.Produce)} {
		d, s, dial := kafkaClient(t)
		until := make(chan struct{})
		held := d.Inject(network.Fault{Match: match, Action: network.Hold, Until: until})
		c := dial()
		c.conn.SetDeadline(time.Now().Add(patience))
		for _, text := range []string{"held", "behind"} {
			if err := c.send(network.Produce, text); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "the fault", held.Fired())
		dial().expect(network.Produce, "other")
		close(until)
		for _, want := range []string{"held", "behind"} {
			if got, err := c.hear(); err != nil || got != want {
				t.Fatalf("heard %q, %v, want %q", got, err, want)
			}
		}
		if len(s.received) != 3 {
			t.Fatalf("the server received %d messages", len(s.received))
		}
	}
}

func TestAHalfOpenConnectionTellsNobody(t *testing.T) {
	d, s, dial := kafkaClient(t)
	d.Inject(network.Fault{Match: network.Request(network.Produce), Action: network.Silence, Skip: 1})
	c := dial()
	c.expect(network.Produce, "heard")
	for range 100 { // more than any buffer takes
		if err := c.send(network.Produce, string(make([]byte, 64<<10))); err != nil {
			t.Fatal(err)
		}
	}
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if got, err := c.hear(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("heard %q, %v", got, err)
	}
	c.conn.Close()
	dial().expect(network.Produce, "other")
	s.expect(t, "heard", "other")
	select {
	case <-s.ended:
		t.Fatal("the server learned that the client closed")
	default:
	}
	d.Cut()
	await(t, "the end of the server's side", s.ended)
}

func TestASlowConnectionPassesEverything(t *testing.T) {
	d, s, dial := kafkaClient(t)
	d.Inject(network.Fault{Match: network.Request(network.Produce), Action: network.Slow, Rate: 2})
	c := dial()
	began := time.Now()
	c.expect(network.Produce, "0123456789")
	if took := time.Since(began); took < 20*time.Millisecond { // for 22 bytes there, 18 back
		t.Errorf("it took %s", took)
	}
	s.expect(t, "0123456789")
}

func TestServersThatCannotBeReached(t *testing.T) {
	d, s, dial := kafkaClient(t)
	c := dial()
	c.expect(network.Produce, "1")
	d.Refuse()
	if _, err := c.ask(network.Produce, "2"); err == nil {
		t.Fatal("the connection lives")
	}
	if _, err := d.Dial(t.Context(), "tcp", s.address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("got %v", err)
	}
	d.Heal()
	c = dial()
	c.expect(network.Produce, "3")

	d.Isolate()
	if err := c.send(network.Produce, "4"); err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Dial(limited, "tcp", s.address); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	var dialled sync.WaitGroup
	dialled.Go(func() { dial().expect(network.Produce, "5") })
	d.Heal()
	dialled.Wait()
	s.expect(t, "1", "3", "5")
}
