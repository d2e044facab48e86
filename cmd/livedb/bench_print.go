package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/livedb/livedb/internal/bench"
)

// printBench writes a report as a table for each shape, or as one JSON object.
func printBench(w io.Writer, r *bench.Report, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
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
	for _, reason := range r.LeftOut {
		fmt.Fprintf(w, "\n%s\n", reason)
	}
	fmt.Fprintf(w, "\nMedians, of rates also least and most. CPU is in seconds per million rows; RL is pg_recvlogical, LN is LiveDB to nothing, in the same repetition.\n")
	return nil
}

func printShape(w io.Writer, s bench.ShapeResult) error {
	fmt.Fprintf(w, "\nshape %s: %s; %d changes, %d events, %.1f MiB of WAL\n", s.Shape, s.About, s.Rows, s.Events, float64(s.WALBytes)/(1<<20))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PARTY\tROWS/S\tLEAST–MOST\tTO RL\tTO LN\tCLIENT CPU\tWALSENDER CPU\tTO RL\tBROKER CPU\tBYTES/READ\tMALLOCS/ROW\tPEAK RSS")
	for _, p := range s.Parties {
		fmt.Fprintf(t, "%s\t%.0f\t%.0f–%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Party, p.RowsPerSecond.Median, p.RowsPerSecond.Min, p.RowsPerSecond.Max,
			ratio(p.OfRecvlogical), ratio(p.OfNothing), figure("%.2f", p.ClientCPU), figure("%.2f", p.WalsenderCPU), ratio(p.Walsender),
			figure("%.2f", p.BrokerCPU), figure("%.0f", p.BytesPerRead), figure("%.2f", p.MallocsPerRow), figure("%.0f MB", float64(p.PeakRSS)/1e6))
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

func ratio(s *bench.Spread) string {
	if s == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", s.Median)
}

// figure writes a value, or a dash where it is not known.
func figure(format string, value float64) string {
	if value < 0 {
		return "–"
	}
	return fmt.Sprintf(format, value)
}
