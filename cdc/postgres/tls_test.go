package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
)

// What each sslmode comes to, said by what would be tried: without TLS, TLS for whoever answers, TLS with the authority
// verified, or with the host's name too.
func TestBeyondThisMachineTheServerIsVerified(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	ca := devstack.TestAuthority(t).File
	for _, c := range []struct{ url, want string }{
		{"postgres://u@localhost/db", "localhost:any localhost:clear"},
		{"postgres://u@127.0.0.1/db?sslmode=require", "127.0.0.1:any"},
		{"postgres://u@/db?host=/tmp", "/tmp:clear"},
		{"postgres://u@db.example.com/db", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=allow", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=prefer", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=require", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=require&sslrootcert=" + ca, "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=verify-ca", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=verify-ca&sslrootcert=" + ca, "db.example.com:ca"},
		{"postgres://u@db.example.com/db?sslmode=verify-full", "db.example.com:full"},
		{"postgres://u@db.example.com/db?sslmode=disable", "db.example.com:clear"},
		{"host=db.example.com user=u sslmode=require", "db.example.com:full"},
		{"postgres://u@10.0.0.1/db?sslmode=require", "10.0.0.1:full"},
		{"postgres://u@localhost.example.com/db", "localhost.example.com:full"},
		{"postgres://u@a.example.com,localhost/db", "a.example.com:full localhost:any localhost:clear"},
		{"postgres://u@ep-a.eu.neon.tech/db?sslmode=require&channel_binding=require", "ep-a.eu.neon.tech:full"},
	} {
		cc, err := postgres.Parse(c.url)
		if err != nil {
			t.Errorf("%s: %v", c.url, err)
			continue
		}
		if got := shown(cc); got != c.want {
			t.Errorf("%s: %s, want %s", c.url, got, c.want)
		}
		if clear := strings.HasPrefix(c.want, "db.example.com:clear"); postgres.InClear(cc) != clear {
			t.Errorf("%s: InClear = %v", c.url, !clear)
		}
	}
	var refusal *cdc.Refusal
	if _, err := postgres.Parse("postgres://u@ep-a.eu.neon.tech/db?sslmode=disable"); !errors.As(err, &refusal) || refusal.Name != "source_tls_required" {
		t.Errorf("Neon without TLS: %v", err)
	}
	if _, err := postgres.Parse("postgres://u@h/db?sslrootcert=/none.pem"); !errors.As(err, &refusal) || refusal.Name != "source_tls_malformed" {
		t.Errorf("no such file: %v", err)
	}
}

func shown(cc *pgx.ConnConfig) string {
	ways := []string{}
	say := func(host string, clear, anyone, ca bool, name string) {
		kind := "full"
		switch {
		case clear:
			kind = "clear"
		case anyone && ca:
			kind = "ca"
		case anyone:
			kind = "any"
		case name != host:
			kind = "verified as " + name
		}
		ways = append(ways, host+":"+kind)
	}
	if t := cc.TLSConfig; t == nil {
		say(cc.Host, true, false, false, "")
	} else {
		say(cc.Host, false, t.InsecureSkipVerify, t.VerifyPeerCertificate != nil, t.ServerName)
	}
	for _, f := range cc.Fallbacks {
		if t := f.TLSConfig; t == nil {
			say(f.Host, true, false, false, "")
		} else {
			say(f.Host, false, t.InsecureSkipVerify, t.VerifyPeerCertificate != nil, t.ServerName)
		}
	}
	return strings.Join(ways, " ")
}

// secured is a Postgres whose user of that name gets in by TLS and SCRAM alone, and whose certificate is for two names.
type secured struct {
	*devstack.Postgres
	ca string
}

const password = "hunter2 &%"

func newSecured(t *testing.T) secured {
	t.Helper()
	p := devstack.TestPostgres(t)
	authority := devstack.TestAuthority(t)
	certificate, key := authority.Issue("server", "localhost", "db.example.com")
	conn := connect(t, p.URL())
	run := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var rules string
	if err := conn.QueryRow(t.Context(), "SELECT pg_read_file('pg_hba.conf')").Scan(&rules); err != nil {
		t.Fatal(err)
	}
	// The server writes the files itself: they must be its own.
	for name, text := range map[string]string{"server.crt": read(t, certificate), "server.key": read(t, key),
		"pg_hba.conf": "hostssl all secured all scram-sha-256\nhostnossl all secured all reject\nhostnossl all unbound all scram-sha-256\n" + rules} {
		run(fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask 077; cat > %s'", strings.ReplaceAll(text, "'", "''"), name))
	}
	for _, sql := range []string{"SET password_encryption = 'scram-sha-256'", "CREATE ROLE secured LOGIN REPLICATION PASSWORD '" + password + "'",
		"CREATE ROLE unbound LOGIN PASSWORD '" + password + "'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
		run(sql)
	}
	s := secured{p, authority.File}
	await(t, conn, "SELECT setting = 'on' FROM pg_settings WHERE name = 'ssl'")
	return s
}

// await asks until the answer is yes: each question is a round trip to the server, which paces it.
func await(t *testing.T, conn *pgx.Conn, question string) {
	t.Helper()
	for yes := false; !yes; {
		if err := conn.QueryRow(t.Context(), question).Scan(&yes); err != nil {
			t.Fatal(err)
		}
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// config names the server as host, wherever it is.
func (s secured) config(user, host, settings string) postgres.Config {
	url := fmt.Sprintf("postgres://%s:hunter2%%20%%26%%25@%s:%d/postgres?%s", user, host, s.Port(), settings)
	return postgres.Config{URL: url, Slot: "s", Publication: "p", Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", s.Port()))
	}}
}

// Both kinds of connection log in by SCRAM through a TLS that is verified and bound to the login, as Neon's URLs ask for.
func TestVerifiedTLSAndSCRAM(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	for name, c := range map[string]postgres.Config{
		"this machine":     s.config("secured", "localhost", "sslmode=verify-full&channel_binding=require&sslrootcert="+s.ca),
		"beyond it":        s.config("secured", "db.example.com", "channel_binding=require&sslrootcert="+s.ca),
		"as Neon's":        s.config("secured", "db.example.com", "sslmode=require&channel_binding=require&sslrootcert="+s.ca),
		"the name ignored": s.config("secured", "other.example.com", "sslmode=verify-ca&sslrootcert="+s.ca),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := postgres.Connect(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			var encrypted bool
			if err := conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
				t.Errorf("encrypted: %v (%v)", encrypted, err)
			}
			replicating, err := postgres.Dial(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			defer replicating.Close()
			if _, err := replicating.Identify(t.Context()); err != nil {
				t.Error(err)
			}
			await(t, conn, "SELECT bool_and(ssl) AND count(*) > 0 FROM pg_stat_replication JOIN pg_stat_ssl USING (pid)")
		})
	}
}

// Each refusal has its name and its remedy, on both kinds of connection, and shows no password.
func TestTLSIsRefusedByName(t *testing.T) {
	t.Parallel()
	s := newSecured(t)
	other := devstack.TestAuthority(t).File
	wrong := s.config("secured", "localhost", "sslmode=verify-full&sslrootcert="+s.ca)
	wrong.URL = strings.Replace(wrong.URL, "hunter2", "hunter3", 1)
	without := s.config("secured", "db.example.com", "")
	without.Dial = refusingTLS(t)
	for _, c := range []struct {
		config     postgres.Config
		name, says string
	}{
		{s.config("secured", "db.example.com", ""), "source_certificate_untrusted", "sslrootcert=FILE"},
		{s.config("secured", "db.example.com", "sslrootcert="+other), "source_certificate_untrusted", "sslrootcert=FILE"},
		{s.config("secured", "localhost", "sslmode=verify-full&sslrootcert="+other), "source_certificate_untrusted", "sslrootcert=FILE"},
		{s.config("secured", "other.example.com", "sslrootcert="+s.ca), "source_certificate_other_host", "not other.example.com"},
		{s.config("secured", "127.0.0.1", "sslmode=verify-full&sslrootcert="+s.ca), "source_certificate_other_host", "127.0.0.1"},
		{wrong, "source_login_refused", "password authentication failed"},
		{s.config("unbound", "127.0.0.1", "sslmode=disable&channel_binding=require"), "source_channel_binding", "channel_binding"},
		{s.config("secured", "db.example.com", "sslmode=disable"), "source_login_refused", "no encryption"},
		{without, "source_tls_missing", "sslmode=disable"},
	} {
		connection, err := postgres.Connect(t.Context(), c.config)
		if err == nil {
			connection.Close(t.Context())
		}
		replication, replicating := postgres.Dial(t.Context(), c.config)
		if replicating == nil {
			replication.Close()
		}
		for _, err := range []error{err, replicating} {
			var refusal *cdc.Refusal
			if !errors.As(err, &refusal) || refusal.Name != c.name || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v, want %s with %q", c.config.URL, err, c.name, c.says)
			}
			if err != nil && strings.Contains(err.Error(), "hunter") {
				t.Errorf("the password shows: %v", err)
			}
		}
	}
}

// refusingTLS dials a server that answers N to the question for TLS.
func refusingTLS(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-served })
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var asked [8]byte
			if _, err := conn.Read(asked[:]); err == nil {
				conn.Write([]byte("N"))
			}
			conn.Close()
		}
	}()
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.Addr().String())
	}
}

