package check

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/postgres"
)

// table is a table that is published, or would be.
type table struct {
	OID          uint32
	Schema, Name string
	Kind         string // r: a table; p: a partitioned one
	IsPartition  bool
	Identity     string   // relreplident: d, n, f or i
	Key          []string // of the primary key
	HasIdentity  bool     // an UPDATE of it can be published
	Wide         []string // columns that Postgres may keep out of line, and that are no part of the identity
	Readable     bool     // we may SELECT it
	Owned        bool     // we may publish it
	Unique       []string // columns that could be the primary key: a row has them all, and no two rows the same
	Root         uint32   // of a leaf: the published table above it; 0 for a table of the publication itself
}

// String returns schema.table.
func (t *table) String() string { return t.Schema + "." + t.Name }

func (t *table) quoted() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// full reports whether events hold the whole row from before a change.
func (t *table) full() bool { return t.Identity == "f" }

const tableColumns = `
	c.oid, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition, c.relreplident::text,
	ARRAY(SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
	      JOIN pg_attribute a ON a.attnum = k.attnum
	      WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid ORDER BY place),
	` + postgres.HasIdentity + `,
	ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1 AND a.attstorage <> 'p'
	      AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND a.attnum = ANY (i.indkey)
	                      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END) ORDER BY a.attnum),
	has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE'), pg_has_role(c.relowner, 'USAGE'),
	coalesce((SELECT ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place) JOIN pg_attribute a ON a.attnum = k.attnum
	                       WHERE a.attrelid = c.oid AND k.place <= i.indnkeyatts ORDER BY place)
	          FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
	          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)
	          ORDER BY i.indnkeyatts, i.indexrelid LIMIT 1), ARRAY[]::text[])`

// readPublished reads the tables of the publication.
func readPublished(ctx context.Context, conn *pgx.Conn, p *postgres.Publication) ([]table, error) {
	return collect(ctx, conn, `
		SELECT`+tableColumns+`, 0::oid
		FROM pg_publication_tables p JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
		WHERE p.pubname = $1 ORDER BY 2, 3`, p.Name)
}

// readWanted reads the tables that the publication would be made for: the given ones, or all.
func readWanted(ctx context.Context, conn *pgx.Conn, tables []string) ([]table, error) {
	return collect(ctx, conn, `
		SELECT`+tableColumns+`, 0::oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
		AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
		AND ($1::text[] IS NULL OR n.nspname || '.' || c.relname = ANY ($1)) ORDER BY 2, 3`, tables)
}

// readLeaves reads the partitions below tables, which are written to in their place.
func readLeaves(ctx context.Context, conn *pgx.Conn, roots []table) ([]table, error) {
	var oids []uint32
	for _, t := range roots {
		if t.Kind == "p" {
			oids = append(oids, t.OID)
		}
	}
	if oids == nil {
		return nil, nil
	}
	return collect(ctx, conn, `
		SELECT`+tableColumns+`, root.oid FROM unnest($1::oid[]) AS root(oid), pg_partition_tree(root.oid) AS leaf
		JOIN pg_class c ON c.oid = leaf.relid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE leaf.isleaf AND c.relkind = 'r' ORDER BY 2, 3`, oids)
}

func collect(ctx context.Context, conn *pgx.Conn, query string, arguments ...any) ([]table, error) {
	rows, err := conn.Query(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[table])
}
