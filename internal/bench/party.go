package bench

import (
	"context"

	"github.com/livedb/livedb/cdc"
)

// Task is what a party drains.
type Task struct {
	Source      string // Postgres URL
	Slot        string // a copy of the parked slot, for this run alone
	Publication string
	Table       string   // schema.table of the load
	Brokers     []string // of a fresh broker, or nil for a party that writes nowhere
	Prefix      string   // fresh for each run
	Start       cdc.LSN  // confirmed position of the slot
	End         cdc.LSN  // end of the load's WAL
	Rows        int      // changes of the load
	Events      int      // that a stream makes of them: an update of a key is two
	First       int      // of the events, those that are measured apart, as Figures.Met; 0: none
	Partitions  int32
	Compression string // of what LiveDB writes, and
	Memory      string // what its walsender may use to decode; both as the command cdc takes them, empty for the defaults
	Profile     string // where LiveDB's own parties write <this>.cpu and <this>.allocs; empty: nowhere
}

// Figures are what one drain cost. CPU in seconds; a negative value is not known.
type Figures struct {
	Rows          int     `json:"rows"`
	Seconds       float64 `json:"seconds"` // from the walsender's start to the last row's arrival (durable, where there is Kafka)
	ClientCPU     float64 `json:"client_cpu"`
	WalsenderCPU  float64 `json:"walsender_cpu"`
	BrokerCPU     float64 `json:"broker_cpu"`
	BytesPerRead  float64 `json:"bytes_per_read"`
	MallocsPerRow float64 `json:"mallocs_per_row"`
	PeakRSS       int64   `json:"peak_rss"` // bytes

	Met *Figures `json:"met,omitempty"` // until Task.First were durable: the seconds, the CPU and the mallocs above begin there
}

// unknown are figures of which nothing is known yet.
func unknown() Figures {
	return Figures{ClientCPU: -1, WalsenderCPU: -1, BrokerCPU: -1, BytesPerRead: -1, MallocsPerRow: -1, PeakRSS: -1}
}

// Party drains a parked slot once, as a process of its own. What it starts has ended when Drain returns. The runner
// measures the walsender and the broker itself.
type Party struct {
	Name  string
	Kafka bool // wants brokers

	Settings []string // of one that is not ours, in the words of its own documentation

	Drain func(ctx context.Context, t Task) (Figures, error)

	// Verify counts what the party left on Kafka, once the run is over: its error makes the run one. nil: nothing is counted.
	Verify func(ctx context.Context, t Task) error
}
