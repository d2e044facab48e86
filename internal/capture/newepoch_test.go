package capture_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/processor"
)

// lost runs the role until it stops by the name, and returns the certificate of the stop.
func (b *bench) lost(name string) *envelope.Gap {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	err := <-b.run(ctx)
	return b.certificate(err, name)
}

func (b *bench) certificate(err error, name string) *envelope.Gap {
	b.t.Helper()
	var lost *capture.LostError
	if !errors.As(err, &lost) || lost.Refusal.Name != name {
		b.t.Fatalf("it ended with %v, not with %s and a certificate", err, name)
	}
	order := fmt.Sprintf("start once with --new-epoch=%d", lost.Gap.EpochTo)
	if !strings.Contains(err.Error(), order) || !strings.Contains(err.Error(), "from "+lost.Gap.From.End.String()+" on") {
		b.t.Errorf("it does not say %q and from where on changes are lost: %v", order, err)
	}
	return lost.Gap
}

// renewed reads the beginning of an epoch.
func (b *bench) renewed(r *processor.Reader) *envelope.Gap {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	item, err := r.Next(ctx)
	if err != nil || item.Kind != processor.Epoch {
		b.t.Fatalf("%v and not the beginning of an epoch (%v)", item.Kind, err)
	}
	return item.Gap
}

