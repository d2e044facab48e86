package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// A stream is audited with the program, whole; then somebody writes into one of its topics.
func TestAudit(t *testing.T) {
	p := newPlace(t)
	cdc := start(t, append([]string{"cdc"}, p.both...)...)
	cdc.await("streaming")
	if code, _, stderr := livedb(t, t.Context(), append([]string{"burst", "--rate", "0", "--for", "1s", "--seed", "7"}, p.source...)...); code != exitDone {
		t.Fatalf("burst: %s", stderr)
	}

	code, stdout, stderr := livedb(t, t.Context(), append([]string{"audit"}, p.both...)...)
	if code != exitDone {
		t.Fatalf("audit exits with %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{"stream  proven  seq 1 to ", "source  proven  commits ", "state   proven  4 of 5 tables", "not judged: table livedb_demo.goose_db_version: "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the audit does not say %q:\n%s", want, stdout)
		}
	}
	if err := cdc.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Fatal(err)
	}

	topic := twice(t, p)
	code, stdout, _ = livedb(t, t.Context(), append([]string{"audit", "--json"}, p.kafka...)...)
	var result struct {
		Proven bool
		Stream struct {
			Counts   map[string]int
			Findings []struct{ Kind, Topic, Position string }
		}
	}
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	if code != exitFindings || result.Proven || result.Stream.Counts["duplicate"] != 1 || result.Stream.Findings[0].Topic != topic || result.Stream.Findings[0].Position == "" {
		t.Errorf("audit exits with %d and says %s", code, stdout)
	}
	seesTheFault(t, p, topic)
	followed(t, p)
}

// An audit that follows the stream tells of the fault in its metrics and, for the dashboard, in the status topic.
func followed(t *testing.T, p place) {
	t.Helper()
	audit := start(t, append([]string{"audit", "--follow", "--ops-listen", "127.0.0.1:0"}, p.kafka...)...)
	_, address, _ := strings.Cut(audit.await("metrics are served"), "address=")
	awaitMetric(t, address, `livedb_audit_violations_total{kind="duplicate"} 1`)
	client, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{p.broker}, ClientID: "livedb/test"})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	awaitThat(t, "the status tells of it", func() bool {
		scan, err := kafka.OpenScan(client, envelope.Topics(p.prefix).Status(), 0, sarama.OffsetOldest)
		if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return false // it is made with the first report
		}
		for err == nil {
			r, more, next := scan.Next(t.Context())
			if err = next; err == nil && !more {
				return false
			}
			if strings.Contains(string(r.Value), `"audit"`) && strings.Contains(string(r.Value), "duplicate") {
				return true
			}
		}
		t.Fatal(err)
		return false
	})
	var exit *exec.ExitError
	if err := audit.stop(syscall.SIGTERM, 10*time.Second); !errors.As(err, &exit) || exit.ExitCode() != exitFindings {
		t.Errorf("the audit ends with %v", err)
	}
}

// awaitMetric polls until the metrics hold a line.
func awaitMetric(t *testing.T, address, line string) {
	t.Helper()
	awaitThat(t, line, func() bool {
		response, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), line+"\n")
	})
}

// awaitThat polls until a condition holds.
func awaitThat(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); <-time.After(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// A person sees what was found, where, and what was not looked at.
func seesTheFault(t *testing.T, p place, topic string) {
	t.Helper()
	code, stdout, stderr := livedb(t, t.Context(), append([]string{"audit"}, p.kafka...)...)
	t.Logf("%s%s", stdout, stderr)
	for _, want := range []string{"stream  1 FAULT   seq 1 to ", "source  not made  no --source is given", "\nstream: 1 duplicate\n  duplicate: ", topic + "[0]@", `{"id":`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the audit does not say %q", want)
		}
	}
	if code != exitFindings || !strings.Contains(stderr, "the audit found faults (1)") {
		t.Errorf("the audit exits with %d: %s", code, stderr)
	}
}

// twice writes the first event of the stream's customers a second time, and returns the topic.
func twice(t *testing.T, p place) string {
	t.Helper()
	c := kafka.Config{Brokers: []string{p.broker}, ClientID: "livedb/test"}
	client, err := kafka.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	topic := p.prefix + "." + demoName + ".customers"
	scan, err := kafka.OpenScan(client, topic, 0, sarama.OffsetOldest)
	if err != nil {
		t.Fatal(err)
	}
	r, more, err := scan.Next(t.Context())
	if err != nil || !more {
		t.Fatalf("topic %s holds nothing, %v", topic, err)
	}
	producer, err := kafka.OpenProducer(t.Context(), c, topic)
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	m := &sarama.ProducerMessage{Topic: topic, Key: sarama.ByteEncoder(r.Key), Value: sarama.ByteEncoder(r.Value)}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, *h)
	}
	if err := producer.Begin(); err != nil {
		t.Fatal(err)
	}
	producer.Send(m)
	if err := producer.Commit(); err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestAuditRefusals(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--only", "streem"}, `"streem", which is no audit`},
		{[]string{"--only", "state"}, "name the Postgres with --source"},
		{[]string{"--follow", "--source", "postgres://a@b/c", "--only", "stream,state"}, "--follow follows the stream alone"},
	} {
		if code, _, stderr := livedb(t, t.Context(), append([]string{"audit", "--kafka", "127.0.0.1:1"}, c.args...)...); code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%q exits with %d: %s", c.args, code, stderr)
		}
	}
}
