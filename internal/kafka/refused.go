package kafka

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
)

// UnreachableError says that no broker answered. It may pass.
type UnreachableError struct {
	Brokers []string
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("kafka does not answer at %s (%v): check that the brokers run, that the addresses and ports are theirs, "+
		"and whether they want TLS or a login (--kafka-tls, --kafka-sasl)", strings.Join(e.Brokers, ","), e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Denied reports whether an error says that our user lacks a right on a topic, a group, a transactional id or the cluster:
// trying again will not help.
func Denied(err error) bool {
	for _, code := range []sarama.KError{sarama.ErrTopicAuthorizationFailed, sarama.ErrGroupAuthorizationFailed,
		sarama.ErrClusterAuthorizationFailed, sarama.ErrTransactionalIDAuthorizationFailed} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// Named makes a refusal of what Kafka will not take however often it is tried; any other error, and one that is a refusal,
// comes back as it is.
func Named(err error) error {
	var refusal *cdc.Refusal
	var partitions *PartitionsError
	var large *TooLargeError
	switch {
	case errors.As(err, &refusal):
		return err
	case errors.As(err, &partitions):
		return &cdc.Refusal{Name: "topic_partitions_differ", Problem: partitions.Problem(), Remedy: partitions.Remedy(), Err: err}
	case errors.As(err, &large):
		return large.Refusal()
	case Denied(err):
		return &cdc.Refusal{Name: "kafka_denied", Problem: "kafka denies us a right (" + err.Error() + ")", Remedy: "grant what docs/security.md lists", Err: err}
	}
	return err
}

// explain says why no client could be opened: a refusal if trying again will not help, else an UnreachableError.
func (c Config) explain(s *sarama.Config, err error) error {
	if refusal := c.refusal(err); refusal != nil {
		return refusal
	}
	if c.SASL.Mechanism == "" {
		return &UnreachableError{c.Brokers, err}
	}
	for _, address := range c.Brokers { // sarama's client forgets why a login was refused, its broker does not
		broker := sarama.NewBroker(address)
		if broker.Open(s) != nil {
			continue
		}
		_, cause := broker.Connected()
		_ = broker.Close() // it is open at most
		if refusal := c.refusal(cause); refusal != nil {
			return refusal
		}
	}
	return &UnreachableError{c.Brokers, err}
}

// refusal names what trying again will not mend; nil if it is something else.
func (c Config) refusal(err error) error {
	var known *cdc.Refusal // the dialler's, or the token's
	if errors.As(err, &known) {
		return known
	}
	at := strings.Join(c.Brokers, ",")
	switch {
	case errors.Is(err, sarama.ErrSASLAuthenticationFailed):
		who, remedy := "the user "+c.SASL.User, "check --kafka-user and --kafka-password, and that this user may log in by "+c.SASL.Mechanism
		if c.SASL.Mechanism == OAuthBearer {
			who, remedy = "our token", "check whose token it is, whom it is for, and whether it has expired"
		}
		return &cdc.Refusal{Name: "kafka_login_refused", Problem: fmt.Sprintf("kafka at %s refuses %s (%s)", at, who, reason(err)), Remedy: remedy, Err: err}
	case errors.Is(err, sarama.ErrUnsupportedSASLMechanism), errors.Is(err, sarama.ErrIllegalSASLState):
		return &cdc.Refusal{Name: "kafka_mechanism_refused", Problem: fmt.Sprintf("kafka at %s offers no login by %s", at, c.SASL.Mechanism),
			Remedy: "choose another --kafka-sasl, or the port of the listener that has it", Err: err}
	case errors.Is(err, sarama.ErrInvalidTransactionTimeout):
		return &cdc.Refusal{Name: "transaction_timeout_too_long", Problem: fmt.Sprintf("kafka at %s does not take a --transaction-timeout of %s (%v)", at, c.transactionTimeout(), err),
			Remedy: "give one that is at most the brokers' transaction.max.timeout.ms, or raise that", Err: err}
	case Denied(err):
		return &cdc.Refusal{Name: "kafka_denied", Problem: fmt.Sprintf("kafka at %s denies us a right (%v)", at, err),
			Remedy: "grant the user of --kafka-user, or of the client certificate, the rights that docs/security.md lists", Err: err}
	}
	return c.tlsRefusal(at, err)
}

func (c Config) tlsRefusal(at string, err error) error {
	var name x509.HostnameError
	var certificate *tls.CertificateVerificationError
	var remote *net.OpError
	switch {
	case errors.As(err, &name):
		return &cdc.Refusal{Name: "kafka_certificate_other_host", Problem: fmt.Sprintf("the certificate of kafka at %s is for another host (%v)", at, name),
			Remedy: "name the brokers with --kafka, and in their advertised.listeners, as their certificates do", Err: err}
	case errors.As(err, &certificate):
		return &cdc.Refusal{Name: "kafka_certificate_untrusted", Problem: fmt.Sprintf("the certificate of kafka at %s is not trusted (%v)", at, certificate.Err),
			Remedy: "name the file of its authority with --kafka-ca", Err: err}
	case errors.As(err, &remote) && remote.Op == "remote error":
		return &cdc.Refusal{Name: "kafka_certificate_refused", Problem: fmt.Sprintf("kafka at %s ends the TLS handshake (%v)", at, remote.Err),
			Remedy: "give a client certificate that it trusts with --kafka-cert and --kafka-key", Err: err}
	}
	return nil
}

// reason is what the broker said, without sarama's own words before it.
func reason(err error) string {
	_, said, found := strings.Cut(err.Error(), sarama.ErrSASLAuthenticationFailed.Error()+": ")
	if !found {
		return "SASL authentication failed"
	}
	return said
}
