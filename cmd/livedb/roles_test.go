package main

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/burst"
	"github.com/livedb/livedb/internal/burst/ledger"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/processor"
)

// place is a source with the demo's tables, a Kafka, and the flags that name them.
type place struct {
	url, broker, prefix string
	source, kafka, both []string
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{url: devstack.TestDatabase(t, devstack.SharedPostgres(t)), broker: devstack.TestKafka(t)[0]}
	name, _, _ := strings.Cut(p.url[strings.LastIndex(p.url, "/")+1:], "?")
	p.prefix = strings.ReplaceAll(name, "_", "-")
	p.source = []string{"--source", p.url}
	p.kafka = []string{"--kafka", p.broker, "--prefix", p.prefix}
	p.both = append(append([]string{"--slot", name}, p.source...), p.kafka...)
	if code, _, stderr := livedb(t, t.Context(), "migrate", "--source", p.url); code != exitDone {
		t.Fatalf("migrate: %s", stderr)
	}
	return p
}

// follower reads the stream from its beginning and judges it by the ledger.
type follower struct {
	t        *testing.T
	reader   *processor.Reader
	verifier *ledger.Verifier
}

func follow(t *testing.T, p place) *follower {
	t.Helper()
	client, err := kafka.Connect(t.Context(), kafka.Config{Brokers: []string{p.broker}, ClientID: "livedb/test"})
	if err != nil {
		t.Fatal(err)
	}
	reader, err := processor.OpenReader(t.Context(), processor.ReaderConfig{Client: client, Prefix: p.prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close(); client.Close() })
	return &follower{t: t, reader: reader, verifier: ledger.NewVerifier(ledger.Config{Schema: demoName})}
}

// until reads on until the condition holds after a transaction. The reader itself fails on a gap, a repeat or a step back.
func (f *follower) until(what string, holds func(seq uint64) bool) uint64 {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	for {
		item, err := f.reader.Next(ctx)
		if err != nil {
			f.t.Fatalf("read until %s: %v", what, err)
		}
		switch item.Kind {
		case processor.Begin:
			f.verifier.Begin(item.Tx.XID, item.Tx.Commit)
		case processor.Event:
			e, err := envelope.ParseEvent(item.Value)
			if err == nil {
				err = f.verifier.Event(e.Kind(), e.Source.Schema+"."+e.Source.Table, e.Before, e.After)
			}
			if err != nil {
				f.t.Fatal(err)
			}
		case processor.End:
			f.verifier.End()
			if holds(item.Seq) {
				return item.Seq
			}
		}
	}
}

// more reads that many events.
func (f *follower) more(events uint64) {
	f.t.Helper()
	var first uint64
	f.until("more events come", func(seq uint64) bool {
		if first == 0 {
			first = seq
		}
		return seq >= first+events
	})
}

// proven reads what the source's ledger says was written and holds that the stream had it once each and in order.
func (f *follower) proven(p place) {
	f.t.Helper()
	truth, err := burst.ReadTruth(f.t.Context(), p.url, demoName)
	if err != nil {
		f.t.Fatal(err)
	}
	if !f.verifier.CaughtUp(truth) {
		f.until("all of the ledger was seen", func(uint64) bool { return f.verifier.CaughtUp(truth) })
	}
	if r := f.verifier.Finish(truth); !r.OK() || r.Transactions == 0 {
		f.t.Errorf("%d missing, %d duplicated, %d disordered, %d altered in %d transactions: %q",
			r.Missing, r.Duplicated, r.Disordered, r.Altered, r.Transactions, r.Findings)
	}
}

// The four roles run as separate processes, and cdc is stopped and killed under load: no event is lost or doubled.
func TestRolesAsProcessesSurviveStopsAndKillsOfCDC(t *testing.T) {
	p := newPlace(t)
	cdc := func() *process { return start(t, append([]string{"cdc", "--tables", demoTables()}, p.both...)...) }
	running := cdc()
	running.await("streaming")
	start(t, append([]string{"process"}, p.kafka...)...)
	dashboard := start(t, append([]string{"ui", "--listen", "127.0.0.1:0"}, p.kafka...)...)
	writer := start(t, append([]string{"burst", "--rate", "2000"}, append(p.source, p.kafka...)...)...)

	f := follow(t, p)
	f.more(1000)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		err := running.stop(signal, 10*time.Second)
		if signal == syscall.SIGTERM && err != nil {
			t.Errorf("cdc ended with %v", err)
		}
		running = cdc()
		running.await("streaming")
		f.more(1000)
	}
	ready(t, dashboard)
	if err := writer.stop(syscall.SIGTERM, 10*time.Second); err != nil {
		t.Errorf("burst ended with %v", err)
	}
	f.proven(p)
}

// ready asks the dashboard's process whether all is well.
func ready(t *testing.T, p *process) {
	t.Helper()
	line := p.await("dashboard serves")
	_, address, _ := strings.Cut(line, "address=")
	address, _, _ = strings.Cut(address, " ")
	response, err := http.Get("http://" + address + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("/readyz answers %s", response.Status)
	}
}

func demoTables() string {
	var c demoCommand
	return strings.Join(c.sourceConfig("").Tables, ",")
}

// A stream may begin while somebody writes, and without a snapshot: the view leaves out what it cannot know, and goes on.
func TestAStreamBeginsUnderLoad(t *testing.T) {
	p := newPlace(t)
	writer := start(t, append([]string{"burst", "--rate", "1000", "--keep-orders", "100"}, p.source...)...)
	writer.await("burst begins")
	awaitRows(t, p, 50)
	running := start(t, append([]string{"run", "--listen", "127.0.0.1:0", "--tables", demoTables()}, p.both...)...)
	running.await("streaming")
	f := follow(t, p)
	f.verifier = ledger.NewVerifier(ledger.Config{Schema: demoName, Midway: true})
	f.more(3000)
	if r := f.verifier.Report(); !r.OK() {
		t.Errorf("%+v", r)
	}
	ready(t, running)
	if err := running.stop(syscall.SIGINT, 5*time.Second); err != nil {
		t.Errorf("run ended with %v", err)
	}
}

// awaitRows waits until the demo's orders are that many.
func awaitRows(t *testing.T, p place, rows int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := 0; n < rows; {
		// The server paces the poll.
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+demoName+".orders, pg_sleep(0.05)").Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
}

// run does the same in one process, against servers that LiveDB did not start.
func TestRunAgainstGivenServers(t *testing.T) {
	p := newPlace(t)
	running := start(t, append([]string{"run", "--listen", "127.0.0.1:0", "--tables", demoTables()}, p.both...)...)
	running.await("streaming")
	writer := start(t, append([]string{"burst", "--rate", "1000", "--for", "2s"}, p.source...)...)
	f := follow(t, p)
	<-writer.ended
	if writer.err != nil {
		t.Errorf("burst ended with %v", writer.err)
	}
	f.proven(p)
	ready(t, running)
	if err := running.stop(syscall.SIGINT, 5*time.Second); err != nil {
		t.Errorf("run ended with %v", err)
	}
}
