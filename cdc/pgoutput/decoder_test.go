package pgoutput

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc"
)

func TestATransactionOpensAndEnds(t *testing.T) {
	s := newStory(t)

	got := s.read(beginBytes(tx))
	want := &Message{Kind: Begin, Tx: cdc.Transaction{XID: tx.XID, Commit: tx.Commit, Time: tx.Time}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// COMMIT does not repeat the xid: it is the BEGIN's.
	got = s.read(commitBytes(tx))
	if diff := cmp.Diff(&Message{Kind: Commit, Tx: tx}, got); diff != "" {
		t.Error(diff)
	}

	// An end LSN may equal the next commit LSN, and the next transaction is another one all the same.
	next := cdc.Transaction{XID: 734, Commit: cdc.CommitLSN(tx.End), End: tx.End + 48, Time: tx.Time}
	s.read(beginBytes(next))
	if got := s.read(commitBytes(next)); got.Tx != next {
		t.Errorf("got %+v, want %+v", got.Tx, next)
	}
}

func TestAChangeCarriesWhatTheServerLogged(t *testing.T) {
	key := row("7", nil, nil)
	before, after := row("7", "old", "1.50"), row("8", "", nil)

	for name, c := range map[string]struct {
		data []byte
		want cdc.Change
	}{
		"insert":                   {insertBytes(16384, after), cdc.Change{Op: cdc.Insert, New: after}},
		"update":                   {updateBytes(16384, cdc.OldNone, nil, after), cdc.Change{Op: cdc.Update, New: after}},
		"update of the key":        {updateBytes(16384, cdc.OldKey, key, after), cdc.Change{Op: cdc.Update, Old: key, OldKind: cdc.OldKey, New: after}},
		"update, identity full":    {updateBytes(16384, cdc.OldFull, before, after), cdc.Change{Op: cdc.Update, Old: before, OldKind: cdc.OldFull, New: after}},
		"delete":                   {deleteBytes(16384, cdc.OldKey, key), cdc.Change{Op: cdc.Delete, Old: key, OldKind: cdc.OldKey}},
		"delete, identity full":    {deleteBytes(16384, cdc.OldFull, before), cdc.Change{Op: cdc.Delete, Old: before, OldKind: cdc.OldFull}},
		"update, value not logged": {updateBytes(16384, cdc.OldNone, nil, row("7", unchanged{}, nil)), cdc.Change{Op: cdc.Update, New: row("7", unchanged{}, nil)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := inOrders(t)
			c.want.Table, c.want.LSN = s.decoder.Table(16384), 0x10

			got := s.read(c.data)
			if diff := cmp.Diff(&Message{Kind: Row, Change: c.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A row of no columns is a row: CREATE TABLE t () is a table.
func TestATableMayHaveNoColumns(t *testing.T) {
	s := newStory(t)
	s.read(beginBytes(tx))
	s.read(relationBytes(&cdc.Table{OID: 1, Schema: "public", Name: "empty", Identity: cdc.IdentityNothing}))
	if got := s.read(insertBytes(1, nil)); got.Kind != Row || len(got.Change.New) != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestADescriptionKeepsItsAddressUntilItSaysSomethingElse(t *testing.T) {
	s := inOrders(t)
	first := s.decoder.Table(16384)
	if diff := cmp.Diff(orders, first); diff != "" {
		t.Fatal(diff)
	}

	if got := s.read(relationBytes(orders)); got.Kind != Relation || got.Table != first {
		t.Error("the same description again got another address")
	}

	renamed := *orders
	renamed.Name = "sales"
	second := s.read(relationBytes(&renamed)).Table
	if second == first || s.decoder.Table(16384) != second || second.Name != "sales" {
		t.Errorf("a new description got %p %s, the old one is %p", second, second, first)
	}
	if first.Name != "orders" {
		t.Error("a description that had been handed out was changed")
	}
	if got := s.read(insertBytes(16384, row("1", nil, nil))); got.Change.Table != second {
		t.Error("a change after the new description has the old one")
	}
}

func TestEveryPartOfADescriptionCounts(t *testing.T) {
	for name, change := range map[string]func(*cdc.Table){
		"schema":          func(t *cdc.Table) { t.Schema = "sales" },
		"name":            func(t *cdc.Table) { t.Name = "sales" },
		"identity":        func(t *cdc.Table) { t.Identity = cdc.IdentityFull },
		"column":          func(t *cdc.Table) { t.Columns = append(t.Columns, cdc.Column{Name: "added", Type: 23, Modifier: -1}) },
		"column name":     func(t *cdc.Table) { t.Columns[1].Name = "remark" },
		"column type":     func(t *cdc.Table) { t.Columns[1].Type = 1043 },
		"column modifier": func(t *cdc.Table) { t.Columns[1].Modifier = 14 },
		"column flag":     func(t *cdc.Table) { t.Columns[1].Identity = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := inOrders(t)
			first := s.decoder.Table(16384)
			changed := *orders
			changed.Columns = append([]cdc.Column(nil), orders.Columns...)
			change(&changed)

			got := s.read(relationBytes(&changed)).Table
			if got == first {
				t.Error("the change was not noticed")
			}
			if diff := cmp.Diff(&changed, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTypeNamesReachLaterDescriptions(t *testing.T) {
	table := &cdc.Table{OID: 1, Schema: "", Name: "t", Identity: cdc.IdentityFull, Columns: []cdc.Column{
		{Name: "mood", Type: 16400, Modifier: -1, Identity: true},
		{Name: "positive", Type: 16401, Modifier: -1, Identity: true},
		{Name: "plain", Type: 23, Modifier: -1, Identity: true},
	}}
	s := newStory(t)
	before := s.read(relationBytes(table)).Table
	s.read(typeBytes(16400, "public", "mood"))
	if got := s.read(typeBytes(16401, "", "int4")); got.Kind != Type {
		t.Errorf("got kind %v", got.Kind)
	}
	after := s.read(relationBytes(table)).Table

	if before == after || before.Columns[0].TypeName != "" {
		t.Error("a type's name changed a description that had been handed out")
	}
	if after.Schema != "pg_catalog" {
		t.Errorf("the schema is %q: the writer shortens pg_catalog to nothing", after.Schema)
	}
	for i, want := range []string{"public.mood", "pg_catalog.int4", ""} {
		if got := after.Columns[i].TypeName; got != want {
			t.Errorf("column %s has type %q, want %q", after.Columns[i].Name, got, want)
		}
		if !after.Columns[i].Identity {
			t.Error("under REPLICA IDENTITY FULL every column is flagged")
		}
	}
}

func TestOneStatementTruncatesSeveralTables(t *testing.T) {
	s := inOrders(t)
	items := s.read(relationBytes(&cdc.Table{OID: 2, Schema: "public", Name: "items", Identity: cdc.IdentityNothing})).Table
	both := []*cdc.Table{s.decoder.Table(16384), items}

	for flags, want := range []*Message{
		{Kind: Truncate, Truncated: both},
		{Kind: Truncate, Truncated: both, Cascade: true},
		{Kind: Truncate, Truncated: both, RestartIdentity: true},
		{Kind: Truncate, Truncated: both, Cascade: true, RestartIdentity: true},
	} {
		if diff := cmp.Diff(want, s.read(truncateBytes(byte(flags), 16384, 2))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLogicalMessagesStandWhereTheyMust(t *testing.T) {
	inside := LogicalMessage{Prefix: "app", Content: []byte("in\x00side"), Transactional: true, LSN: 0x1234}
	outside := LogicalMessage{Prefix: "", Content: []byte{}, LSN: 0x5678}

	s := newStory(t)
	if diff := cmp.Diff(&Message{Kind: Logical, Logical: outside}, s.read(logicalBytes(outside))); diff != "" {
		t.Error(diff)
	}
	s.read(beginBytes(tx))
	if diff := cmp.Diff(&Message{Kind: Logical, Logical: inside}, s.read(logicalBytes(inside))); diff != "" {
		t.Error(diff)
	}
	s.read(commitBytes(tx))
	s.read(logicalBytes(outside))
}

func TestAnOriginIsReadAndForgotten(t *testing.T) {
	if got := inOrders(t).read(originBytes(0x99, "elsewhere")); got.Kind != Origin {
		t.Errorf("got %+v", got)
	}
}

// PostgreSQL 18 was reported to send STREAM ABORT to readers who never asked for streams (estuary/connectors#5228).
func TestAStrayStreamAbortIsCounted(t *testing.T) {
	s := inOrders(t)
	for _, data := range [][]byte{{'A'}, builder{'A'}.i32(733).i32(734), builder{'A'}.i32(733).i32(734).i64(1).i64(2)} {
		if diff := cmp.Diff(&Message{Kind: StreamAbort}, s.read(data)); diff != "" {
			t.Error(diff)
		}
	}
	s.read(commitBytes(tx))
}

func TestTimesAreMicrosecondsSince2000(t *testing.T) {
	for micros, want := range map[int64]string{
		0:                   "2000-01-01T00:00:00Z",
		1:                   "2000-01-01T00:00:00.000001Z",
		-1:                  "1999-12-31T23:59:59.999999Z",
		-946684800000000:    "1970-01-01T00:00:00Z",
		9223371331199999999: "294276-12-31T23:59:59.999999Z", // the last one Postgres knows
	} {
		got := newStory(t).read(builder{'B'}.i64(1).i64(uint64(micros)).i32(1)).Tx.Time
		if text := got.Format(time.RFC3339Nano); text != want || got.Location() != time.UTC {
			t.Errorf("%d: got %s, want %s", micros, text, want)
		}
	}
}

func TestValuesAreViewsAndRowsAreReused(t *testing.T) {
	s := inOrders(t)
	data := insertBytes(16384, row("1", "first", nil))
	first := s.read(data).Change.New
	data[len(data)-2] = '!'
	if got := string(first[1].Text); got != "firs!" {
		t.Errorf("got %q: the value is a copy", got)
	}

	// Appending to a value must not write over its neighbour.
	_ = append(first[0].Text, "over the neighbour"...)
	if got := string(first[1].Text); got != "firs!" {
		t.Errorf("got %q", got)
	}

	second := s.read(insertBytes(16384, row("2", nil, nil))).Change.New
	if &first[0] != &second[0] {
		t.Error("the row is not reused")
	}
}

func TestRowsCostNoAllocation(t *testing.T) {
	s := inOrders(t)
	full := row("7", "old", "1.50")
	for name, data := range map[string][]byte{
		"insert":   insertBytes(16384, full),
		"update":   updateBytes(16384, cdc.OldFull, full, full),
		"delete":   deleteBytes(16384, cdc.OldKey, full),
		"truncate": truncateBytes(0, 16384),
	} {
		if allocs := testing.AllocsPerRun(100, func() { s.read(data) }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}

	commit, begin := commitBytes(tx), beginBytes(tx)
	if allocs := testing.AllocsPerRun(100, func() { s.read(commit); s.read(begin) }); allocs != 0 {
		t.Errorf("BEGIN and COMMIT: %v allocations", allocs)
	}
}
