package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

const hidden = "hunter2"

// broker is an embedded Kafka that asks for TLS, for a login, or for both.
func broker(t *testing.T, options ...kfake.Opt) string {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

func login(mechanism string) kfake.Opt { return kfake.Superuser(mechanism, "ann", hidden) }

func serveTLS(t *testing.T, authority *devstack.Authority, clients *devstack.Authority, hosts ...string) kfake.Opt {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(authority.Issue("broker", hosts...))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients != nil {
		text, err := os.ReadFile(clients.File)
		if err != nil {
			t.Fatal(err)
		}
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		c.ClientCAs.AppendCertsFromPEM(text)
	}
	return kfake.TLS(c)
}

// works makes a topic and commits a record: both kinds of client, and all their connections, get through.
func works(t *testing.T, c kafka.Config) error {
	t.Helper()
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: "t", Partitions: 1}); err != nil {
		return err
	}
	p, err := kafka.OpenProducer(t.Context(), c, "id")
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Begin(); err != nil {
		return err
	}
	p.Send(&sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder("v")})
	return p.Commit()
}

func TestEveryLoginAndTLS(t *testing.T) {
	t.Parallel()
	authority := devstack.TestAuthority(t)
	certificate, key := authority.Issue("client")
	ann := func(mechanism string) kafka.SASL {
		return kafka.SASL{Mechanism: mechanism, User: "ann", Password: hidden}
	}
	serve, mutual := serveTLS(t, authority, nil, "127.0.0.1"), serveTLS(t, authority, authority, "127.0.0.1")
	for name, c := range map[string]struct {
		address string
		tls     kafka.TLS
		sasl    kafka.SASL
	}{
		"TLS":               {broker(t, serve), kafka.TLS{CA: authority.File}, kafka.SASL{}},
		"mutual TLS":        {broker(t, mutual), kafka.TLS{CA: authority.File, Certificate: certificate, Key: key}, kafka.SASL{}},
		"PLAIN":             {broker(t, kfake.EnableSASL(), login("PLAIN")), kafka.TLS{}, ann(kafka.Plain)},
		"SCRAM 256":         {broker(t, kfake.EnableSASL(), login("SCRAM-SHA-256")), kafka.TLS{}, ann(kafka.ScramSHA256)},
		"SCRAM 512":         {broker(t, kfake.EnableSASL(), login("SCRAM-SHA-512")), kafka.TLS{}, ann(kafka.ScramSHA512)},
		"SCRAM 512 and TLS": {broker(t, serve, kfake.EnableSASL(), login("SCRAM-SHA-512")), kafka.TLS{CA: authority.File}, ann(kafka.ScramSHA512)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := works(t, kafka.Config{Brokers: []string{c.address}, TLS: c.tls, SASL: c.sasl}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each refusal has its name and its remedy, and shows no secret.
func TestConnectionsAreRefusedByName(t *testing.T) {
	t.Parallel()
	authority, other := devstack.TestAuthority(t), devstack.TestAuthority(t)
	certificate, key := other.Issue("stranger")
	plain, scram := broker(t, kfake.EnableSASL(), login("PLAIN")), broker(t, kfake.EnableSASL(), login("SCRAM-SHA-512"))
	encrypted, elsewhere := broker(t, serveTLS(t, authority, nil, "127.0.0.1")), broker(t, serveTLS(t, authority, nil, "kafka.example.com"))
	mutual := broker(t, serveTLS(t, authority, authority, "127.0.0.1"))
	for _, c := range []struct {
		what, address string
		tls           kafka.TLS
		sasl          kafka.SASL
		name, says    string
	}{
		{"wrong mechanism", scram, kafka.TLS{}, kafka.SASL{Mechanism: "OAUTHBEARER", Token: kafka.Token{File: certificate}}, "kafka_mechanism_refused", "--kafka-sasl"},
		{"unknown authority", encrypted, kafka.TLS{Enabled: true}, kafka.SASL{}, "kafka_certificate_untrusted", "--kafka-ca"},
		{"other authority", encrypted, kafka.TLS{CA: other.File}, kafka.SASL{}, "kafka_certificate_untrusted", "--kafka-ca"},
		{"other name", elsewhere, kafka.TLS{CA: authority.File}, kafka.SASL{}, "kafka_certificate_other_host", "127.0.0.1"},
		{"no client certificate", mutual, kafka.TLS{CA: authority.File}, kafka.SASL{}, "kafka_certificate_refused", "--kafka-cert"},
		{"another's client certificate", mutual, kafka.TLS{CA: authority.File, Certificate: certificate, Key: key}, kafka.SASL{}, "kafka_certificate_refused", "--kafka-cert"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{c.address}, TLS: c.tls, SASL: c.sasl})
			refused(t, err, c.name, c.says)
			_, err = kafka.OpenProducer(t.Context(), kafka.Config{Brokers: []string{c.address}, TLS: c.tls, SASL: c.sasl}, "id")
			if c.name != "kafka_mechanism_refused" { // sarama's client forgets it, and Connect has asked before
				refused(t, err, c.name, c.says)
			}
		})
	}
	// These cannot be told from a broker that is not there, so they are said with it. (kfake ends the connection on a wrong
	// password, where Kafka says so.)
	for what, c := range map[string]kafka.Config{"no TLS": {Brokers: []string{encrypted}}, "no login": {Brokers: []string{plain}},
		"a wrong password": {Brokers: []string{plain}, SASL: kafka.SASL{Mechanism: "PLAIN", User: "ann", Password: hidden + "x"}}} {
		var unreachable *kafka.UnreachableError
		if _, err := kafka.Connect(t.Context(), c); !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "--kafka-tls, --kafka-sasl") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func refused(t *testing.T, err error, name, says string) {
	t.Helper()
	var refusal *cdc.Refusal
	if !errors.As(err, &refusal) || refusal.Name != name || !strings.Contains(err.Error(), says) {
		t.Errorf("got %v, want %s with %q", err, name, says)
	}
	if shown := fmt.Sprintf("%v %+v", err, err); strings.Contains(shown, hidden) {
		t.Errorf("a secret shows: %s", shown)
	}
}

// A login without the right to the transactional id is named too: it would be refused again and again.
func TestMissingRightIsNamed(t *testing.T) {
	t.Parallel()
	c := kafka.Config{Brokers: []string{broker(t, kfake.EnableSASL(), kfake.EnableACLs(), login("PLAIN"), kfake.User("PLAIN", "bob", hidden))},
		SASL: kafka.SASL{Mechanism: kafka.Plain, User: "bob", Password: hidden}}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := kafka.EnsureTopics(t.Context(), client, kafka.Topic{Name: "t", Partitions: 1}); !kafka.Denied(err) {
		t.Errorf("make a topic: %v", err)
	}
	_, err = kafka.OpenProducer(t.Context(), c, "id")
	refused(t, err, "kafka_denied", "docs/security.md")
}

// Nothing is dialled for what cannot work, or must not.
func TestSecurityIsCheckedBeforeDialling(t *testing.T) {
	t.Parallel()
	authority := devstack.TestAuthority(t)
	certificate, key := authority.Issue("client")
	_, otherKey := devstack.TestAuthority(t).Issue("client")
	endpoint := kafka.Token{URL: "https://id.example.com/token", ClientID: "c", ClientSecret: hidden}
	unsafe := endpoint
	unsafe.URL = "http://id.example.com/token"
	both := endpoint
	both.File = certificate
	for _, c := range []struct {
		tls        kafka.TLS
		sasl       kafka.SASL
		name, says string
	}{
		{kafka.TLS{CA: "/none.pem"}, kafka.SASL{}, "kafka_tls_malformed", "/none.pem"},
		{kafka.TLS{CA: key}, kafka.SASL{}, "kafka_tls_malformed", "no certificate"},
		{kafka.TLS{Certificate: certificate}, kafka.SASL{}, "kafka_tls_malformed", "--kafka-key"},
		{kafka.TLS{Certificate: certificate, Key: otherKey}, kafka.SASL{}, "kafka_tls_malformed", "private key"},
		{kafka.TLS{}, kafka.SASL{User: "u", Password: hidden}, "kafka_login_malformed", "--kafka-sasl"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "GSSAPI"}, "kafka_login_malformed", "SCRAM-SHA-512"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "PLAIN", User: "u"}, "kafka_login_malformed", "--kafka-password"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "PLAIN", User: "u", Password: hidden, Token: endpoint}, "kafka_login_malformed", "token"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "OAUTHBEARER", User: "u"}, "kafka_login_malformed", "no user"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "OAUTHBEARER"}, "kafka_login_malformed", "--kafka-token-file"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "OAUTHBEARER", Token: both}, "kafka_login_malformed", "not both"},
		{kafka.TLS{Enabled: true}, kafka.SASL{Mechanism: "OAUTHBEARER", Token: unsafe}, "kafka_login_in_clear", "https://"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "OAUTHBEARER", Token: endpoint}, "kafka_login_in_clear", "--kafka-tls"},
		{kafka.TLS{}, kafka.SASL{Mechanism: "PLAIN", User: "u", Password: hidden}, "kafka_login_in_clear", "kafka.example.com:9092"},
	} {
		config := kafka.Config{Brokers: []string{"kafka.example.com:9092"}, TLS: c.tls, SASL: c.sasl,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				t.Errorf("%s: dialled", c.name)
				return nil, errors.ErrUnsupported
			}}
		_, err := kafka.Connect(t.Context(), config)
		refused(t, err, c.name, c.says)
		_, err = kafka.OpenProducer(t.Context(), config, "id")
		refused(t, err, c.name, c.says)
	}
	for _, nonsense := range []time.Duration{-1, time.Millisecond, time.Hour} {
		_, err := kafka.OpenProducer(t.Context(), kafka.Config{Brokers: []string{"127.0.0.1:1"}, TransactionTimeout: nonsense}, "id")
		refused(t, err, "transaction_timeout_malformed", "--transaction-timeout")
	}
}

