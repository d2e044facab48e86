package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// Cell is a load of the size matrix. Each differs from the first in one of its sizes.
type Cell struct {
	Name       string `json:"cell"`
	Tables     int    `json:"tables"`
	Partitions int32  `json:"partitions"` // of each table's topic
	Columns    int    `json:"columns"`    // the key, a text of the size that is left, and texts of smallText bytes
	RowBytes   int    `json:"row_bytes"`  // of the values as text, about

	rows int // at scale 1
}

// Cells are those that there are. The row counts make them take about the same time.
var Cells = []Cell{
	{Name: "base", Tables: 1, Partitions: 1, Columns: 5, RowBytes: 100, rows: 200_000},
	{Name: "tables-100", Tables: 100, Partitions: 1, Columns: 5, RowBytes: 100, rows: 200_000},
	{Name: "tables-2000", Tables: 2000, Partitions: 1, Columns: 5, RowBytes: 100, rows: 200_000},
	{Name: "partitions-16", Tables: 1, Partitions: 16, Columns: 5, RowBytes: 100, rows: 200_000},
	{Name: "columns-200", Tables: 1, Partitions: 1, Columns: 200, RowBytes: 198*smallText + smallText, rows: 20_000},
	{Name: "rows-100kb", Tables: 1, Partitions: 1, Columns: 5, RowBytes: 100_000, rows: 2_000},
}

// Of a cell's rows.
const (
	smallText = 8      // bytes of every text column but the first
	poolText  = 104000 // bytes of the text that the first one is cut from
	atOnce    = 100    // rows of a transaction
	together  = 10     // rows of a statement where there are several tables, each in another table than the last
)

// largeText is the size of the first text column, in bytes.
func (c Cell) largeText() int { return max(smallText, c.RowBytes-smallText*(c.Columns-2)) }

// create makes the tables and the publication of all of them.
func (c Cell) create() []string {
	var columns strings.Builder
	for i := 1; i < c.Columns; i++ {
		fmt.Fprintf(&columns, ", c%d text", i)
	}
	// The large text is kept as it is: to compress it is not what is measured.
	statement := fmt.Sprintf(`DO $do$ BEGIN FOR t IN 0..%d LOOP
	EXECUTE format('CREATE TABLE %s.t%%s (id bigserial PRIMARY KEY%s)', t);
	EXECUTE format('ALTER TABLE %s.t%%s ALTER c1 SET STORAGE EXTERNAL', t);
	IF t %% 100 = 99 THEN COMMIT; END IF; END LOOP; END $do$`, c.Tables-1, schema, columns.String(), schema)
	return append(dropStatements(), `CREATE SCHEMA `+schema, statement, `CREATE PUBLICATION `+publication+` FOR TABLES IN SCHEMA `+schema)
}

// insert is the statement, to be executed with the number of the first row, that of the last and the pool, that inserts rows
// into the table whose number is asked for in its text.
func (c Cell) insert() string {
	columns, texts := make([]string, c.Columns-1), make([]string, c.Columns-1)
	for i := range columns {
		columns[i], texts[i] = fmt.Sprintf("c%d", i+1), "small"
	}
	texts[0] = "large"
	return fmt.Sprintf(`INSERT INTO %s.t%%s (%s) SELECT %s FROM (SELECT substr($3, 1 + (i * 61) %% 4000, %d) AS large, lpad((i %% 10000000)::text, %d, ''x'') AS small
		FROM generate_series($1, $2) i OFFSET 0) v`, schema, strings.Join(columns, ", "), strings.Join(texts, ", "), c.largeText(), smallText)
}

// fill is the statement that writes transactions of rows, beginning with the row numbered from. Rows go round the tables.
func (c Cell) fill(transactions, rows, each int) string {
	statement := strings.ReplaceAll(c.insert(), "%%", "%")
	before, after, _ := strings.Cut(statement, "%s")
	return fmt.Sprintf(`DO $do$ DECLARE i int; turn int := 0; pool text := (SELECT string_agg(md5(n::text), '') FROM generate_series(1, %d) n);
	BEGIN FOR t IN 0..%d LOOP
		FOR k IN 0..%d LOOP
			i := t * %d + k * %d;
			EXECUTE '%s' || turn %% %d || '%s' USING i + 1, i + %d, pool;
			turn := turn + 1;
		END LOOP;
		COMMIT;
	END LOOP; END $do$`, poolText/32, transactions-1, rows/each-1, rows, each, before, c.Tables, after, each)
}

// sized tells how many transactions the load has at a scale.
func (c Cell) sized(scale float64) int {
	return max(1, int(math.Round(float64(c.rows)*scale/atOnce)))
}

// MatrixConfig says which cells are measured, and where.
type MatrixConfig struct {
	Source  string   // the URL of a Postgres; see Config
	Brokers []string // none: an embedded one, fresh for each run
	Command Command  // starts our own children
	Cells   []Cell
	Scale   float64 // of the cells' rows

	Tries  int           // how often a noisy run is made at most
	Settle time.Duration // how long a run waits for the machine to be quiet at most

	Tell func(format string, args ...any) // how it goes, a line at a time
}

