package network_test

import (
	"bytes"
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

// postgresTalk is a server that answers a startup message with an authentication, a query with a stream of a transaction,
// and tells of each status.
func postgresTalk() func(io.Reader) (string, []byte, error) {
	begun := false
	return func(r io.Reader) (string, []byte, error) {
		kind := []byte("startup")
		if begun {
			kind = kind[:1]
			if _, err := io.ReadFull(r, kind); err != nil {
				return "", nil, err
			}
		}
		begun = true
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return "", nil, err
		}
		body := make([]byte, binary.BigEndian.Uint32(length[:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", nil, err
		}
		switch string(kind) {
		case "startup":
			return "startup", typed('R', 0, 0, 0, 0), nil
		case "Q":
			var stream []byte
			for _, message := range "BIIC" {
				head := append([]byte{'w'}, make([]byte, 24)...)
				stream = append(stream, typed('d', append(head, byte(message))...)...)
			}
			return "query", append(stream, typed('d', append([]byte{'k'}, make([]byte, 17)...)...)...), nil
		}
		return string(kind) + string(body[:1]), nil, nil
	}
}

func typed(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// Statuses vanish and the stream goes on; the third message of the stream is where it breaks.
func TestMessagesOfPostgresAreToldApart(t *testing.T) {
	s := serve(t, postgresTalk())
	d := network.NewPostgres(1)
	t.Cleanup(d.Close)
	swallowed := d.Inject(network.Fault{Match: network.Type(network.Status), Action: network.Drop, Times: network.Always})
	other := d.Inject(network.Fault{Match: network.Of("other", network.Type(network.XLogData)), Action: network.Watch})
	d.Inject(network.Fault{Match: network.Of("live", network.Type(network.Insert)), Action: network.CutAfter, Skip: 1})
	keepalive := d.Inject(network.Fault{Match: network.Type(network.Keepalive), Action: network.Watch})
	c, err := d.Dial(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write := func(message []byte) { c.Write(message) } // an error shows in what is read
	write(append(binary.BigEndian.AppendUint32(nil, 9), 0, 3, 0, 0, 0))
	if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	write(typed('d', append([]byte{'r'}, make([]byte, 33)...)...))
	write(typed('d', append([]byte{'x'}, make([]byte, 33)...)...))
	write(typed('Q', []byte("START_REPLICATION SLOT \"live\" LOGICAL 0/0\x00")...))
	stream, _ := io.ReadAll(c)
	var kinds []byte
	for one := range bytes.SplitSeq(stream, typed('d', 'w')[:1]) {
		if len(one) == 30 {
			kinds = append(kinds, one[29])
		}
	}
	if string(kinds) != "BII" {
		t.Errorf("received %q, in %d bytes", kinds, len(stream))
	}
	s.expect(t, "startup", "dx", "query")
	await(t, "the swallowed status", swallowed.Fired())
	select {
	case <-keepalive.Fired():
		t.Error("the keepalive behind the cut was seen")
	case <-other.Fired():
		t.Error("the stream was taken for another slot's")
	default:
	}
}
