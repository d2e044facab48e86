package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// CellResult is what a cell cost. A negative value is not known.
type CellResult struct {
	Cell
	Rows            int     `json:"rows"`
	RowsPerSecond   float64 `json:"rows_per_second"`
	ClientMicros    float64 `json:"client_us_per_row"`    // CPU of LiveDB
	ClientNanos     float64 `json:"client_ns_per_byte"`   // the same by the bytes of the row's values
	WalsenderMicros float64 `json:"walsender_us_per_row"` // CPU of Postgres' side of the stream
	MallocsPerRow   float64 `json:"mallocs_per_row"`
	TableMicros     float64 `json:"client_us_per_table"` // CPU of LiveDB to meet a table, of several
	TableMillis     float64 `json:"ms_per_table"`        // time that it took
	PeakRSS         int64   `json:"peak_rss"`            // bytes
	Unexplained     float64 `json:"unexplained"`         // share of the machine that nobody explains
}

// MatrixReport is the cost of each cell.
type MatrixReport struct {
	Scale float64      `json:"scale"`
	Kafka string       `json:"kafka"` // embedded, or the brokers
	Cells []CellResult `json:"cells"`
}

// cellResult reckons the costs of one drain. Where meeting the tables was measured apart, as f.Met, a row's cost begins after
// it; the walsender cannot be told apart.
func cellResult(c Cell, f Figures, unexplained float64) *CellResult {
	r := &CellResult{Cell: c, Rows: f.Rows, TableMicros: -1, TableMillis: -1, PeakRSS: f.PeakRSS, Unexplained: unexplained}
	rows := f.Rows
	if f.Met != nil {
		rows -= f.Met.Rows
		r.TableMicros, r.TableMillis = per(1e6, f.Met.ClientCPU, c.Tables), per(1e3, f.Met.Seconds, c.Tables)
	}
	r.RowsPerSecond = float64(rows) / max(f.Seconds, 1e-6)
	r.ClientMicros = per(1e6, f.ClientCPU, rows)
	r.ClientNanos = r.ClientMicros * 1e3 / float64(c.RowBytes)
	r.WalsenderMicros = per(1e6, f.WalsenderCPU, f.Rows)
	r.MallocsPerRow = per(float64(f.Rows), f.MallocsPerRow, rows)
	return r
}

// per divides a cost, in another unit, by a number of things; what is not known stays so.
func per(unit, cost float64, n int) float64 {
	if cost < 0 {
		return -1
	}
	return unit * cost / float64(max(1, n))
}

// Noisy counts the cells during which something else used too much of the machine: they are no result.
func (r *MatrixReport) Noisy() (n int) {
	for _, c := range r.Cells {
		if tooNoisy(c.Unexplained) {
			n++
		}
	}
	return n
}

// PrintTable writes the report for a person.
func (r *MatrixReport) PrintTable(w io.Writer) error {
	fmt.Fprintf(w, "A parked slot drained by the role cdc to Kafka (%s), exactly once; scale %g, transactions of %d rows.\n"+
		"Where there are several tables, their first rows are measured apart; per byte is by the bytes of the row's values.\n\n", r.Kafka, r.Scale, atOnce)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "cell\ttables\tpartitions\tcolumns\trow bytes\trows\trows/s\tclient µs/row\tns/byte\tmallocs/row\twalsender µs/row\tclient µs/new table\tms/new table\tpeak RSS MB\tnoise\t\n")
	for _, c := range r.Cells {
		noise := percent(c.Unexplained)
		if tooNoisy(c.Unexplained) {
			noise += " NO RESULT"
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name, c.Tables, c.Partitions, c.Columns, c.RowBytes, c.Rows,
			c.RowsPerSecond, perhaps("%.2f", c.ClientMicros), perhaps("%.2f", c.ClientNanos), perhaps("%.2f", c.MallocsPerRow), perhaps("%.2f", c.WalsenderMicros),
			perhaps("%.0f", c.TableMicros), perhaps("%.2f", c.TableMillis),
			perhaps("%.0f", float64(c.PeakRSS)/1e6), noise)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
