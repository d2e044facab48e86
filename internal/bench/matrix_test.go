package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/internal/devstack"
)

// Each cell differs from the first in one of its sizes, but for the bytes that further columns bring.
func TestCellsVaryOneSizeAtATime(t *testing.T) {
	base := Cells[0]
	for _, c := range Cells[1:] {
		differs := 0
		for _, d := range []bool{c.Tables != base.Tables, c.Partitions != base.Partitions, c.Columns != base.Columns, c.Columns == base.Columns && c.RowBytes != base.RowBytes} {
			if d {
				differs++
			}
		}
		if differs != 1 {
			t.Errorf("cell %s differs in %d sizes", c.Name, differs)
		}
	}
}

func TestFindCells(t *testing.T) {
	if all, err := FindCells(nil); err != nil || len(all) != len(Cells) {
		t.Errorf("%d cells, %v", len(all), err)
	}
	if some, err := FindCells([]string{"rows-100kb", "base"}); err != nil || len(some) != 2 || some[1].Name != "base" {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := FindCells([]string{"huge"}); err == nil {
		t.Error("a cell that there is not was found")
	}
}

func TestCellResult(t *testing.T) {
	cell := Cell{Name: "tables", Tables: 100, Partitions: 1, Columns: 5, RowBytes: 100}
	f := Figures{Rows: 1100, Seconds: .5, ClientCPU: .004, WalsenderCPU: -1, MallocsPerRow: 2, PeakRSS: 5e7, Met: &Figures{Rows: 100, Seconds: .2, ClientCPU: .05}}
	want := &CellResult{Cell: cell, Rows: 1100, RowsPerSecond: 2000, ClientMicros: 4, ClientNanos: 40, WalsenderMicros: -1, MallocsPerRow: 2.2, TableMicros: 500, TableMillis: 2,
		PeakRSS: 5e7, Unexplained: .05}
	equal := cmp.Options{cmp.AllowUnexported(Cell{}), cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })}
	if diff := cmp.Diff(want, cellResult(cell, f, .05), equal); diff != "" {
		t.Error(diff)
	}

	f.Met = nil
	if one := cellResult(cell, f, .05); one.TableMicros != -1 || one.RowsPerSecond != 2200 {
		t.Errorf("%+v", one)
	}
}

func TestPrintMatrix(t *testing.T) {
	report := &MatrixReport{Scale: .5, Kafka: "embedded", Cells: []CellResult{
		{Cell: Cell{Name: "base", Tables: 1, Partitions: 1, Columns: 5, RowBytes: 100}, Rows: 100_001, RowsPerSecond: 151_000, ClientMicros: 3.5, ClientNanos: 35,
			WalsenderMicros: 2.1, MallocsPerRow: 3.25, TableMicros: -1, TableMillis: -1, PeakRSS: 55e6, Unexplained: .02},
		{Cell: Cell{Name: "tables-100", Tables: 100, Partitions: 1, Columns: 5, RowBytes: 100}, Rows: 100_100, RowsPerSecond: 140_000, ClientMicros: 4, ClientNanos: 40,
			WalsenderMicros: -1, MallocsPerRow: 4, TableMicros: 800, TableMillis: 2.5, PeakRSS: -1, Unexplained: .3},
	}}
	const want = `A parked slot drained by the role cdc to Kafka (embedded), exactly once; scale 0.5, transactions of 100 rows.
Where there are several tables, their first rows are measured apart; per byte is by the bytes of the row's values.

        cell  tables  partitions  columns  row bytes    rows  rows/s  client µs/row  ns/byte  mallocs/row  walsender µs/row  client µs/new table  ms/new table  peak RSS MB           noise
        base       1           1        5        100  100001  151000           3.50    35.00         3.25              2.10                    –             –           55             2 %
  tables-100     100           1        5        100  100100  140000           4.00    40.00         4.00                 –                  800          2.50            –  30 % NO RESULT
`
	var printed strings.Builder
	if err := report.PrintTable(&printed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Error(diff)
	}
	if got := report.Noisy(); got != 1 {
		t.Errorf("%d cells are noisy", got)
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var read MatrixReport
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, &read, cmp.AllowUnexported(Cell{})); diff != "" {
		t.Error(diff)
	}
}

// Every row of a cell has the size that the cell names, goes through LiveDB, and nothing is left behind.
func TestMatrix(t *testing.T) {
	t.Parallel()
	pg := devstack.TestPostgres(t, Settings)
	cells := []Cell{
		{Name: "small", Tables: 1, Partitions: 2, Columns: 5, RowBytes: 100, rows: 200},
		{Name: "tables", Tables: 12, Partitions: 1, Columns: 5, RowBytes: 100, rows: 30_000}, // more than the batch that meets them
		{Name: "wide", Tables: 1, Partitions: 1, Columns: 200, RowBytes: 199 * smallText, rows: 100},
		{Name: "large", Tables: 1, Partitions: 1, Columns: 5, RowBytes: 100_000, rows: 100},
	}
	report, err := Matrix(t.Context(), MatrixConfig{Source: pg.URL(), Command: testCommand, Cells: cells, Scale: 1, Tries: 1, Tell: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range report.Cells {
		if r.Name != cells[i].Name || r.Rows != cells[i].rows+cells[i].Tables || r.RowsPerSecond <= 0 || (r.TableMicros < 0) != (r.Tables == 1) {
			t.Errorf("%+v", r)
		}
	}
	conn, err := pgx.Connect(t.Context(), pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if names := left(t, conn); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}

	for _, c := range cells {
		if err := execute(t.Context(), conn, append(c.create(), c.fill(1, 20, 1))...); err != nil {
			t.Fatal(err)
		}
		var columns, bytes int
		if err := conn.QueryRow(t.Context(), `SELECT count(*), sum(length(value)) FROM jsonb_each_text((SELECT to_jsonb(t) - 'id' FROM livedb_bench.t0 t LIMIT 1))`).Scan(&columns, &bytes); err != nil {
			t.Fatal(err)
		}
		if columns != c.Columns-1 || bytes != c.RowBytes {
			t.Errorf("a row of cell %s has %d columns of %d bytes, want %d and %d", c.Name, columns, bytes, c.Columns-1, c.RowBytes)
		}
	}
}
