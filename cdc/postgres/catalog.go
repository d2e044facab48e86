package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc"
)

// Catalog answers what pgoutput does not say about a table: its primary key under REPLICA IDENTITY FULL or NOTHING, and what is
// behind a domain or an array of a user's type. It shows the present, not the time of the change.
type Catalog struct{ conn *pgx.Conn }

// OpenCatalog connects.
func OpenCatalog(ctx context.Context, c Config) (*Catalog, error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return nil, err
	}
	return &Catalog{conn}, nil
}

// Close disconnects.
func (c *Catalog) Close(ctx context.Context) { c.conn.Close(ctx) }

// Publication reads the publication; nil if it does not exist.
func (c *Catalog) Publication(ctx context.Context, name string) (*Publication, error) {
	return readPublication(ctx, c.conn, name)
}

// HasTable reports whether the source has a table of this name, published or not, written as schema.table.
func HasTable(ctx context.Context, c Config, table string) (has bool, err error) {
	conn, err := Connect(ctx, c)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p'))`, table).Scan(&has)
	return has, err
}

// Type is a type outside pg_catalog.
type Type struct {
	Base     uint32 // of a domain: the type it narrows, which may be a domain of the same map; else 0
	Elem     uint32 // of an array: its elements' type; else 0
	Modifier int32  // of a domain: its base type's; -1 for none
	Name     string // schema.name
	Delim    byte   // between the elements of an array of this type
}

// Key returns the columns that identify a row of the table on Kafka, in key order: the primary key's, or those of the
// replica identity index; none if it has neither.
func (c *Catalog) Key(ctx context.Context, t *cdc.Table) ([]string, error) {
	if t.Identity != cdc.IdentityFull && t.Identity != cdc.IdentityNothing {
		var key []string
		for _, column := range t.Columns {
			if column.Identity {
				key = append(key, column.Name)
			}
		}
		return key, nil
	}
	rows, err := c.conn.Query(ctx, `
		SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
		JOIN pg_attribute a ON a.attnum = k.attnum
		WHERE i.indrelid = $1 AND i.indisprimary AND a.attrelid = $1 ORDER BY place`, t.OID)
	if err != nil {
		return nil, fmt.Errorf("read the primary key of %s: %w", t, err)
	}
	key, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the primary key of %s: %w", t, err)
	}
	return key, nil
}

// firstUserOID is FirstNormalObjectId of access/transam.h: lower OIDs are Postgres's own.
const firstUserOID = 16384

// Types returns the types of a table's columns that are not Postgres's own, and the types behind them.
func (c *Catalog) Types(ctx context.Context, t *cdc.Table) (map[uint32]Type, error) {
	types := map[uint32]Type{}
	var look func(oid uint32) error
	look = func(oid uint32) error {
		if oid < firstUserOID {
			return nil
		}
		if _, known := types[oid]; known {
			return nil
		}
		var found Type
		// typelem is also set for types that are no arrays, such as point; typcategory tells.
		var delim string
		err := c.conn.QueryRow(ctx, `SELECT CASE typtype WHEN 'd' THEN typbasetype ELSE 0 END, CASE typcategory WHEN 'A' THEN typelem ELSE 0 END,
			typtypmod, n.nspname || '.' || typname, typdelim::text FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE t.oid = $1`, oid).
			Scan(&found.Base, &found.Elem, &found.Modifier, &found.Name, &delim)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // dropped since: written as text
		}
		if err != nil {
			return fmt.Errorf("read the type %d: %w", oid, err)
		}
		found.Delim = delim[0]
		types[oid] = found
		return errors.Join(look(found.Base), look(found.Elem))
	}
	for _, column := range t.Columns {
		if err := look(column.Type); err != nil {
			return nil, err
		}
	}
	return types, nil
}
