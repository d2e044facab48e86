package capture_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/producer"
)

// distorted is a connection from which something else is read than was sent, as long as what was sent.
type distorted struct {
	net.Conn
	sent, read []byte
}

func (d distorted) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	copy(p, bytes.ReplaceAll(p[:n], d.sent, d.read))
	return n, err
}

// distort has the role read something else from the source than it sends; what the source sends at once arrives at once, here.
func (b *bench) distort(sent, read string) {
	b.config.Source.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return distorted{conn, []byte(sent), []byte(read)}, err
	}
}

// A message that cannot be decoded stops the stream before its transaction, each time anew: it is never passed over. Once it can be,
// everything arrives, once.
func TestAMessageThatCannotBeDecodedStopsTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Limits.Heartbeat = time.Hour // nothing but the transaction could be acknowledged
	begun(t, b)
	b.distort("t\x00\x00\x00\x06broken", "z\x00\x00\x00\x06broken") // a column of a kind that is none
	b.exec("BEGIN", "INSERT INTO a VALUES (20, 'before')", "INSERT INTO a VALUES (21, 'broken')", "COMMIT", "INSERT INTO a VALUES (22, 'behind')")
	b.refused("undecodable_message")

	b.config.Source.Dial = nil
	stop := b.start()
	r := b.reader()
	for range 6 {
		b.read(r)
	}
	b.expect(r, `7 c public.a null -> {"id":20,"v":"before"}`, `8 c public.a null -> {"id":21,"v":"broken"}`)
	b.expect(r, `9 c public.a null -> {"id":22,"v":"behind"}`)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	b.audited()
}

// A value that cannot be written stops the stream before its transaction, too.
func TestAValueThatCannotBeWrittenStopsTheStream(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.config.Limits.Heartbeat = time.Hour
	begun(t, b)
	b.exec("ALTER TABLE a ADD d date")
	b.distort("2024-02-03", "2024-02-3x")
	b.exec("BEGIN", "INSERT INTO a VALUES (20, 'before')", "INSERT INTO a VALUES (21, 'broken', '2024-02-03')", "COMMIT", "INSERT INTO a VALUES (22, 'behind')")
	b.refused("unencodable_value")
}

// A value that the source cannot send stops the stream as well: a database without an encoding takes any bytes.
func TestAValueThatIsNoTextStopsTheStream(t *testing.T) {
	t.Parallel()
	server := newBench(t)
	name := server.config.Source.Slot + "_ascii"
	server.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	b := benchOn(t, strings.Replace(server.config.Source.URL, "/"+server.config.Source.Slot, "/"+name, 1), name)
	b.config.Limits.Heartbeat = time.Hour
	begun(t, b)
	t.Cleanup(func() {
		b.conn.Close(context.Background())
		for _, sql := range []string{"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '" + name + "'", "DROP DATABASE " + name + " WITH (FORCE)"} {
			if _, err := server.conn.Exec(context.Background(), sql); err != nil {
				t.Error(err)
			}
		}
	})
	b.exec("BEGIN", "INSERT INTO a VALUES (20, 'before')", `INSERT INTO a VALUES (21, E'\xff')`, "COMMIT")
	b.refused("unencodable_value")
}

// A setting that is not what LiveDB made it ends the connection: the values would be of another form.
func TestASettingThatDoesNotTakeStopsTheStream(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	b.distort("ISO, YMD", "ISO, DMY")
	b.refused("setting_refused")
}

// A stream whose events were written by other rules is not gone on with.
func TestAnotherMappingStopsTheStream(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	topics := envelope.Topics(b.config.Prefix)
	saved, err := capture.PeekSaved(t.Context(), b.client(), topics)
	if err != nil {
		t.Fatal(err)
	}
	saved.Topology.Mapping = "another"
	if err := producer.WriteTopology(b.somebody(), topics, saved.Topology); err != nil {
		t.Fatal(err)
	}
	b.refused("mapping_changed")
}

// A stream whose Kafka keys rest on other columns than the table's key stops before the first change under it: one key would stand for
// several rows, or for none.
func TestAnotherKeyStopsTheStream(t *testing.T) {
	t.Parallel()
	for what, alter := range map[string][]string{
		"a column is gone": {"ALTER TABLE a REPLICA IDENTITY FULL", "ALTER TABLE a DROP COLUMN id", "INSERT INTO a VALUES ('keyless')"},
		"a column more":    {"ALTER TABLE a DROP CONSTRAINT a_pkey", "ALTER TABLE a ADD PRIMARY KEY (id, v)", "INSERT INTO a VALUES (1, 'other')"},
		"another column":   {"ALTER TABLE a DROP CONSTRAINT a_pkey", "ALTER TABLE a ADD PRIMARY KEY (v)", "INSERT INTO a VALUES (1, 'other')"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.config.Limits.Heartbeat = time.Hour
			begun(t, b)
			if what == "another column" {
				b.exec("DELETE FROM a WHERE id > 0") // v is the same in all rows
			}
			b.exec(alter...)
			b.refused("key_changed")
		})
	}
}
