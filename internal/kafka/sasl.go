package kafka

import (
	"fmt"
	"net"
	"net/url"

	"github.com/IBM/sarama"
	"github.com/xdg-go/scram"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/dial"
)

// The mechanisms of SASL.
const (
	Plain       = "PLAIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
	OAuthBearer = "OAUTHBEARER"
)

// SASL says how we log in. Its zero value means not at all.
type SASL struct {
	Mechanism string
	User      string // of PLAIN and SCRAM
	Password  string
	Token     Token // of OAUTHBEARER

	// InClear allows what tells an eavesdropper a password, a token or a client's secret: PLAIN and OAUTHBEARER without
	// TLS, and a token endpoint without https, each beyond this machine. SCRAM does not tell the password.
	InClear bool
}

// tellsSecret reports whether the login itself holds a secret in clear.
func (s SASL) tellsSecret() bool { return s.Mechanism == Plain || s.Mechanism == OAuthBearer }

func (s SASL) check() error {
	switch s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" || s.Token != (Token{}) {
			return badLogin("a login to kafka is given without its mechanism", "name it with --kafka-sasl: "+mechanisms)
		}
		return nil
	case Plain, ScramSHA256, ScramSHA512:
		if s.User == "" || s.Password == "" {
			return badLogin(s.Mechanism+" needs a user and a password", "give --kafka-user and --kafka-password")
		}
		if s.Token != (Token{}) {
			return badLogin(s.Mechanism+" takes no token", "choose --kafka-sasl "+OAuthBearer+", or leave the token out")
		}
		return nil
	case OAuthBearer:
		if s.User != "" || s.Password != "" {
			return badLogin(OAuthBearer+" takes no user and no password", "give --kafka-token-file, or --kafka-token-url with --kafka-token-client and --kafka-token-secret")
		}
		return s.Token.check(s.InClear)
	}
	return badLogin(fmt.Sprintf("there is no SASL mechanism %q", s.Mechanism), "choose with --kafka-sasl one of "+mechanisms)
}

const mechanisms = Plain + ", " + ScramSHA256 + ", " + ScramSHA512 + ", " + OAuthBearer

func badLogin(problem, remedy string) error {
	return &cdc.Refusal{Name: "kafka_login_malformed", Problem: problem, Remedy: remedy}
}

// set writes the login into sarama's settings.
func (s SASL) set(c *sarama.Config) {
	if s.Mechanism == "" {
		return
	}
	sasl := &c.Net.SASL
	sasl.Enable, sasl.Mechanism, sasl.User, sasl.Password = true, sarama.SASLMechanism(s.Mechanism), s.User, s.Password
	switch s.Mechanism {
	case ScramSHA256:
		sasl.SCRAMClientGeneratorFunc = scramClients(scram.SHA256)
	case ScramSHA512:
		sasl.SCRAMClientGeneratorFunc = scramClients(scram.SHA512)
	case OAuthBearer:
		sasl.TokenProvider = s.Token.provider()
	}
}

// clearTo refuses an address to which the login would carry a secret in clear. It is asked before each dialling: a broker
// of this machine may name others elsewhere.
func (c Config) clearTo(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil || c.TLS.enabled() || c.SASL.InClear || !c.SASL.tellsSecret() || dial.Local(host) {
		return nil
	}
	return inClear(fmt.Sprintf("%s without TLS would send the password or token in clear to %s", c.SASL.Mechanism, address), "add --kafka-tls")
}

func inClear(problem, remedy string) error {
	return &cdc.Refusal{Name: "kafka_login_in_clear", Problem: problem,
		Remedy: remedy + ", or say --kafka-login-in-clear if nobody can listen on the way"}
}

// clearURL is clearTo for the token endpoint.
func clearURL(u *url.URL, allowed bool) error {
	if u.Scheme == "https" || allowed || dial.Local(u.Hostname()) {
		return nil
	}
	return inClear("the client's secret would travel in clear to the token endpoint at "+u.Host, "write it as https://")
}
