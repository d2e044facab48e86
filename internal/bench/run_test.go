package bench

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

// config is a bench of a thousandth of the rows on a Postgres of the test's own.
func config(t *testing.T, shapes ...string) (Config, *pgx.Conn) {
	t.Helper()
	pg := devstack.TestPostgres(t, Settings)
	conn, err := pgx.Connect(t.Context(), pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	chosen, err := ChooseShapes(shapes)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Source: pg.URL(), Command: testCommand, Shapes: chosen, Repetitions: 1, Scale: .005, Partitions: 3, Tries: 1, Tell: t.Logf}, conn
}

func choose(t *testing.T, names ...string) []Party {
	t.Helper()
	parties, leftOut, err := Choose(names, testCommand, "", slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	for _, why := range leftOut {
		t.Log(why)
	}
	return parties
}

// left lists what of a bench is still in the source.
func left(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT 'slot ' || slot_name FROM pg_replication_slots UNION ALL SELECT 'publication ' || pubname FROM pg_publication
		UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname LIKE 'livedb%'`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// Every party drains every shape, what LiveDB wrote is counted, and nothing is left behind.
func TestEveryPartyDrainsEveryShape(t *testing.T) {
	c, conn := config(t, "a", "b", "c", "mixed")
	c.Parties = choose(t, nameRecvlogical, partNothing, partKafka, partPage)
	report, err := Measure(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Shapes) != len(c.Shapes) {
		t.Fatalf("%d shapes were measured", len(report.Shapes))
	}
	walsenders := 0 // whose CPU was seen: on a busy machine some are gone before they are looked at
	for _, s := range report.Shapes {
		if s.Rows < 500 || s.Events < s.Rows || (s.Shape == "mixed") != (s.Events > s.Rows) || s.WALBytes < int64(s.Rows)*100 {
			t.Errorf("shape %s has %d rows, %d events and %d bytes of WAL", s.Shape, s.Rows, s.Events, s.WALBytes)
		}
		if len(s.Parties) != len(c.Parties) {
			t.Fatalf("shape %s has %d parties", s.Shape, len(s.Parties))
		}
		for _, p := range s.Parties {
			if p.RowsPerSecond.Min <= 0 || p.ClientCPU <= 0 {
				t.Errorf("shape %s, %s: %+v", s.Shape, p.Party, p)
			}
			if runtime.GOOS == "linux" && p.PeakRSS <= 0 { // elsewhere there is no /proc
				t.Errorf("shape %s, %s: peak memory %d", s.Shape, p.Party, p.PeakRSS)
			}
			if p.WalsenderCPU > 0 {
				walsenders++
			}
			if toKafka := p.Party == partKafka || p.Party == partPage; toKafka != (p.BrokerCPU >= 0) || toKafka != (p.OfNothing != nil) {
				t.Errorf("shape %s, %s: broker's CPU %g, of nothing %v", s.Shape, p.Party, p.BrokerCPU, p.OfNothing)
			}
			if own := p.Party != nameRecvlogical; own != (p.MallocsPerRow >= 0) || own != (p.BytesPerRead > 100) {
				t.Errorf("shape %s, %s: %g mallocs per row, %g bytes per read", s.Shape, p.Party, p.MallocsPerRow, p.BytesPerRead)
			}
		}
	}
	if runtime.GOOS == "linux" && walsenders == 0 {
		t.Error("the CPU of no walsender is known")
	}
	if names := left(t, conn); len(names) > 0 {
		t.Errorf("the bench left behind %q", names)
	}
}

// A party that fails, or that does not read all, ends the bench: it has no rate.
func TestAPartyThatDoesNotDrainIsAnError(t *testing.T) {
	c, conn := config(t, "b")
	broken := errors.New("broken")
	for _, party := range []struct {
		Party
		want string
	}{
		{Party{Name: "fails", Drain: func(context.Context, Task) (Figures, error) { return unknown(), broken }}, "party fails: broken"},
		{Party{Name: "stops early", Drain: func(_ context.Context, t Task) (Figures, error) { return Figures{Rows: t.Rows - 1, Seconds: 1}, nil }}, "there are 1500"},
		{Party{Name: "writes less", Kafka: true, Verify: verify, Drain: func(_ context.Context, t Task) (Figures, error) {
			return Figures{Rows: t.Rows, Seconds: 1}, nil
		}}, "topic"},
	} {
		c.Parties = []Party{party.Party}
		if _, err := Measure(t.Context(), c); err == nil || !strings.Contains(err.Error(), party.want) {
			t.Errorf("%s: %v", party.Name, err)
		}
	}
	if names := left(t, conn); len(names) > 0 {
		t.Errorf("the bench left behind %q", names)
	}
}

func TestTLSToTheSource(t *testing.T) {
	pg := devstack.TestPostgres(t)
	url, err := Encrypt(t.Context(), pg)
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := ChooseShapes([]string{"b"})
	if err != nil {
		t.Fatal(err)
	}
	report, err := Measure(t.Context(), Config{Source: url, Command: testCommand, Shapes: chosen, Parties: choose(t, nameRecvlogical, partNothing),
		Repetitions: 1, Scale: .001, Partitions: 1, Tries: 1, Tell: t.Logf})
	if err != nil || !report.Machine.TLS {
		t.Errorf("%+v, %v", report, err)
	}
}
