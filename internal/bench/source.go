package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

// Settings are those of an embedded Postgres that is measured: it does nothing by itself meanwhile, and keeps whatever WAL a
// slot needs.
var Settings = map[string]string{"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "16GB", "max_slot_wal_keep_size": "-1"}

// Encrypt has an embedded Postgres speak TLS and returns the URL that connects by it. Its certificate is its own, signed by
// nobody: what is measured is what TLS costs.
func Encrypt(ctx context.Context, p *devstack.Postgres) (url string, err error) {
	certificate, key, err := selfSigned()
	if err != nil {
		return "", fmt.Errorf("make a certificate for the embedded Postgres: %w", err)
	}
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return "", fmt.Errorf("connect to the embedded Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// The server writes the files itself: they must be its own.
	for name, text := range map[string]string{"server.crt": certificate, "server.key": key} {
		if err := execute(ctx, conn, fmt.Sprintf("COPY (SELECT unnest(string_to_array('%s', E'\\n'))) TO PROGRAM 'umask 077; cat > %s'", text, name)); err != nil {
			return "", err
		}
	}
	if err := execute(ctx, conn, "ALTER SYSTEM SET ssl = on"); err != nil {
		return "", err
	}
	if err := p.Restart(ctx, devstack.StopFast); err != nil {
		return "", err
	}
	return strings.Replace(p.URL(), "sslmode=disable", "sslmode=require", 1), nil
}

// selfSigned makes a certificate for this machine, for a day, and its key, in PEM.
func selfSigned() (certificate, key string, err error) {
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "livedb bench"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, own.Public(), own)
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return "", "", err
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", private), nil
}
