package main

import (
	"context"
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
)

// secureBrokers are a Kafka that speaks TLS, one that wants a login by PLAIN, and an authority that has signed neither.
func secureBrokers(t *testing.T) (encrypted, locked, stranger string) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(devstack.TestAuthority(t).Issue("broker", "127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return kafkaWith(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}})),
		kafkaWith(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "admin", "admin")), devstack.TestAuthority(t).File
}

func kafkaWith(t *testing.T, options ...kfake.Opt) string {
	t.Helper()
	cluster, err := kfake.NewCluster(append(options, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

// The flags mean the same wherever they stand, and config shows none of the secrets.
func TestKafkaAccessFromEverywhere(t *testing.T) {
	values := map[string]string{"kafka-tls": "true", "kafka-ca": "/ca", "kafka-cert": "/cert", "kafka-key": "/key", "kafka-sasl": "PLAIN", "kafka-user": "ann",
		"kafka-password": "hunter2", "kafka-token-file": "/token", "kafka-token-url": "https://id/", "kafka-token-client": "c", "kafka-token-secret": "hunter2",
		"kafka-token-scope": "s", "kafka-login-in-clear": "true", "transaction-timeout": "9s", "sender-timeout": "7s"}
	want := kafka.Config{ClientID: "livedb/cdc", TLS: kafka.TLS{Enabled: true, CA: "/ca", Certificate: "/cert", Key: "/key"},
		SASL: kafka.SASL{Mechanism: "PLAIN", User: "ann", Password: "hunter2", InClear: true,
			Token: kafka.Token{File: "/token", URL: "https://id/", ClientID: "c", ClientSecret: "hunter2", Scope: "s"}}}
	for _, place := range []string{"flags", "environment", "file"} {
		t.Run(place, func(t *testing.T) {
			var args, lines []string
			for name, value := range values {
				switch place {
				case "flags":
					args = append(args, "--"+name+"="+value)
				case "environment":
					t.Setenv("LIVEDB_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_")), value)
				case "file":
					lines = append(lines, name+": "+value+"\n")
				}
			}
			file := filepath.Join(t.TempDir(), "livedb.yaml")
			if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
				t.Fatal(err)
			}
			var cli grammar
			parser, err := newParser(&cli, streams{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.Parse(append([]string{"--config", file, "cdc"}, args...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, cli.Cdc.kafkaFlags.config("cdc")); diff != "" {
				t.Error(diff)
			}
			if got := cli.Cdc.sourceFlags.config(cli.Cdc.streamFlags).SenderTimeout; got != 7*time.Second || cli.Cdc.TransactionTimeout != 9*time.Second {
				t.Errorf("time limits %s, %s", got, cli.Cdc.TransactionTimeout)
			}
			for _, form := range [][]string{nil, {"--json"}} {
				show := append([]string{"--config", file, "config"}, form...)
				for _, arg := range args { // config has the flags of source and Kafka
					if !strings.HasPrefix(arg, "--transaction") && !strings.HasPrefix(arg, "--sender") {
						show = append(show, arg)
					}
				}
				code, out, err := livedb(t, t.Context(), show...)
				if code != exitDone || strings.Contains(out+err, "hunter2") || strings.Count(out, mask) != 2 {
					t.Errorf("exit %d: %s%s", code, out, err)
				}
			}
		})
	}
}

// A user with the rights that docs/security.md names, and no other, can run every role.
func TestDocumentedRightsSuffice(t *testing.T) {
	p := newPlace(t)
	const user, password = "livedb", "hunter2"
	allow := func(resource kmsg.ACLResourceType, operations ...kmsg.ACLOperation) (rules []kfake.ACL) {
		for _, operation := range operations {
			rules = append(rules, kfake.ACL{Resource: resource, Name: p.prefix + ".", Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: operation, Allow: true})
		}
		return rules
	}
	rules := append(allow(kmsg.ACLResourceTypeTopic, kmsg.ACLOperationCreate, kmsg.ACLOperationRead, kmsg.ACLOperationWrite),
		allow(kmsg.ACLResourceTypeTransactionalId, kmsg.ACLOperationWrite)...)
	p.broker = kafkaWith(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"), kfake.User("SCRAM-SHA-512", user, password, rules...))
	address := closedPort(t)
	t.Setenv("LIVEDB_KAFKA_PASSWORD", password)
	run := start(t, append([]string{"run", "--listen", address, "--kafka", p.broker, "--prefix", p.prefix, "--slot", strings.ReplaceAll(p.prefix, "-", "_"),
		"--kafka-sasl", "SCRAM-SHA-512", "--kafka-user", user}, p.source...)...)
	run.await("dashboard")
	awaitReady(t, "http://"+address+"/readyz?verbose")
	if err := run.stop(syscall.SIGTERM, 20*time.Second); err != nil {
		t.Error(err)
	}
	for _, line := range run.lines {
		if strings.Contains(line, password) || strings.Contains(line, "authoriz") {
			t.Errorf("said %s", line)
		}
	}
}

// awaitReady asks until everything is.
func awaitReady(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for pace := time.NewTicker(50 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
		<-pace.C
	}
}
