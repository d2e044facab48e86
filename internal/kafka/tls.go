package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/livedb/livedb/cdc"
)

// TLS says how the connections to the brokers are protected. A broker's certificate is always verified, with the name or
// address by which it was dialled. The files are PEM.
type TLS struct {
	Enabled     bool   // implied by any of the files
	CA          string // file of the authorities to trust; empty means the system's
	Certificate string // file of our own certificate with its chain, for mutual TLS
	Key         string // file of its private key
}

func (t TLS) enabled() bool { return t != TLS{} }

func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		text, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, badTLS(fmt.Sprintf("the file of --kafka-ca cannot be read (%v)", err), "name a readable file of certificates in PEM", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, badTLS("the file "+t.CA+" of --kafka-ca holds no certificate", "name a file of certificates in PEM", nil)
		}
	}
	switch {
	case t.Certificate == "" && t.Key == "":
		return c, nil
	case t.Certificate == "" || t.Key == "":
		return nil, badTLS("one of --kafka-cert and --kafka-key is given without the other", "give both for mutual TLS, or none", nil)
	}
	if _, err := tls.LoadX509KeyPair(t.Certificate, t.Key); err != nil {
		return nil, badTLS(fmt.Sprintf("the files of --kafka-cert and --kafka-key cannot be used (%v)", err),
			"name a certificate and its own private key without a passphrase, both in PEM", err)
	}
	// Read anew for every connection: certificates that live for hours are replaced while we run.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		return &pair, err
	}
	return c, nil
}

func badTLS(problem, remedy string, err error) error {
	return &cdc.Refusal{Name: "kafka_tls_malformed", Problem: problem, Remedy: remedy, Err: err}
}
