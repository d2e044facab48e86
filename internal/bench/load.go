package bench

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Where the load stands in the source. Nothing else may be there.
const (
	schema      = "livedb_bench"
	table       = schema + ".events"
	publication = "livedb_bench"
)

// Shape is a form of load.
type Shape struct {
	Name  string
	About string
	rows  int // changes at scale 1
	each  int // changes of one transaction; 0: all of them
	mixed bool
}

// Shapes are those that there are.
var Shapes = []Shape{
	{Name: "a", About: "transactions of one row", rows: 200_000, each: 1},
	{Name: "b", About: "transactions of 100 rows", rows: 300_000, each: 100},
	{Name: "c", About: "one transaction", rows: 500_000},
	{Name: "mixed", About: "20 columns; inserts, updates that leave a large value alone, updates of keys, deletes", rows: 100_000, each: mixedChanges, mixed: true},
}

// A transaction of the mixed shape: four inserts, four updates, an update of the key, which is two events, and a delete.
const (
	mixedChanges = 10
	mixedEvents  = 11
)

// sized tells how many transactions of how many changes a scale makes of the shape.
func (s Shape) sized(scale float64) (transactions, each int) {
	rows := max(1, int(math.Round(float64(s.rows)*scale)))
	if s.each == 0 {
		return 1, rows
	}
	return max(1, rows/s.each), s.each
}

// load is what a shape left in the WAL.
type load struct {
	shape        Shape
	rows, events int
	walBytes     int64
	end          cdc.LSN
}

// document is the measured table's, of 138 bytes.
const document = `{"user": "a4f0c9e2-51d7-4b6e-9c0a-7f7d3a1b2c4d", "items": [{"sku": "X-1009", "qty": 3}, {"sku": "Y-2210", "qty": 1}], "note": "burst 123"}`

const createPlain = `CREATE TABLE ` + table + ` (id bigserial PRIMARY KEY, account int, kind text, amount float8, payload jsonb, created_at timestamptz)`

// createMixed has twenty columns: the measured six, a large one that is never compressed, and thirteen small ones. Rows
// have their whole state before a change, as LiveDB wants it.
const createMixed = `CREATE TABLE ` + table + ` (id bigint PRIMARY KEY, account int, kind text, amount float8, payload jsonb, created_at timestamptz,
	large text, c8 int, c9 bigint, c10 numeric(12,2), c11 boolean, c12 date, c13 uuid, c14 text, c15 text, c16 timestamp, c17 int[], c18 smallint, c19 bytea, c20 interval);
	ALTER TABLE ` + table + ` ALTER large SET STORAGE EXTERNAL;
	ALTER TABLE ` + table + ` REPLICA IDENTITY FULL`

// createStatements make the shape's table and its publication, in place of those of an earlier shape.
func (s Shape) createStatements() []string {
	create := createPlain
	if s.mixed {
		create = createMixed
	}
	return append(dropStatements(), `CREATE SCHEMA `+schema, create, `CREATE PUBLICATION `+publication+` FOR TABLE `+table)
}

func dropStatements() []string {
	return []string{`DROP PUBLICATION IF EXISTS ` + publication, `DROP SCHEMA IF EXISTS ` + schema + ` CASCADE`}
}

// values are those of one row of the plain table; i numbers it from 1.
const values = `i % 1000, 'kind-' || i % 8, (i % 100000) / 100.0, '` + document + `', clock_timestamp()`

// fill is the statement that writes the load.
func (s Shape) fill(transactions, each int) string {
	body := fmt.Sprintf(`INSERT INTO %s (account, kind, amount, payload, created_at) SELECT %s FROM generate_series(t * %d + 1, (t + 1) * %d) i;`, table, values, each, each)
	switch {
	case s.mixed:
		body = mixedBody
	case each == 1: // without the set, which costs more than the row
		body = fmt.Sprintf(`i := t + 1; INSERT INTO %s (account, kind, amount, payload, created_at) VALUES (%s);`, table, values)
	}
	return fmt.Sprintf("DO $do$ #variable_conflict use_column\nDECLARE i int; large text := (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 90) n);\n"+
		"BEGIN FOR t IN 0..%d LOOP\n%s\nCOMMIT; END LOOP; END $do$", transactions-1, body)
}

// mixedBody is one transaction; every other row is large enough to be kept out of line.
const mixedBody = `
INSERT INTO ` + table + ` SELECT i, ` + values + `, CASE i % 2 WHEN 0 THEN substr(large, i % 64, 2500) END, i, i * 1000000007::bigint, (i % 99999) / 100.0, i % 3 = 0,
	date '2026-01-01' + i % 365, md5(i::text)::uuid, 'a text of row ' || i, NULL, timestamp '2026-01-01' + i * interval '1 second', ARRAY[i, i + 1, i + 2], i % 100,
	decode(md5(i::text), 'hex'), i * interval '1 minute'
	FROM generate_series(t * 4 + 1, t * 4 + 4) i;
UPDATE ` + table + ` SET amount = amount + 1, c8 = c8 + 1 WHERE id IN (t * 4 + 1, t * 4 + 2);
UPDATE ` + table + ` SET kind = 'kind-8', c15 = 'seen' WHERE id IN (t * 4 + 1, t * 4 + 2);
UPDATE ` + table + ` SET id = -id WHERE id = t * 4 + 3;
DELETE FROM ` + table + ` WHERE id = t * 4 + 4;`

// write creates the table, has park park a slot, and writes the load behind it.
func (s Shape) write(ctx context.Context, conn *pgx.Conn, scale float64, park func(ctx context.Context) error) (*load, error) {
	if err := execute(ctx, conn, s.createStatements()...); err != nil {
		return nil, fmt.Errorf("make the table of shape %s: %w", s.Name, err)
	}
	if err := park(ctx); err != nil {
		return nil, err
	}
	transactions, each := s.sized(scale)
	l := &load{shape: s, rows: transactions * each, events: transactions * each}
	if s.mixed {
		l.events = transactions * mixedEvents
	}
	begin, err := position(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := execute(ctx, conn, `SET synchronous_commit = off`, s.fill(transactions, each), `SET synchronous_commit = on`); err != nil {
		return nil, fmt.Errorf("write the load of shape %s: %w", s.Name, err)
	}
	// A commit that waits for its WAL has that of the others written too. Its own change stands beside the publication.
	if err := execute(ctx, conn, `CREATE TABLE `+schema+`.written ()`, `CHECKPOINT`); err != nil {
		return nil, fmt.Errorf("have the WAL of the load written: %w", err)
	}
	if l.end, err = position(ctx, conn); err != nil {
		return nil, err
	}
	l.walBytes = int64(l.end - begin)
	return l, nil
}

// position is the end of what the source has written to disk of its WAL.
func position(ctx context.Context, conn *pgx.Conn) (cdc.LSN, error) {
	var text string
	if err := conn.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn()::text`).Scan(&text); err != nil {
		return 0, fmt.Errorf("read the source's WAL position: %w", err)
	}
	return cdc.ParseLSN(text)
}

// execute runs each statement in a transaction of its own, where it does not make several itself.
func execute(ctx context.Context, conn *pgx.Conn, statements ...string) error {
	for _, statement := range statements {
		if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			first, _, _ := strings.Cut(strings.TrimSpace(statement), "\n")
			return fmt.Errorf("%.80s: %w", first, err)
		}
	}
	return nil
}
