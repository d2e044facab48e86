package pgoutput

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

var update = flag.Bool("update", false, "write the golden files anew; with LIVEDB_PGOUTPUT_SERVER the recorded streams too")

// Each recorded stream tells the story in its golden file. Read the difference before you write one anew.
func TestRecordedStreamsTellTheirStory(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			got := tell(f.messages)
			if *update {
				if err := os.WriteFile(f.path("golden.txt"), []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(f.path("golden.txt"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A reader of proto_version 2 that ignores its sub-aborts sees 981 of these rows, or 5; ours must see what committed.
func TestRowsOfASavepointThatRolledBackAreNotSent(t *testing.T) {
	f := readFixture(t, "savepoints")
	d := NewDecoder()
	var m Message
	rows := 0
	for _, w := range f.messages {
		if err := d.Decode(w.lsn, w.data, &m); err != nil {
			t.Fatal(err)
		}
		if m.Kind == Row && m.Change.Op == cdc.Insert {
			rows++
		}
	}
	if rows != 505 {
		t.Errorf("got %d rows, want 505", rows)
	}
}

// Nothing a message says is dropped or invented: what was decoded, written again, is what was read.
func TestRecordedMessagesSurviveARoundTrip(t *testing.T) {
	for _, f := range fixtures(t) {
		d := NewDecoder()
		var m Message
		for i, w := range f.messages {
			if err := d.Decode(w.lsn, w.data, &m); err != nil {
				break // the golden file holds it
			}
			if !survives(w.data, &m) {
				t.Errorf("%s, message %d: read\n%x and wrote\n%x", f.name, i, w.data, encode(&m))
			}
		}
	}
}

// A message cut anywhere is refused; one with any bit flipped is refused, or means just what its bytes now say.
func TestDamageIsNoticed(t *testing.T) {
	for _, f := range fixtures(t) {
		if len(f.messages) > 200 {
			continue // 505 times the same
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			d := NewDecoder()
			var m Message
			for _, w := range f.messages {
				cut(t, d, w)
				flip(t, d, w)
				if d.Decode(w.lsn, w.data, &m) != nil {
					return // the golden file holds it
				}
			}
		})
	}
}

func cut(t *testing.T, d *Decoder, w wal) {
	t.Helper()
	var m Message
	for n := range w.data {
		if err := clone(d).Decode(w.lsn, w.data[:n], &m); err == nil {
			t.Errorf("%x cut to %d bytes was taken for %v", w.data, n, m.Kind)
		}
	}
}

func flip(t *testing.T, d *Decoder, w wal) {
	t.Helper()
	var m Message
	damaged := bytes.Clone(w.data)
	for bit := range min(len(damaged), 200) * 8 {
		damaged[bit/8] ^= 1 << (bit % 8)
		if clone(d).Decode(w.lsn, damaged, &m) == nil && !survives(damaged, &m) {
			t.Errorf("%x was taken for %x", damaged, encode(&m))
		}
		damaged[bit/8] ^= 1 << (bit % 8)
	}
}

// clone returns a decoder of the same state, so that the damage ends with it.
func clone(d *Decoder) *Decoder {
	return &Decoder{tables: maps.Clone(d.tables), types: maps.Clone(d.types), open: d.open, tx: d.tx}
}

// survives tells whether the message, written again, is what was read. One thing can be said in two ways: no server
// writes pg_catalog in full.
func survives(read []byte, m *Message) bool {
	again := encode(m)
	return again == nil || bytes.Equal(again, read) ||
		m.Kind == Relation && bytes.Equal(bytes.Replace(read, []byte("pg_catalog\x00"), []byte{0}, 1), again)
}
