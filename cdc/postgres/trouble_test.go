package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
)

// What servers, proxies and poolers say: Postgres as its source has it, Neon's proxy with the one code that it gives for
// everything, and PgBouncer.
func TestWhatASourceSays(t *testing.T) {
	for _, c := range []struct {
		code, says string
		reason     string
		patience   Patience
	}{
		{"57P01", "terminating connection due to administrator command", "source_stopped", Soon},
		{"57P02", "terminating connection because of crash of another server process", "source_stopped", Soon},
		{"57P03", "the database system is starting up", "source_starting", Soon},
		{"57P03", "the database system is shutting down", "source_starting", Soon},
		{"57P03", "the database system is in recovery mode", "source_starting", Soon},
		{"57P03", "the database system is not accepting connections", "source_starting", Soon},
		{"53300", "sorry, too many clients already", "source_full", Seldom},
		{"53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute", "source_full", Seldom},
		{"53300", "number of requested standby connections exceeds max_wal_senders (currently 10)", "source_full", Seldom},
		{"53300", `too many connections for role "app"`, "source_full", Seldom},
		{"53400", "all replication slots are in use", "source_slots_taken", Seldom},
		{"28P01", `password authentication failed for user "livedb"`, "source_login_refused", Served},
		{"28000", `no pg_hba.conf entry for replication connection from host "10.0.0.1", user "livedb", no encryption`, "source_login_refused", Served},
		{"28000", `role "nobody" does not exist`, "source_login_refused", Served},
		{"3D000", `database "gone" does not exist`, "source_database_missing", Never},
		{"42501", "permission denied to start WAL sender", "role_lacks_replication", Never},
		{"42501", "must be superuser or replication role to start walsender", "role_lacks_replication", Never},
		{"25006", "cannot execute CREATE PUBLICATION in a read-only transaction", "source_is_replica", Served},
		{"55000", "recovery is in progress", "source_is_replica", Served},

		{"XX000", "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.", "source_quota_exceeded", Never},
		{"53300", "Your project has exceeded the data transfer quota. Upgrade your plan to increase limits.", "source_quota_exceeded", Never},
		{"XX000", "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our support.", "source_locked", Seldom},
		{"53100", "could not extend file: Disk quota exceeded", "source_quota_exceeded", Never},
		{"XX000", "password authentication failed for user 'livedb'", "source_login_refused", Served},
		{"XX000", "This IP address 203.0.113.7 is not allowed to connect to this endpoint. Please add it to the allowed list in the Neon console.", "source_address_refused", Served},
		{"XX000", "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support", "source_name_required", Never},
		{"XX000", "connection is insecure (try using `sslmode=require`)", "source_tls_required", Never},
		{"XX000", "The requested endpoint could not be found, or you don't have access to it. Please check the provided ID and try again.", "source_endpoint_missing", Never},
		{"XX000", "Control plane request failed: endpoint is disabled", "source_endpoint_missing", Never},
		{"XX000", "Control plane request failed", "source_starting", Soon},
		{"XX000", "Couldn't connect to compute node", "source_starting", Soon},
		{"XX000", "Too many connections to this endpoint. Please try again later.", "source_full", Seldom},
		{"XX000", "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.", "source_full", Seldom},
		{"XX000", "closing remote connection: requested WAL up to 0/2000000, but current donor safekeeper-1 has only up to 0/1FFFFF8", "source_wal_unavailable", Soon},
		{"XX000", "could not read WAL: server closed the connection unexpectedly", "source_wal_unavailable", Soon},
		{"XX000", "lost synchronization with server: got message type \"x\", length 7", "source_wal_unavailable", Soon},

		{"08P01", "unsupported startup parameter: replication", "pooled_endpoint", Never},
		{"08P01", "unsupported startup parameter in options: datestyle", "pooled_endpoint", Never},
		{"42601", `syntax error at or near "IDENTIFY_SYSTEM"`, "pooled_endpoint", Never},
		{"08P01", "no more connections allowed (max_client_conn)", "source_full", Seldom},

		{"XX000", "cache lookup failed for relation 4711", "source_error", Usual},
		{"40P01", "deadlock detected", "source_error", Usual},
	} {
		told := &pgconn.PgError{Severity: "FATAL", Code: c.code, Message: c.says}
		if reason, patience := Judge(fmt.Errorf("somewhere: %w", told)); reason != c.reason || patience != c.patience {
			t.Errorf("%s %q: %s %d, want %s %d", c.code, c.says, reason, patience, c.reason, c.patience)
		}
		// To one who connects, what does not pass is a refusal of that name, with the server's words and a remedy.
		cc, err := Parse("postgres://livedb:secret@127.0.0.1/gone")
		if err != nil {
			t.Fatal(err)
		}
		err = connectError(Config{}, cc, told)
		if reason, patience := Judge(err); reason != c.reason || patience != c.patience {
			t.Errorf("%s %q: connecting, %s %d, want %s %d", c.code, c.says, reason, patience, c.reason, c.patience)
		}
		var refusal *cdc.Refusal
		if refuses := errors.As(err, &refusal); refuses != (c.patience >= Rewritten) {
			t.Errorf("%s %q: a refusal: %v", c.code, c.says, refuses)
		} else if refuses && (refusal.Name != c.reason || refusal.Problem == "" || refusal.Remedy == "") {
			t.Errorf("%s %q: %+v", c.code, c.says, refusal)
		}
	}
}