// A stream whose slot is gone stops with a certificate, and nothing else happens until somebody orders a new epoch. The
// order is for that one: as often as it is given again, no second one begins, and another loss is a stop again.
func TestALostStreamGoesOnInANewEpoch(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	slot := b.config.Source.Slot
	b.exec("SELECT pg_drop_replication_slot('"+slot+"')", "INSERT INTO a VALUES (50, 'lost')")
	b.refused("slot_missing")
	stopped := b.lost("slot_missing")
	if stopped.To != nil || stopped.From.Seq != 6 || stopped.EpochTo != 2 || stopped.SourceWas.Slot != slot {
		t.Errorf("the certificate of the stop is %+v", stopped)
	}
	b.config.NewEpoch = 3 // not the one that is due
	b.refused("slot_missing")

	b.config.NewEpoch = 2
	stop := b.start()
	b.awaitSlot()
	r := b.reader()
	for range 6 {
		b.read(r)
	}
	begun := b.renewed(r)
	if begun.To == nil || begun.To.LSN <= begun.From.End || begun.SourceNow == nil || *begun.SourceNow != begun.SourceWas {
		t.Errorf("the certificate of the epoch is %+v", begun)
	}
	begun.To, begun.SourceNow = nil, nil
	if diff := cmp.Diff(stopped, begun); diff != "" {
		t.Errorf("the certificates of the stop and of the epoch (-stop +epoch):\n%s", diff)
	}
	b.exec("INSERT INTO a VALUES (51, 'kept')")
	b.expect(r, `1 c public.a null -> {"id":51,"v":"kept"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	for i := range 2 { // the same order again
		stop = b.start()
		b.awaitSlot()
		b.exec(fmt.Sprintf("INSERT INTO a VALUES (%d, 'kept')", 60+i))
		b.expect(r, fmt.Sprintf(`%d c public.a null -> {"id":%d,"v":"kept"}`, 2+i, 60+i))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	b.awaitNoSlot()
	b.exec("SELECT pg_drop_replication_slot('" + slot + "')")
	b.refused("slot_missing")
	b.config.NewEpoch = capture.NextEpoch
	stop = b.start()
	if gap := b.renewed(r); gap.EpochTo != 3 || gap.From.Seq != 3 {
		t.Errorf("the third epoch begins with %s", gap)
	}
	b.awaitSlot()
	b.exec("UPDATE a SET v = 'again' WHERE id = 51")
	b.expect(r, `1 u public.a null -> {"id":51,"v":"again"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	report := b.audited()
	if report.Epoch != 3 || report.To != 1 || report.Events != 6+3+1 || len(report.Gaps) != 2 || report.Gaps[0].Why.Name != "slot_missing" {
		t.Errorf("the audit says epoch %d to seq %d, %d events, gaps %v", report.Epoch, report.To, report.Events, report.Gaps)
	}
}

// What a new epoch does not need is made moot by it, and what it needs is not.
func TestLongWhatANewEpochMakesMoot(t *testing.T) {
	longOnly(t)
	t.Parallel()
	for _, c := range []struct {
		name   string
		damage func(b *bench)
		stays  bool
	}{
		{"slot_ahead_of_checkpoint", func(b *bench) {
			b.exec("SELECT pg_drop_replication_slot('"+b.config.Source.Slot+"')", "INSERT INTO a VALUES (20)",
				"SELECT pg_create_logical_replication_slot('"+b.config.Source.Slot+"', 'pgoutput')")
		}, false},
		{"publication_missing", func(b *bench) { b.exec("DROP PUBLICATION livedb") }, false},
		{"publication_altered", func(b *bench) { b.exec("ALTER PUBLICATION livedb SET (publish = 'insert, update')") }, false},
		{"a publication of other tables", func(b *bench) {
			b.exec("DROP PUBLICATION livedb", "CREATE TABLE c (id int PRIMARY KEY)", "CREATE PUBLICATION livedb FOR TABLE c WITH (publish_via_partition_root = true)",
				"ALTER PUBLICATION livedb OWNER TO postgres")
		}, false},
		{"publication made anew", func(b *bench) {
			b.exec("DROP PUBLICATION livedb", "INSERT INTO a VALUES (20)", "CREATE PUBLICATION livedb FOR ALL TABLES WITH (publish_via_partition_root = true)", "INSERT INTO a VALUES (21)")
		}, false},
		{"topic_missing", func(b *bench) {
			b.exec("SELECT pg_drop_replication_slot('" + b.config.Source.Slot + "')")
			b.deleted(b.config.Prefix + ".public.a")
		}, true},
		{"slot_two_phase", func(b *bench) {
			b.exec("SELECT pg_drop_replication_slot('"+b.config.Source.Slot+"')", "SELECT pg_create_logical_replication_slot('"+b.config.Source.Slot+"', 'pgoutput', false, true)")
		}, true},
		{"slot_changed", func(b *bench) { b.config.Source.Slot += "_other" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := begun(t, newBench(t))
			c.damage(b)
			b.config.NewEpoch = 2
			if c.stays {
				b.refused(c.name)
				return
			}
			stop := b.start()
			r := b.reader()
			for range 6 {
				b.read(r)
			}
			if gap := b.renewed(r); gap.Why.Name != c.name && !strings.Contains(c.name, " ") {
				t.Errorf("the epoch begins with %s", gap)
			}
			b.awaitSlot()
			b.exec("CREATE TABLE IF NOT EXISTS c (id int PRIMARY KEY)", "INSERT INTO c VALUES (1)")
			b.expect(r, `1 c public.c null -> {"id":1}`)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			b.config.NewEpoch = 0
			stop = b.start() // what the new epoch found is what the next start compares with
			b.awaitSlot()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			b.audited()
		})
	}
}

// A slot that somebody else reads is not taken away, not even by order.
func TestANewEpochEndsNobodyElsesReader(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	slot := b.config.Source.Slot
	b.exec("SELECT pg_drop_replication_slot('"+slot+"')", "INSERT INTO a VALUES (20)", "SELECT pg_create_logical_replication_slot('"+slot+"', 'pgoutput')")
	other, err := pgconn.Connect(t.Context(), b.config.Source.URL+"&replication=database&application_name=other")
	if err != nil {
		t.Fatal(err)
	}
	release := func() { other.Close(context.Background()) }
	t.Cleanup(release)
	if err := pglogrepl.StartReplication(t.Context(), other, slot, 0, pglogrepl.StartReplicationOptions{PluginArgs: []string{"proto_version '1'", "publication_names 'livedb'"}}); err != nil {
		t.Fatal(err)
	}
	b.config.NewEpoch = 2
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := b.run(ctx)
	for !strings.Contains(b.config.Status.Status().Detail, "other, reads it") {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	b.await("SELECT active FROM pg_replication_slots WHERE slot_name = '" + slot + "'")
	release()
	r := b.reader()
	for range 6 {
		b.read(r)
	}
	b.renewed(r)
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (21)")
	b.expect(r, `1 c public.a null -> {"id":21,"v":null}`)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// An order is for the start that it is given to: a loss later on is a stop, whatever number was ordered.
func TestAnOrderIsSpentOnceTheStreamGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench(t, "CREATE TABLE a (id int PRIMARY KEY, v text)")
	b.config.NewEpoch, b.config.Limits.Heartbeat = capture.NextEpoch, 100*time.Millisecond
	ended := b.run(t.Context())
	r := b.reader()
	b.awaitSlot()
	b.exec("INSERT INTO a VALUES (1)")
	b.read(r)
	b.awaitConfirmed()
	b.steal()
	err := <-ended
	var lost *capture.LostError
	if !errors.As(err, &lost) || lost.Gap.EpochTo != 2 {
		t.Errorf("it ended with %v", err)
	}
}
