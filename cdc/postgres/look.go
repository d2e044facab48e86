package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ReadPublication reads a publication on a connection of the caller's; nil if it does not exist.
func ReadPublication(ctx context.Context, conn *pgx.Conn, name string) (*Publication, error) {
	return readPublication(ctx, conn, name)
}

// CreatePublicationSQL is the statement by which LiveDB makes the publication.
func CreatePublicationSQL(c Config) string {
	what := "ALL TABLES"
	if len(c.Tables) > 0 {
		quoted := make([]string, len(c.Tables))
		for i, t := range c.Tables {
			quoted[i] = quoteTable(t)
		}
		what = "TABLE " + strings.Join(quoted, ", ")
	}
	return fmt.Sprintf("CREATE PUBLICATION %s FOR %s WITH (publish_via_partition_root = true)", quote(c.Publication), what)
}