// What nobody says: the network, TLS, and the stream's own doubts.
func TestWhatBreaksWithoutAWord(t *testing.T) {
	cc, err := Parse("postgres://livedb:secret@db.example.com/shop")
	if err != nil {
		t.Fatal(err)
	}
	connecting := func(err error) error { return connectError(Config{}, cc, err) }
	for _, c := range []struct {
		err      error
		reason   string
		patience Patience
	}{
		{connecting(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "source_unreachable", Soon},
		{connecting(&net.DNSError{Err: "no such host", Name: "db.example.com", IsNotFound: true}), "source_unreachable", Soon},
		{connecting(context.DeadlineExceeded), "source_unreachable", Soon},
		{connecting(io.ErrUnexpectedEOF), "source_unreachable", Soon},
		{connecting(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}), "source_certificate_untrusted", Served},
		{connecting(x509.HostnameError{Certificate: &x509.Certificate{}, Host: "db.example.com"}), "source_certificate_other_host", Served},
		{connecting(errors.New("tls error: server refused TLS connection")), "source_tls_missing", Served},
		{connecting(errors.New("server does not support channel binding")), "source_channel_binding", Never},
		{malformed("half a service file"), "source_malformed", Rewritten},
		{streamError(io.ErrUnexpectedEOF, Config{}), "source_lost", Soon},
		{streamError(&pgconn.PgError{Code: "55006"}, Config{}), "slot_in_use", Usual},
		{streamError(&pgconn.PgError{Code: "55000", Message: "can no longer get changes from replication slot"}, Config{}), "slot_wal_lost", Never},
		{fmt.Errorf("%w: 90s", ErrSilent), "source_silent", Soon},
		{errors.New("not of a source"), "", Usual},
	} {
		if reason, patience := Judge(c.err); reason != c.reason || patience != c.patience {
			t.Errorf("%v: %s %d, want %s %d", c.err, reason, patience, c.reason, c.patience)
		}
	}
}

// Who cannot reach a Neon project may have been left out of its list of addresses, of which a refused connection says nothing.
func TestTheHintAtTheListOfAddresses(t *testing.T) {
	for url, hint := range map[string]bool{"postgres://u@ep-a.eu.neon.tech/db": true, "postgres://u@db.example.com/db": false} {
		cc, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		said := connectError(Config{}, cc, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}).Error()
		if strings.Contains(said, "IP Allow list") != hint {
			t.Errorf("%s: %s", url, said)
		}
	}
}
