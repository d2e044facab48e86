// Package kafka runs a real Apache Kafka on this machine, with Maven and a Java of 17 or later, and no Docker: one node, or
// three that replicate, each a child process that is broker and controller at once (KRaft combined mode).
//
//	c, err := kafka.Start(ctx, kafka.Config{Nodes: 3})
//	defer c.Close()
//	c.Kill(2); c.StartNode(ctx, 2)      // kill -9 and recovery from its folder
//	c.Pause(3); c.Resume(3)             // a broker that is there and does not answer
//
// The settings are those of a production cluster, scaled down: what is acknowledged is on two nodes of three, topics are
// not created by themselves, and no replica that lags is elected. A dead node is noticed within about three seconds.
// On Linux no node outlives its parent, however the parent ends.
package kafka

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

// Config says how to run the cluster. Its zero value is one node in a temporary folder.
type Config struct {
	Nodes    int               // 1 or 3; 0 means 1
	Dir      string            // where the data is, and stays after Close; "" means a temporary folder
	Settings map[string]string // of server.properties, over the defaults
	Security Security          // zero means that clients connect in plain text, and nobody is asked who he is
	Log      *slog.Logger      // nil means none
}

// Security is what clients must do to connect. A keystore means TLS, users mean SASL, both mean SASL over TLS.
type Security struct {
	// Keystore is a PEM file with the nodes' private key (PKCS#8, not encrypted) and the chain of its certificate, which
	// must hold for 127.0.0.1.
	Keystore string
	// Truststore is a PEM file with the authorities of the clients' certificates. With it a client must show one.
	Truststore string
	// Users are names and passwords for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512; with any, OAUTHBEARER takes each unsigned
	// token that has not expired. Those of SCRAM are fixed when the data folder is made.
	Users map[string]string
}

// readyLimit is how long a node may take to be part of the cluster.
const readyLimit = 2 * time.Minute

// plainWord is what can stand in Kafka's settings and tools without quotes.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

func (c Config) check() error {
	if c.Nodes != 1 && c.Nodes != 3 {
		return fmt.Errorf("a Kafka of %d nodes is not offered: ask for 1 or 3", c.Nodes)
	}
	if c.Security.Truststore != "" && c.Security.Keystore == "" {
		return errors.New("a truststore is given without a keystore, so there is no TLS to show a certificate in: give both")
	}
	for name, password := range c.Security.Users {
		if !plainWord.MatchString(name) || !plainWord.MatchString(password) {
			return fmt.Errorf("the Kafka user %q or its password has a character that is none of A-Z a-z 0-9 _ . -: use those", name)
		}
	}
	return nil
}

// protocol is what Kafka calls the way clients connect, "" if it is plain text.
func (s Security) protocol() string {
	switch {
	case s.Keystore != "" && len(s.Users) > 0:
		return "SASL_SSL"
	case s.Keystore != "":
		return "SSL"
	case len(s.Users) > 0:
		return "SASL_PLAINTEXT"
	default:
		return ""
	}
}
