package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Publication is a publication and the tables it covers now.
type Publication struct {
	Name    string
	Options string // what it publishes of each table, as CREATE PUBLICATION takes it
	Tables  []PublishedTable
	Entries []PublicationEntry
}

// PublicationEntry is a row of the catalog that the publication rests on: its own, or one that puts a table or a schema into it. What
// was taken out and put back has another OID, and what was written meanwhile was not published.
type PublicationEntry struct {
	Name    string // such as "table public.a"; empty for the publication itself
	Object  uint32 // OID of the table or schema; of the publication, of its owner
	OID     uint32
	Version uint32 // of the publication: the transaction that last altered it
}

// PublishedTable is one table of a publication.
type PublishedTable struct {
	OID          uint32
	Schema, Name string
	Options      string // its column list and row filter, as CREATE PUBLICATION takes them
}

// readPublication returns nil if there is none.
func readPublication(ctx context.Context, conn *pgx.Conn, name string) (*Publication, error) {
	p := Publication{Name: name}
	err := conn.QueryRow(ctx, `
		SELECT concat_ws(', ', CASE WHEN pubinsert THEN 'insert' END, CASE WHEN pubupdate THEN 'update' END, CASE WHEN pubdelete THEN 'delete' END,
		       CASE WHEN pubtruncate THEN 'truncate' END) || CASE WHEN pubviaroot THEN '; via root' ELSE '' END
		FROM pg_publication WHERE pubname = $1`, name).Scan(&p.Options)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the publication %s: %w", name, err)
	}
	entries, err := conn.Query(ctx, `
		SELECT '', pubowner, oid, xmin::text::bigint FROM pg_publication WHERE pubname = $1
		UNION ALL SELECT 'table ' || n.nspname || '.' || c.relname, c.oid, r.oid, 0 FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
		          JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = $1
		UNION ALL SELECT 'schema ' || n.nspname, n.oid, r.oid, 0 FROM pg_publication p JOIN pg_publication_namespace r ON r.pnpubid = p.oid
		          JOIN pg_namespace n ON n.oid = r.pnnspid WHERE p.pubname = $1`, name)
	if err != nil {
		return nil, fmt.Errorf("read the entries of publication %s: %w", name, err)
	}
	if p.Entries, err = pgx.CollectRows(entries, pgx.RowToStructByPos[PublicationEntry]); err != nil {
		return nil, fmt.Errorf("read the entries of publication %s: %w", name, err)
	}
	// Without a column list attnames holds all columns, which may grow: only a true list is an option.
	rows, err := conn.Query(ctx, `
		SELECT c.oid, n.nspname::text, c.relname::text,
		       concat_ws(' ', (SELECT '(' || array_to_string(t.attnames, ', ') || ')' FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
		                       WHERE p.pubname = t.pubname AND r.prrelid = c.oid AND r.prattrs IS NOT NULL), 'WHERE ' || t.rowfilter)
		FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
		JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = $1 ORDER BY 2, 3`, name)
	if err != nil {
		return nil, fmt.Errorf("read the tables of publication %s: %w", name, err)
	}
	if p.Tables, err = pgx.CollectRows(rows, pgx.RowToStructByPos[PublishedTable]); err != nil {
		return nil, fmt.Errorf("read the tables of publication %s: %w", name, err)
	}
	return &p, nil
}

// checkPublication refuses a publication that covers nothing of what was asked for, or that breaks the application.
func checkPublication(ctx context.Context, conn *pgx.Conn, c Config, s *Server) error {
	published := map[string]bool{}
	for _, t := range s.Publication.Tables {
		published[t.Schema+"."+t.Name] = true
	}
	for _, t := range c.Tables {
		if !published[t] {
			return &cdc.Refusal{Name: "table_not_published", Problem: fmt.Sprintf("the publication %s does not hold the table %s", c.Publication, t),
				Remedy: fmt.Sprintf("run ALTER PUBLICATION %s ADD TABLE %s, or name another publication with --publication", quote(c.Publication), quoteTable(t))}
		}
	}
	err := publishedIdentities(ctx, conn, c)
	if errors.As(err, &s.Harm) {
		return nil
	}
	return err
}

