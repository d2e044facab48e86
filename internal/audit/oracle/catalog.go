package oracle

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// Catalog tells of a source's types and keys as they are now.
type Catalog struct {
	conn  *pgx.Conn
	types Types
	keys  func(schema, table string) []string
}

// OpenCatalog reads the types. keys says what the columns of a key were where the catalog does not know the table any
// more. conn is used until the last Describe.
func OpenCatalog(ctx context.Context, conn *pgx.Conn, keys func(schema, table string) []string) (*Catalog, error) {
	types, err := ReadTypes(ctx, conn)
	return &Catalog{conn: conn, types: types, keys: keys}, err
}

// Describe implements Describer. The key is what the replica identity flags; where that is the whole row or nothing, it
// is the primary key. A type that the catalog does not know (any more) is text.
func (c *Catalog) Describe(ctx context.Context, m *pglogrepl.RelationMessage) (*Table, error) {
	t := &Table{Schema: m.Namespace, Name: m.RelationName, Full: m.ReplicaIdentity == 'f'}
	for _, column := range m.Columns {
		if !c.types.Known(column.DataType) {
			types, err := ReadTypes(ctx, c.conn)
			if err != nil {
				return nil, err
			}
			c.types = types
		}
		described, err := c.types.Column(column.Name, column.DataType, column.TypeModifier)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		t.Columns = append(t.Columns, described)
		t.Identity = append(t.Identity, column.Flags&1 != 0)
	}
	if m.ReplicaIdentity == 'd' || m.ReplicaIdentity == 'i' {
		for i, flagged := range t.Identity {
			if flagged {
				t.Key = append(t.Key, i)
			}
		}
		return t, nil
	}
	key, err := c.primaryKey(ctx, m.RelationID)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t, err)
	}
	if t.Key = t.places(key); t.Key == nil {
		t.Key = t.places(c.keys(t.Schema, t.Name))
	}
	return t, nil
}

// primaryKey returns the columns of a table's primary key.
func (c *Catalog) primaryKey(ctx context.Context, table uint32) ([]string, error) {
	rows, err := c.conn.Query(ctx, `SELECT a.attname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
		ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]) WHERE i.indisprimary AND i.indrelid = $1`, table)
	if err != nil {
		return nil, fmt.Errorf("read the primary key: %w", err)
	}
	key, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the primary key: %w", err)
	}
	return key, nil
}

// places finds columns by name; nil if there are none or one is missing.
func (t *Table) places(names []string) (places []int) {
	for _, name := range names {
		i := indexOf(t.Columns, name, 0)
		if i < 0 {
			return nil
		}
		places = append(places, i)
	}
	slices.Sort(places)
	return places
}
