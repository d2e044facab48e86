package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/dial"
)

// secure makes the connection's TLS verify the server. libpq's sslmodes allow, prefer (the default) and require encrypt for
// whoever answers, so beyond this machine they count as verify-full:
//
//	sslmode          this machine   beyond it
//	none given       prefer         verify-full
//	allow, prefer    as given       verify-full
//	require          as given       verify-full, with the authorities of sslrootcert or the system's
//	verify-ca        as given       as given with sslrootcert, else verify-full
//	verify-full      as given       as given
//	disable          as given       as given, but for Neon, whose proxy needs TLS
func secure(cc *pgx.ConnConfig, sourceURL string) error {
	mayVerifyCA := strings.Contains(sourceURL, "verify-ca") || os.Getenv("PGSSLMODE") == "verify-ca"
	var ways []*pgconn.FallbackConfig
	for _, way := range waysOf(cc) {
		switch {
		case dial.Local(way.Host):
		case way.TLSConfig != nil:
			way.TLSConfig = verified(way.TLSConfig, way.Host, mayVerifyCA)
		case someTLS(cc, way.Host):
			continue // of allow and prefer: nothing is tried without TLS
		case onNeon(way.Host):
			return &cdc.Refusal{Name: "source_tls_required", Problem: "the source " + way.Host + " is asked for without TLS, which Neon does not have",
				Remedy: "leave sslmode=disable out of --source"}
		}
		ways = append(ways, way)
	}
	cc.Host, cc.Port, cc.TLSConfig = ways[0].Host, ways[0].Port, ways[0].TLSConfig
	cc.Fallbacks = ways[1:]
	return nil
}

// waysOf lists what pgx will try, in its order.
func waysOf(cc *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: cc.Host, Port: cc.Port, TLSConfig: cc.TLSConfig}}, cc.Fallbacks...)
}

func someTLS(cc *pgx.ConnConfig, host string) bool {
	for _, way := range waysOf(cc) {
		if way.Host == host && way.TLSConfig != nil {
			return true
		}
	}
	return false
}

// verified returns settings under which the certificate must be the host's.
func verified(t *tls.Config, host string, mayVerifyCA bool) *tls.Config {
	verifiesCA := t.VerifyPeerCertificate != nil && t.RootCAs != nil // as pgx writes verify-ca, and require with sslrootcert
	if !t.InsecureSkipVerify || verifiesCA && mayVerifyCA {
		return t
	}
	t = t.Clone()
	t.InsecureSkipVerify, t.VerifyPeerCertificate, t.ServerName = false, nil, host
	return t
}

// InClear reports whether the connection leaves this machine without TLS, which only sslmode=disable asks for.
func InClear(cc *pgx.ConnConfig) bool {
	for _, way := range waysOf(cc) {
		if way.TLSConfig == nil && !dial.Local(way.Host) {
			return true
		}
	}
	return false
}

// tlsRefusal names what is wrong with the server's TLS or with the channel binding; nil if it is something else.
func tlsRefusal(cc *pgx.ConnConfig, err error) error {
	var name x509.HostnameError
	var certificate *tls.CertificateVerificationError
	switch at, text := Address(cc), err.Error(); {
	case errors.As(err, &name):
		return &cdc.Refusal{Name: "source_certificate_other_host", Problem: fmt.Sprintf("the certificate of the source %s is for another host (%v)", at, name),
			Remedy: "name the host in --source as its certificate does", Err: err}
	case errors.As(err, &certificate):
		return &cdc.Refusal{Name: "source_certificate_untrusted",
			Problem: fmt.Sprintf("the certificate of the source %s is not trusted (%v)", at, certificate.Err),
			Remedy:  "name the file of its authority in --source: sslmode=verify-full&sslrootcert=FILE", Err: err}
	case strings.Contains(text, "server refused TLS connection"):
		return &cdc.Refusal{Name: "source_tls_missing", Problem: "the source " + at + " does not speak TLS",
			Remedy: "turn ssl on in its postgresql.conf, or write sslmode=disable in --source if nobody can listen on the way", Err: err}
	case strings.Contains(text, "channel binding"):
		return &cdc.Refusal{Name: "source_channel_binding", Problem: "the source " + at + " does not bind the login to the TLS connection, as channel_binding=require asks",
			Remedy: "connect by TLS to a server that keeps the password by SCRAM-SHA-256, or leave channel_binding out of --source", Err: err}
	}
	return nil
}
