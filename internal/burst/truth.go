package burst

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/burst/ledger"
)

// ReadTruth reads how far each writer came by the ledger in the source. Whatever has committed before the call is in it.
func ReadTruth(ctx context.Context, url, schema string) (ledger.Truth, error) {
	config, err := postgres.Parse(url)
	if err != nil {
		return nil, err
	}
	truth, err := readTruth(ctx, config, schema)
	if err != nil {
		return nil, explain(err, &Config{URL: url, Schema: schema}, config)
	}
	return truth, nil
}

func readTruth(ctx context.Context, config *pgx.ConnConfig, schema string) (ledger.Truth, error) {
	config.RuntimeParams["application_name"] = applicationName
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer closeConn(ctx, conn)
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT DISTINCT ON (writer) writer::text, n, rows_total FROM %s
		ORDER BY writer, n DESC`, pgx.Identifier{schema, ledger.Entries.String()}.Sanitize()))
	if err != nil {
		return nil, err
	}
	truth := ledger.Truth{}
	var w ledger.Writer
	_, err = pgx.ForEachRow(rows, []any{&w.ID, &w.N, &w.Rows}, func() error {
		truth[w.ID] = w
		return nil
	})
	return truth, err
}