// The server takes the time and the memory that it is given, whatever unit it shows them in, and nonsense is refused before
// anything is dialled.
func TestChosenSettings(t *testing.T) {
	t.Parallel()
	p := devstack.SharedPostgres(t)
	for given, want := range map[string]string{"0s": "30s", "5s": "5s", "1m": "1min", "90s": "90s", "7500ms": "7500ms", "10m": "10min"} {
		c := postgres.Config{URL: p.URL(), Slot: "s", SenderTimeout: duration(t, given)}
		conn, err := postgres.Connect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := conn.QueryRow(t.Context(), "SHOW wal_sender_timeout").Scan(&got); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", given, got, err, want)
		}
		conn.Close(t.Context())
		replication, err := postgres.Dial(t.Context(), c) // reads the setting back
		if err != nil {
			t.Fatal(err)
		}
		replication.Close()
	}
	for _, memory := range []string{"64kB", "65kB", "256MB", "1024MB", "2GB"} {
		c := postgres.Config{URL: p.URL(), Slot: "s", DecodingMemory: memory}
		replication, err := postgres.Dial(t.Context(), c)
		if err != nil {
			t.Fatalf("decoding memory %s: %v", memory, err)
		}
		replication.Close()
	}
	for _, nonsense := range []string{"256", "256 MB", "-1MB", "63kB", "1025GB", "1.5GB", "1TB"} {
		_, err := postgres.Connect(t.Context(), postgres.Config{URL: "postgres://127.0.0.1:1/db", DecodingMemory: nonsense})
		wantRefusal(t, err, "decoding_memory_malformed", nonsense)
	}
	for _, nonsense := range []string{"-1s", "1s", "1h"} {
		var refusal *cdc.Refusal
		_, err := postgres.Connect(t.Context(), postgres.Config{URL: "postgres://127.0.0.1:1/db", SenderTimeout: duration(t, nonsense)})
		if !errors.As(err, &refusal) || refusal.Name != "sender_timeout_malformed" {
			t.Errorf("%s: %v", nonsense, err)
		}
	}
}

func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