// Matrix drains each cell's load through the role cdc to Kafka. The load begins with a row of each table: where there are
// several, what meeting them costs is told apart from what a row costs. What is then under way already, a batch of 10,000
// events at most, is told with the tables.
func Matrix(ctx context.Context, c MatrixConfig) (*MatrixReport, error) {
	r := &runner{Config: Config{Source: c.Source, Brokers: c.Brokers, Command: c.Command, Tries: c.Tries, Settle: c.Settle, Tell: c.Tell}, id: fmt.Sprintf("%x", time.Now().UnixMilli())}
	var err error
	if r.conn, err = pgx.Connect(ctx, c.Source); err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer r.conn.Close(context.WithoutCancel(ctx))
	if r.watching, err = pgx.Connect(ctx, c.Source); err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	defer r.watching.Close(context.WithoutCancel(ctx))
	r.server = postmaster(r.conn)

	report := &MatrixReport{Scale: c.Scale, Kafka: "embedded"}
	if len(c.Brokers) > 0 {
		report.Kafka = strings.Join(c.Brokers, ",")
	}
	for _, cell := range c.Cells {
		result, err := r.cell(ctx, cell, c.Scale)
		if err != nil {
			return report, fmt.Errorf("cell %s: %w", cell.Name, err)
		}
		c.Tell("cell %s: %.2f µs of CPU per row", cell.Name, result.ClientMicros)
		report.Cells = append(report.Cells, *result)
	}
	return report, nil
}

// cell writes the loads of a cell and drains them.
func (r *runner) cell(ctx context.Context, c Cell, scale float64) (_ *CellResult, err error) {
	defer func() { err = errors.Join(err, r.clear(context.WithoutCancel(ctx))) }()
	if err := r.clear(ctx); err != nil { // what a bench that was killed left behind
		return nil, err
	}
	if err := execute(ctx, r.conn, c.create()...); err != nil {
		return nil, fmt.Errorf("make the tables: %w", err)
	}
	if err := park(ctx, r.conn); err != nil {
		return nil, err
	}
	r.Partitions = c.Partitions
	each := atOnce
	if c.Tables > 1 {
		each = together
	}
	first, err := r.load(ctx, c, 1, c.Tables, 1)
	if err != nil {
		return nil, err
	}
	all, err := r.load(ctx, c, c.sized(scale), atOnce, each)
	if err != nil {
		return nil, err
	}
	all.rows += first.rows // the slot stands before both
	all.events = all.rows
	run, err := r.measure(ctx, all, matrixParty(r.Command, c.Tables))
	if err != nil {
		return nil, err
	}
	return cellResult(c, run.Figures, run.Unexplained), nil
}

// clear drops whatever a cell made. A transaction has locks for some thousand tables only.
func (r *runner) clear(ctx context.Context) error {
	tables := fmt.Sprintf(`DO $do$ DECLARE n int := 0; t name; BEGIN
	FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '%s' LOOP
		EXECUTE format('DROP TABLE %s.%%I', t);
		n := n + 1;
		IF n %% 100 = 0 THEN COMMIT; END IF;
	END LOOP; END $do$`, schema, schema)
	return errors.Join(execute(ctx, r.conn, tables), r.cleanUp(ctx))
}

// load writes so many transactions of so many rows.
func (r *runner) load(ctx context.Context, c Cell, transactions, rows, each int) (*load, error) {
	// A commit that waits for its WAL has that of the others written too.
	err := execute(ctx, r.conn, `SET synchronous_commit = off`, c.fill(transactions, rows, each), `SET synchronous_commit = on`,
		`CREATE TEMP TABLE written ()`, `DROP TABLE written`, `CHECKPOINT`)
	if err != nil {
		return nil, fmt.Errorf("write the load: %w", err)
	}
	l := &load{shape: Shape{Name: c.Name}, rows: transactions * rows, events: transactions * rows}
	l.end, err = position(ctx, r.conn)
	return l, err
}

// matrixParty is LiveDB to Kafka, with the first row of each of several tables measured apart. What it wrote is counted: one
// table's events as a reader sees them, those of several by the order that was written with them.
func matrixParty(command Command, tables int) Party {
	p := own(partKafka, command)
	drain := p.Drain
	p.Drain = func(ctx context.Context, t Task) (Figures, error) {
		if tables > 1 {
			t.First = tables
		}
		return drain(ctx, t)
	}
	p.Verify = func(ctx context.Context, t Task) error {
		client, err := kafka.Connect(ctx, kafka.Config{Brokers: t.Brokers, ClientID: "livedb/bench"})
		if err != nil {
			return err
		}
		defer client.Close()
		entries, err := readOrder(ctx, client, t.Prefix)
		if err != nil {
			return err
		}
		if n := len(entries); n == 0 || entries[n-1].Last != uint64(t.Events) {
			return fmt.Errorf("the topic %s tells of other events than the %d of the load", envelope.Topics(t.Prefix).Transaction(), t.Events)
		}
		if tables > 1 { // the order counts the events of each topic
			return nil
		}
		t.Table = schema + ".t0"
		return verify(ctx, t)
	}
	return p
}

// FindCells gives the cells of these names; all for none.
func FindCells(names []string) ([]Cell, error) {
	if len(names) == 0 {
		return Cells, nil
	}
	var found []Cell
	for _, name := range names {
		i := slices.IndexFunc(Cells, func(c Cell) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no cell %q", name)
		}
		found = append(found, Cells[i])
	}
	return found, nil
}
