package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/audit/oracle"
	"github.com/livedb/livedb/producer"
)

// tableReader reads the source's tables.
type tableReader struct{ conn *pgx.Conn }

// published is a table of the publication.
type published struct {
	schema, name string
	columns      []oracle.Column
	full         bool
	root         bool   // partitioned: its rows are those of its partitions
	from         string // the FROM clause's table
	reason       string // why it cannot be judged; empty if it can
}

// snapshot is the tables as of one moment.
type snapshot struct {
	before cdc.LSN   // the end of the WAL before the snapshot: a commit below it is in the snapshot, or about to be seen
	taken  time.Time // by our clock
	sums   map[string]rowSum
}

// check refuses a source that is not the stream's.
func (r tableReader) check(ctx context.Context, s producer.Source) error {
	var system, database string
	if err := r.conn.QueryRow(ctx, "SELECT system_identifier::text, current_database()::text FROM pg_control_system()").Scan(&system, &database); err != nil {
		return fmt.Errorf("ask the source who it is: %w", err)
	}
	if system != s.SystemID || database != s.Database {
		return fmt.Errorf("the source is database %s of system %s, and the stream was made from database %s of system %s: name its own with --source",
			database, system, s.Database, s.SystemID)
	}
	return nil
}

// published lists the publication's tables and the columns that it publishes.
func (r tableReader) published(ctx context.Context, publication string) (map[string]published, error) {
	types, err := oracle.ReadTypes(ctx, r.conn)
	if err != nil {
		return nil, err
	}
	// The view lists generated columns before Postgres 18, which does publish them if asked to.
	rows, err := r.conn.Query(ctx, `
		SELECT p.schemaname::text, p.tablename::text, c.relreplident = 'f', c.relkind = 'p', p.rowfilter IS NOT NULL, a.attname::text, a.atttypid, a.atttypmod
		FROM pg_catalog.pg_publication_tables p
		JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname
		JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
		JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (p.attnames) AND a.attnum > 0 AND NOT a.attisdropped
			AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000)
		WHERE p.pubname = $1 ORDER BY c.oid, a.attnum`, publication)
	if err != nil {
		return nil, fmt.Errorf("read the tables of the publication %s: %w", publication, err)
	}
	tables := map[string]published{}
	var t published
	var filtered bool
	var column string
	var oid uint32
	var mod int32
	_, err = pgx.ForEachRow(rows, []any{&t.schema, &t.name, &t.full, &t.root, &filtered, &column, &oid, &mod}, func() error {
		full := t.schema + "." + t.name
		p, known := tables[full]
		if !known {
			p = t
			p.from = pgx.Identifier{t.schema, t.name}.Sanitize()
			if !t.root {
				p.from = "ONLY " + p.from
			}
			if filtered {
				p.reason = "the publication filters its rows"
			}
		}
		described, err := types.Column(column, oid, mod)
		if err != nil {
			return fmt.Errorf("table %s: %w", full, err)
		}
		p.columns = append(p.columns, described)
		tables[full] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the tables of the publication %s: %w", publication, err)
	}
	if len(tables) == 0 {
		return nil, fmt.Errorf("the publication %s has no table in the source: name the stream's own with --publication", publication)
	}
	return tables, nil
}

// read sums up tables in one snapshot.
func (r tableReader) read(ctx context.Context, tables map[string]published, names []string) (s snapshot, err error) {
	s = snapshot{taken: time.Now(), sums: map[string]rowSum{}}
	if s.before, err = r.lsn(ctx, "pg_current_wal_insert_lsn()"); err != nil {
		return s, err
	}
	tx, err := r.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return s, fmt.Errorf("take a snapshot of the source: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // it has read only
	if _, err := tx.Exec(ctx, "SELECT 1"); err != nil {
		return s, fmt.Errorf("take a snapshot of the source: %w", err)
	}
	s.taken = time.Now()
	for _, name := range names {
		if s.sums[name], err = r.sum(ctx, name, tables[name]); err != nil {
			return s, fmt.Errorf("read table %s: %w", name, err)
		}
	}
	return s, nil
}

// sum adds up a table's rows as they come, in the form in which the WAL has them.
func (r tableReader) sum(ctx context.Context, name string, t published) (s rowSum, err error) {
	sql := "SELECT "
	for i, c := range t.columns {
		if i > 0 {
			sql += ", "
		}
		sql += pgx.Identifier{c.Name}.Sanitize()
	}
	result := r.conn.PgConn().ExecParams(ctx, sql+" FROM "+t.from, nil, nil, nil, nil)
	for result.NextRow() {
		h, err := oracle.RowHash(name, t.columns, result.Values())
		if err != nil {
			result.Close() // the row says more than the rest of the result
			return s, err
		}
		s.sum, s.rows = s.sum.Add(h), s.rows+1
	}
	_, err = result.Close()
	return s, err
}

// older counts the rows that a transaction older than another wrote; all of them if there is no other.
func (r tableReader) older(ctx context.Context, t published, xid uint32) (n int64, err error) {
	sql := "SELECT count(*) FROM " + t.from
	if xid != 0 {
		sql += fmt.Sprintf(" WHERE age(xmin) > age('%d'::xid)", xid)
	}
	if err := r.conn.QueryRow(ctx, sql).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the older rows of %s.%s: %w", t.schema, t.name, err)
	}
	return n, nil
}

// flushed is the end of what is on the source's disk.
func (r tableReader) flushed(ctx context.Context) (cdc.LSN, error) {
	return r.lsn(ctx, "pg_current_wal_flush_lsn()")
}

func (r tableReader) lsn(ctx context.Context, function string) (cdc.LSN, error) {
	var text string
	if err := r.conn.QueryRow(ctx, "SELECT "+function+"::text").Scan(&text); err != nil {
		return 0, fmt.Errorf("ask the source for %s: %w", function, err)
	}
	return cdc.ParseLSN(text)
}
