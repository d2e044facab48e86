package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/livedb/livedb/internal/dial"
)

// dialTimeout bounds a dialling with its TLS handshake.
const dialTimeout = 5 * time.Second

// dialer is how sarama gets its connections. TLS is done here, not by sarama, which would let a handshake wait for a minute.
type dialer struct {
	config Config
	tls    *tls.Config // nil means none
}

func (c Config) dialer() (dialer, error) {
	if !c.TLS.enabled() {
		return dialer{config: c}, nil
	}
	t, err := c.TLS.config()
	return dialer{c, t}, err
}

// Dial opens a connection within dialTimeout.
func (d dialer) Dial(network, address string) (net.Conn, error) {
	if err := d.config.clearTo(address); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	open := d.config.Dial
	if open == nil {
		open = dial.Context
	}
	conn, err := open(ctx, network, address)
	if err != nil || d.tls == nil {
		return conn, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		conn.Close()
		return nil, err
	}
	t := d.tls.Clone()
	t.ServerName = host
	secured := tls.Client(conn, t)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("the TLS handshake with %s failed: %w", address, err)
	}
	return secured, nil
}
