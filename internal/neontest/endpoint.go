// Package neontest imitates, around a real Postgres, what Neon puts between it and a client: an endpoint that is found by the
// name in the TLS handshake, forwards few startup parameters, pools, refuses, suspends the compute and wakes it, and moves.
//
//	client ══TLS with SNI══► Endpoint ───► (a failing network) ───► Postgres
//
// It follows what Neon's documentation and the source of its proxy say. It was not compared with a live Neon.
package neontest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/internal/devstack"
)

// Host is the endpoint's name, and PooledHost that of its pooler. This machine's name works too, where a test has to give a port.
const (
	Host       = "ep-quiet-test-123.eu-central-1.aws.neon.tech"
	PooledHost = "ep-quiet-test-123-pooler.eu-central-1.aws.neon.tech"
	localHost  = "localhost"
)

// Pool says what a pooler does with a connection that would replicate.
type Pool byte

// The pooler refuses the startup parameter, or takes the connection for one like any other.
const (
	NoPool Pool = iota
	PoolRefuses
	PoolIgnores
)

// forwarded are the startup parameters that the proxy passes on.
var forwarded = map[string]bool{"user": true, "database": true, "application_name": true, "replication": true, "options": true}

// Endpoint is a proxy before one Postgres. Any goroutine may use it; its fields are set before the first connection.
type Endpoint struct {
	Dial        func(ctx context.Context, network, address string) (net.Conn, error) // to the Postgres; nil: as it is
	Pool        Pool                                                                 // what every name is
	DropOptions bool

	AsleepRefuses bool // a connection does not wake a suspended compute: Wake alone does

	t       testing.TB
	server  *devstack.Postgres
	ca      string
	tls     *tls.Config
	serving sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	closed   bool
	answer   *pgproto3.ErrorResponse // to every startup; nil: none
	startups int
	sessions map[*session]bool
	asleep   *sleep // nil: the Postgres runs
}

// sleep is a suspended compute.
type sleep struct {
	wake  func()
	awake chan struct{} // closed when the Postgres runs again
}

// Start opens an endpoint, which ends with the test.
func Start(t testing.TB, server *devstack.Postgres) *Endpoint {
	t.Helper()
	authority := devstack.TestAuthority(t)
	certificate, err := tls.LoadX509KeyPair(authority.Issue("endpoint", Host, PooledHost, localHost))
	if err != nil {
		t.Fatal(err)
	}
	e := &Endpoint{t: t, server: server, ca: authority.File, tls: &tls.Config{Certificates: []tls.Certificate{certificate}}, sessions: map[*session]bool{}}
	e.open()
	t.Cleanup(func() {
		e.Wake()
		e.shut(true)
		e.serving.Wait()
	})
	return e
}

// URL is how a console would show the database, but for its authority. The password may be empty.
func (e *Endpoint) URL(host, user, password, database string) string {
	u := url.URL{Scheme: "postgres", Host: host, User: url.UserPassword(user, password), Path: database,
		RawQuery: url.Values{"sslmode": {"require"}, "sslrootcert": {e.ca}}.Encode()}
	return u.String()
}

// CA is the file of the authority that signed the endpoint's certificate.
func (e *Endpoint) CA() string { return e.ca }

// Port is where the endpoint listens now.
func (e *Endpoint) Port() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.listener.Addr().(*net.TCPAddr).Port
}

// Resolve connects to where the endpoint is now, whatever the name: it stands for the name server.
func (e *Endpoint) Resolve(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", e.Port()))
}

// Leave closes every connection and listens no more, until Arrive.
func (e *Endpoint) Leave() { e.shut(false) }

// Arrive listens again, at another port.
func (e *Endpoint) Arrive() { e.open() }

func (e *Endpoint) open() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	e.listener = listener
	e.mu.Unlock()
	e.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			e.serving.Go(func() { e.serve(conn) })
		}
	})
}

// shut closes the listener and every connection.
func (e *Endpoint) shut(forGood bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = e.closed || forGood
	e.listener.Close()
	for s := range e.sessions {
		s.close()
	}
}

// Cut closes every connection.
func (e *Endpoint) Cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sessions {
		s.close()
	}
}

// Answer has every startup answered with a fatal error, as the proxy gives it, until it is called with an empty text.
func (e *Endpoint) Answer(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = nil
	if text != "" {
		e.answer = fatal("XX000", text)
	}
}

// Startups is how many connections have come as far as to say what they want.
func (e *Endpoint) Startups() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.startups
}

// Tell gives every connection that replicates an error between two of its messages, and returns how many these were.
func (e *Endpoint) Tell(code, text string) (told int) {
	e.mu.Lock()
	sessions := make([]*session, 0, len(e.sessions))
	for s := range e.sessions {
		sessions = append(sessions, s)
	}
	e.mu.Unlock()
	for _, s := range sessions {
		if s.tell(fatal(code, text)) {
			told++
		}
	}
	return told
}