// publishedIdentities refuses a publication that makes the application's changes of a table fail.
func publishedIdentities(ctx context.Context, conn *pgx.Conn, c Config) error {
	return checkIdentities(ctx, conn, `
		FROM pg_publication_tables t JOIN pg_publication p ON p.pubname = t.pubname AND (p.pubupdate OR p.pubdelete)
		JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
		WHERE t.pubname = $1`, c.Publication)
}

// checkTables refuses tables that the publication to be made could not or should not hold, and returns those it will.
func checkTables(ctx context.Context, conn *pgx.Conn, c Config) ([]PublishedTable, error) {
	const tables = ` FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
		AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		AND ($1::text[] IS NULL OR n.nspname || '.' || c.relname = ANY ($1))`
	rows, err := conn.Query(ctx, `SELECT c.oid, n.nspname::text, c.relname::text, ''`+tables+` ORDER BY 2, 3`, c.Tables)
	if err != nil {
		return nil, fmt.Errorf("look for the tables to publish: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[PublishedTable])
	if err != nil {
		return nil, fmt.Errorf("look for the tables to publish: %w", err)
	}
	for _, t := range c.Tables {
		if !strings.Contains(t, ".") {
			return nil, &cdc.Refusal{Name: "table_malformed", Problem: fmt.Sprintf("the table %q has no schema", t), Remedy: "write it as schema.table"}
		}
		if !slices.ContainsFunc(found, func(f PublishedTable) bool { return f.Schema+"."+f.Name == t }) {
			return nil, &cdc.Refusal{Name: "table_missing", Problem: fmt.Sprintf("the source has no table %s", t), Remedy: "create it, or correct --tables"}
		}
	}
	return found, checkIdentities(ctx, conn, tables, c.Tables)
}

// HasIdentity is true, in SQL, of a table c of pg_class whose UPDATE and DELETE go on once it is published. A deferrable primary key is no
// identity (RelationGetIndexList in relcache.c), and the index of one may have been dropped.
const HasIdentity = `CASE c.relreplident WHEN 'n' THEN false WHEN 'f' THEN true
	WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)
	ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) END`

// checkIdentities refuses a table without identity among those that a FROM clause gives as c, and among their partitions, which are
// written with their own.
func checkIdentities(ctx context.Context, conn *pgx.Conn, from string, args ...any) error {
	query := `WITH published AS (SELECT c.oid, c.relkind ` + from + `)
		SELECT n.nspname || '.' || c.relname FROM published t LEFT JOIN LATERAL pg_partition_tree(t.oid) leaf ON t.relkind = 'p' AND leaf.isleaf
		JOIN pg_class c ON c.oid = coalesce(leaf.relid, t.oid) JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND NOT ` + HasIdentity + ` ORDER BY 1 LIMIT 1`
	rows, err := conn.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("read the tables' replica identities: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the tables' replica identities: %w", err)
	}
	if len(tables) == 0 {
		return nil
	}
	return &cdc.Refusal{Name: "no_replica_identity",
		Problem: fmt.Sprintf("the table %s has no replica identity, so publishing it makes the application's UPDATE and DELETE fail", tables[0]),
		Remedy:  fmt.Sprintf("run ALTER TABLE %s REPLICA IDENTITY FULL, give it a primary key, or leave it out with --tables", quoteTable(tables[0]))}
}

// CreatePublication makes the publication. It must exist before the slot does: a slot decodes with the catalog of its
// own time.
func CreatePublication(ctx context.Context, c Config) error {
	conn, err := Connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	statement := CreatePublicationSQL(c)
	if _, err := conn.Exec(ctx, statement); err != nil {
		return &cdc.Refusal{Name: "publication_refused", Problem: fmt.Sprintf("the publication %s cannot be created (%v)", c.Publication, err),
			Remedy: "run " + statement + " as an administrator, or name the tables you own with --tables", Err: err}
	}
	return nil
}

// DropPublication drops the publication if it exists. The slot must be gone.
func DropPublication(ctx context.Context, c Config) error {
	conn, err := Connect(ctx, c)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+quote(c.Publication)); err != nil {
		return fmt.Errorf("drop the publication %s: %w", c.Publication, err)
	}
	return nil
}

// quoteTable quotes schema.table for SQL.
func quoteTable(t string) string {
	schema, name, _ := strings.Cut(t, ".")
	return pgx.Identifier{schema, name}.Sanitize()
}
