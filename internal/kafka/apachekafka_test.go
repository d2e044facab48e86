package kafka_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"

	apachekafka "github.com/livedb/livedb/compose/kafka"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// A real Kafka that wants TLS, a client's certificate and a login at once lets us in by each mechanism, and says no to each
// wrong thing by a name of its own.
func TestApacheKafkaLetsUsIn(t *testing.T) {
	t.Parallel()
	authority, stranger := devstack.TestAuthority(t), devstack.TestAuthority(t)
	cluster := apachekafka.TestCluster(t, apachekafka.Config{Settings: map[string]string{"connections.max.reauth.ms": "2000"}, Security: apachekafka.Security{
		Keystore: joined(t, authority, "127.0.0.1"), Truststore: authority.File, Users: map[string]string{"ann": hidden}}})
	certificate, key := authority.Issue("client")
	known := kafka.TLS{CA: authority.File, Certificate: certificate, Key: key}
	fresh, expired := written(t, unsigned(t, time.Now().Add(time.Hour))), written(t, unsigned(t, time.Now().Add(-time.Hour)))
	for name, sasl := range map[string]kafka.SASL{
		"PLAIN":       {Mechanism: kafka.Plain, User: "ann", Password: hidden},
		"SCRAM 256":   {Mechanism: kafka.ScramSHA256, User: "ann", Password: hidden},
		"SCRAM 512":   {Mechanism: kafka.ScramSHA512, User: "ann", Password: hidden},
		"OAUTHBEARER": {Mechanism: kafka.OAuthBearer, Token: kafka.Token{File: fresh}},
	} {
		if err := works(t, kafka.Config{Brokers: cluster.Brokers(), TLS: known, SASL: sasl}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	logsInAgain(t, kafka.Config{Brokers: cluster.Brokers(), TLS: known})

	ann := kafka.SASL{Mechanism: kafka.ScramSHA512, User: "ann", Password: hidden}
	foreign, foreignKey := stranger.Issue("stranger")
	for _, c := range []struct {
		tls        kafka.TLS
		sasl       kafka.SASL
		name, says string
	}{
		{known, kafka.SASL{Mechanism: kafka.Plain, User: "ann", Password: hidden + "x"}, "kafka_login_refused", "--kafka-password"},
		{known, kafka.SASL{Mechanism: kafka.ScramSHA256, User: "ann", Password: hidden + "x"}, "kafka_login_refused", "user ann"},
		{known, kafka.SASL{Mechanism: kafka.ScramSHA512, User: "bob", Password: hidden}, "kafka_login_refused", "user bob"},
		{known, kafka.SASL{Mechanism: kafka.OAuthBearer, Token: kafka.Token{File: expired}}, "kafka_login_refused", "token"},
		{kafka.TLS{CA: stranger.File}, ann, "kafka_certificate_untrusted", "--kafka-ca"},
		{kafka.TLS{CA: authority.File}, ann, "kafka_certificate_refused", "--kafka-cert"},
		{kafka.TLS{CA: authority.File, Certificate: foreign, Key: foreignKey}, ann, "kafka_certificate_refused", "--kafka-cert"},
	} {
		config := kafka.Config{Brokers: cluster.Brokers(), TLS: c.tls, SASL: c.sasl}
		_, err := kafka.Connect(t.Context(), config)
		refused(t, err, c.name, c.says)
		_, err = kafka.OpenProducer(t.Context(), config, "id")
		refused(t, err, c.name, c.says)
	}
}

// logsInAgain commits until the endpoint has given many tokens: sessions end, tokens expire, and no commit notices.
func logsInAgain(t *testing.T, c kafka.Config) {
	t.Helper()
	var given atomic.Int32
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given.Add(1)
		fmt.Fprintf(w, `{"access_token": %q, "expires_in": 1}`, unsigned(t, time.Now().Add(time.Minute)))
	}))
	t.Cleanup(endpoint.Close)
	c.SASL = kafka.SASL{Mechanism: kafka.OAuthBearer, Token: kafka.Token{URL: endpoint.URL, ClientID: "c", ClientSecret: hidden}}
	p, err := kafka.OpenProducer(t.Context(), c, "long")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	at := given.Load()
	for deadline := time.Now().Add(time.Minute); given.Load() < at+5; {
		if time.Now().After(deadline) {
			t.Fatalf("%d tokens were given within a minute", given.Load())
		}
		if err := p.Begin(); err != nil {
			t.Fatal(err)
		}
		p.Send(&sarama.ProducerMessage{Topic: "t", Value: sarama.StringEncoder("v")})
		if err := p.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

// joined puts a key and its certificate into one file, as Kafka's PEM keystore wants them.
func joined(t *testing.T, authority *devstack.Authority, host string) string {
	t.Helper()
	certificate, key := authority.Issue("broker", host)
	var text []string
	for _, file := range []string{key, certificate} {
		part, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, string(part))
	}
	return written(t, strings.Join(text, ""))
}

// unsigned is a token that this Kafka takes as long as it has not expired.
func unsigned(t *testing.T, expires time.Time) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{"sub": "ann", "iat": expires.Add(-2 * time.Hour).Unix(), "exp": expires.Unix()})
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(claims) + "."
}

func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}