// Only the brokers know how long they allow a transaction to be open, and asking again would not change it.
func TestATransactionTimeoutThatTheBrokersRefuseIsNamed(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"transaction.max.timeout.ms": "60000"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	_, err = kafka.OpenProducer(t.Context(), kafka.Config{Brokers: cluster.ListenAddrs(), TransactionTimeout: 2 * time.Minute}, "id")
	refused(t, err, "transaction_timeout_too_long", "--transaction-timeout of 2m0s")
	p, err := kafka.OpenProducer(t.Context(), kafka.Config{Brokers: cluster.ListenAddrs(), TransactionTimeout: time.Minute}, "id")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

// A broker of this machine that sends us on to another must not get the password carried there in clear.
func TestPasswordDoesNotFollowTheMetadataInClear(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), login("PLAIN"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.Metadata), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r := request.ResponseKind().(*kmsg.MetadataResponse)
		r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 0, Host: "kafka.example.com", Port: 9092}}
		return r, nil, true
	})
	_, err = kafka.Connect(t.Context(), kafka.Config{Brokers: cluster.ListenAddrs(), SASL: kafka.SASL{Mechanism: "PLAIN", User: "ann", Password: hidden},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "kafka.example.com") {
				t.Errorf("dialled %s", address)
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}})
	refused(t, err, "kafka_login_in_clear", "kafka.example.com:9092")
}

// All connections go through Config.Dial, those that the brokers name too, and TLS lies above it.
func TestDialIsUsedForEveryConnection(t *testing.T) {
	t.Parallel()
	authority := devstack.TestAuthority(t)
	address := broker(t, serveTLS(t, authority, nil, "127.0.0.1", "kafka.example.com"))
	var named, advertised atomic.Int32
	c := kafka.Config{Brokers: []string{"kafka.example.com:9093"}, TLS: kafka.TLS{CA: authority.File},
		Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == "kafka.example.com:9093" {
				named.Add(1)
			} else {
				advertised.Add(1)
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	if err := works(t, c); err != nil {
		t.Fatal(err)
	}
	if named.Load() == 0 || advertised.Load() == 0 {
		t.Errorf("dialled by name %d times, as advertised %d times", named.Load(), advertised.Load())
	}
}