// Suspend stops the compute as Neon does an idle one, and reports whether it did: not as long as something else than Neon's own
// walproposer replicates. With always it does so in any case, as where a compute is replaced.
func (e *Endpoint) Suspend(ctx context.Context, mode devstack.StopMode, always bool) (bool, error) {
	conn, err := pgx.Connect(ctx, e.server.URL())
	if err != nil {
		return false, err
	}
	var kept bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE application_name <> 'walproposer')").Scan(&kept)
	conn.Close(ctx)
	if err != nil || kept && !always {
		return false, err
	}
	wake, down := make(chan struct{}), make(chan struct{})
	s := &sleep{wake: sync.OnceFunc(func() { close(wake) }), awake: make(chan struct{})}
	e.mu.Lock()
	e.asleep = s
	e.mu.Unlock()
	e.serving.Go(func() {
		defer close(s.awake)
		err := e.server.Restart(context.WithoutCancel(ctx), mode, func() error { close(down); <-wake; return nil })
		if err != nil {
			e.t.Errorf("the compute did not wake: %v", err)
		}
		e.mu.Lock()
		e.asleep = nil
		e.mu.Unlock()
	})
	select {
	case <-down:
		return true, nil
	case <-s.awake:
		return false, errors.New("the compute was not suspended")
	}
}

// Wake starts a suspended compute and returns when it takes connections, as a connection to the endpoint does.
func (e *Endpoint) Wake() {
	e.mu.Lock()
	s := e.asleep
	e.mu.Unlock()
	if s != nil {
		s.wake()
		<-s.awake
	}
}

// serve is one connection from its first byte to its last.
func (e *Endpoint) serve(conn net.Conn) {
	s := &session{client: conn}
	e.mu.Lock()
	closed := e.closed
	e.sessions[s] = true
	e.mu.Unlock()
	defer func() {
		s.close()
		e.mu.Lock()
		delete(e.sessions, s)
		e.mu.Unlock()
	}()
	if closed {
		return
	}
	startup, refusal, err := e.greet(s)
	if err != nil {
		return
	}
	if refusal != nil {
		s.say(refusal)
		return
	}
	if !e.AsleepRefuses {
		e.Wake()
	}
	if err := e.forward(s, startup); err != nil && !errors.Is(err, io.EOF) {
		s.say(fatal("XX000", "Couldn't connect to compute node"))
	}
}

// greet reads what the client wants, and says why it does not get it.
func (e *Endpoint) greet(s *session) (*pgproto3.StartupMessage, *pgproto3.ErrorResponse, error) {
	name, secure := "", false
	for {
		m, err := pgproto3.NewBackend(s.client, s.client).ReceiveStartupMessage()
		if err != nil {
			return nil, nil, err
		}
		switch m := m.(type) {
		case *pgproto3.SSLRequest:
			if _, err := s.client.Write([]byte{'S'}); err != nil {
				return nil, nil, err
			}
			encrypted := tls.Server(s.client, e.tls)
			if err := encrypted.Handshake(); err != nil {
				return nil, nil, err
			}
			s.encrypt(encrypted)
			name, secure = encrypted.ConnectionState().ServerName, true
		case *pgproto3.StartupMessage:
			return m, e.refuse(name, secure, m), nil
		default: // a cancel request, which this proxy does not pass on
			return nil, nil, fmt.Errorf("the client sent %T", m)
		}
	}
}

func (e *Endpoint) refuse(name string, secure bool, startup *pgproto3.StartupMessage) *pgproto3.ErrorResponse {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.startups++
	_, replicates := startup.Parameters["replication"]
	switch {
	case !secure:
		return fatal("XX000", "connection is insecure (try using `sslmode=require`)")
	case name == "":
		return fatal("XX000", "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support "+
			"or pass the endpoint ID (first part of the domain name) as a parameter: '?options=endpoint%3D<endpoint-id>'. See more at https://neon.tech/sni")
	case name != Host && name != PooledHost && name != localHost:
		return fatal("XX000", "The requested endpoint could not be found, or you don't have access to it. Please check the provided ID and try again.")
	case e.answer != nil:
		return e.answer
	case replicates && e.pool(name) == PoolRefuses:
		return fatal("08P01", "unsupported startup parameter: replication")
	}
	if replicates && e.pool(name) == PoolIgnores {
		delete(startup.Parameters, "replication")
	}
	return nil
}

func (e *Endpoint) pool(name string) Pool {
	if strings.HasPrefix(name, strings.SplitN(PooledHost, ".", 2)[0]) {
		return max(e.Pool, PoolRefuses)
	}
	return e.Pool
}

// forward passes a connection on, with the few parameters that the proxy knows.
func (e *Endpoint) forward(s *session, startup *pgproto3.StartupMessage) error {
	for name := range startup.Parameters {
		if !forwarded[name] || name == "options" && e.DropOptions {
			delete(startup.Parameters, name)
		}
	}
	dial := e.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	server, err := dial(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", e.server.Port()))
	if err != nil {
		return err
	}
	if !s.join(server, startup.Parameters["replication"] != "") {
		return io.EOF
	}
	packet, err := startup.Encode(nil)
	if err != nil {
		return err
	}
	if _, err := server.Write(packet); err != nil {
		return io.EOF
	}
	s.pump()
	return nil
}

func fatal(code, text string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: text}
}
