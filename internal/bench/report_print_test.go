package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrintReport(t *testing.T) {
	spread := func(median, least, most float64) *Spread {
		return &Spread{Median: median, Min: least, Max: most}
	}
	report := &Report{Machine: Machine{Cores: 2, OS: "linux/amd64", Go: "go1.26.8", Postgres: "15.18", TLS: true}, Scale: .5, Kafka: "embedded",
		Partitions: 6, Compression: "lz4", Memory: "256MB",
		Shapes: []ShapeResult{{Shape: "a", About: "transactions of one row", Rows: 100_000, Events: 100_000, WALBytes: 38 << 20, Parties: []PartyResult{
			{Party: "recvlogical", RowsPerSecond: spread(55_000, 51_000, 61_000), ClientCPU: 8.8, WalsenderCPU: 17.5, BrokerCPU: -1, BytesPerRead: -1, MallocsPerRow: -1,
				PeakRSS: 8_400_000, Runs: make([]Run, 5)},
			{Party: "kafka", RowsPerSecond: spread(151_000, 148_000.4, 154_000), OfRecvlogical: spread(2.75, 2.5, 2.9), OfNothing: spread(.98, .97, 1.01), ClientCPU: 2.9,
				WalsenderCPU: 6.5, BrokerCPU: 2.25, Walsender: spread(.37, .3, .4), BytesPerRead: 16_384.4, MallocsPerRow: 3.5, PeakRSS: 41_000_000, Runs: make([]Run, 5), Noisy: 2},
		}}}, LeftOut: []string{"page is left out: it has gone"},
		Settings: map[string][]string{"debezium": {"java -Xmx2G", "connector slot.name=<slot>"}}}
	const want = `linux/amd64, 2 cores, go1.26.8; Postgres 15.18 by TLS; Kafka: embedded; scale 0.5
LiveDB: 6 partitions, lz4, decoding memory 256MB

shape a: transactions of one row; 100000 changes, 100000 events, 38.0 MiB of WAL
PARTY        ROWS/S  LEAST–MOST     TO RL  TO LN  CLIENT CPU  WALSENDER CPU  TO RL  BROKER CPU  BYTES/READ  MALLOCS/ROW  PEAK RSS
recvlogical  55000   51000–61000    –      –      8.80        17.50          –      –           –           –            8 MB
kafka        151000  148000–154000  2.75   0.98   2.90        6.50           0.37   2.25        16384       3.50         41 MB
NOISY: kafka is no result, for something else used more than a tenth of the machine in 2 of 5 runs

debezium ran with
  java -Xmx2G
  connector slot.name=<slot>

page is left out: it has gone

Medians, of rates also least and most. CPU is in seconds per million rows; RL is pg_recvlogical, LN is LiveDB to nothing, in the same repetition.
`
	var printed strings.Builder
	if err := report.PrintTable(&printed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, printed.String()); diff != "" {
		t.Error(diff)
	}
	if got := report.Noisy(); got != 2 {
		t.Errorf("%d noisy runs", got)
	}

	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var read Report
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(report, &read); diff != "" {
		t.Error(diff)
	}
}
