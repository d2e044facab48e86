package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// PrintTable writes the report for a person, a table for each shape.
func (r *Report) PrintTable(w io.Writer) error {
	m := r.Machine
	encrypted := ""
	if m.TLS {
		encrypted = " by TLS"
	}
	memory := ""
	if r.Memory != "" {
		memory = ", decoding memory " + r.Memory
	}
	fmt.Fprintf(w, "%s, %d cores, %s; Postgres %s%s; Kafka: %s; scale %g\n", m.OS, m.Cores, m.Go, m.Postgres, encrypted, r.Kafka, r.Scale)
	fmt.Fprintf(w, "LiveDB: %d partitions, %s%s\n", r.Partitions, r.Compression, memory)
	for _, s := range r.Shapes {
		if err := printShape(w, s); err != nil {
			return err
		}
	}
	for _, party := range slices.Sorted(maps.Keys(r.Settings)) {
		fmt.Fprintf(w, "\n%s ran with\n", party)
		for _, s := range r.Settings[party] {
			fmt.Fprintf(w, "  %s\n", s)
		}
	}
	for _, reason := range r.LeftOut {
		fmt.Fprintf(w, "\n%s\n", reason)
	}
	fmt.Fprintf(w, "\nMedians, of rates also least and most. CPU is in seconds per million rows; RL is pg_recvlogical, LN is LiveDB to nothing, in the same repetition.\n")
	return nil
}

func printShape(w io.Writer, s ShapeResult) error {
	fmt.Fprintf(w, "\nshape %s: %s; %d changes, %d events, %.1f MiB of WAL\n", s.Shape, s.About, s.Rows, s.Events, float64(s.WALBytes)/(1<<20))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTY\tROWS/S\tLEAST–MOST\tTO RL\tTO LN\tCLIENT CPU\tWALSENDER CPU\tTO RL\tBROKER CPU\tBYTES/READ\tMALLOCS/ROW\tPEAK RSS")
	for _, p := range s.Parties {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f–%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Party, p.RowsPerSecond.Median, p.RowsPerSecond.Min, p.RowsPerSecond.Max,
			ratio(p.OfRecvlogical), ratio(p.OfNothing), perhaps("%.2f", p.ClientCPU), perhaps("%.2f", p.WalsenderCPU), ratio(p.Walsender),
			perhaps("%.2f", p.BrokerCPU), perhaps("%.0f", p.BytesPerRead), perhaps("%.2f", p.MallocsPerRow), perhaps("%.0f MB", float64(p.PeakRSS)/1e6))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range s.Parties {
		if p.Noisy > 0 {
			fmt.Fprintf(w, "NOISY: %s is no result, for something else used more than a tenth of the machine in %d of %d runs\n", p.Party, p.Noisy, len(p.Runs))
		}
	}
	return nil
}

func ratio(s *Spread) string {
	if s == nil {
		return dash
	}
	return fmt.Sprintf("%.2f", s.Median)
}

const dash = "–"

// perhaps writes a value, and a dash for one that is not known.
func perhaps(format string, value float64) string {
	if value < 0 {
		return dash
	}
	return fmt.Sprintf(format, value)
}

func percent(share float64) string { return perhaps("%.0f %%", 100*share) }
