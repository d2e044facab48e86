package bench

// Report is what a bench found.
type Report struct {
	Machine Machine `json:"machine"`

	// What LiveDB's own parties ran with.
	Partitions  int32  `json:"partitions"`
	Compression string `json:"compression"`
	Memory      string `json:"decoding_memory,omitempty"`

	Scale   float64       `json:"scale"`
	Kafka   string        `json:"kafka"` // embedded, or the brokers
	Shapes  []ShapeResult `json:"shapes"`
	LeftOut []string      `json:"left_out,omitempty"` // parties that could not take part, and why

	Settings map[string][]string `json:"settings,omitempty"` // of parties that are not ours, by party
}

// Machine is where it was measured.
type Machine struct {
	Cores    int    `json:"cores"`
	OS       string `json:"os"`
	Go       string `json:"go"`
	Postgres string `json:"postgres"`
	TLS      bool   `json:"tls"` // to Postgres
}

// ShapeResult is what the parties did with a shape.
type ShapeResult struct {
	Shape    string        `json:"shape"`
	About    string        `json:"about"`
	Rows     int           `json:"rows"`
	Events   int           `json:"events"`
	WALBytes int64         `json:"wal_bytes"`
	Parties  []PartyResult `json:"parties"`
}

// PartyResult is what one party did. CPU is in seconds per million rows, the median; a negative value is not known.
type PartyResult struct {
	Party         string  `json:"party"`
	RowsPerSecond *Spread `json:"rows_per_second"`
	OfRecvlogical *Spread `json:"of_recvlogical,omitempty"` // its rate over pg_recvlogical's, repetition by repetition
	OfNothing     *Spread `json:"of_nothing,omitempty"`     // its rate over LiveDB's own with nothing behind it
	ClientCPU     float64 `json:"client_cpu"`
	WalsenderCPU  float64 `json:"walsender_cpu"`
	BrokerCPU     float64 `json:"broker_cpu"`
	Walsender     *Spread `json:"walsender_of_recvlogical,omitempty"` // its walsender's CPU over that under pg_recvlogical
	BytesPerRead  float64 `json:"bytes_per_read"`
	MallocsPerRow float64 `json:"mallocs_per_row"`
	PeakRSS       int64   `json:"peak_rss"` // bytes, the most of all runs
	Noisy         int     `json:"noisy"`    // runs that stayed noisy: with any, the rest is no result
	Runs          []Run   `json:"runs"`
}

// Run is one drain.
type Run struct {
	Repetition int `json:"repetition"`
	Figures
	Unexplained float64 `json:"unexplained"` // share of the machine that nobody explains; negative if not known
	Tries       int     `json:"tries"`       // how often it was made, until it was quiet
	Noisy       bool    `json:"noisy"`
}

// Noisy counts the runs that are no result.
func (r *Report) Noisy() int {
	n := 0
	for _, s := range r.Shapes {
		for _, p := range s.Parties {
			n += p.Noisy
		}
	}
	return n
}

// summarize turns the runs of a shape, by party, into its result.
func summarize(l *load, parties []Party, runs map[string][]Run) ShapeResult {
	result := ShapeResult{Shape: l.shape.Name, About: l.shape.About, Rows: l.rows, Events: l.events, WALBytes: l.walBytes}
	rate := func(r Run) float64 { return float64(r.Rows) / r.Seconds }
	walsender := func(r Run) float64 { return r.WalsenderCPU }
	for _, party := range parties {
		mine := runs[party.Name]
		perMillion := func(cpu func(Run) float64) float64 {
			return median(known(each(mine, func(r Run) float64 { return cpu(r) * 1e6 / float64(r.Rows) })))
		}
		p := PartyResult{Party: party.Name, Runs: mine, PeakRSS: -1,
			RowsPerSecond: spread(each(mine, rate)),
			ClientCPU:     perMillion(func(r Run) float64 { return r.ClientCPU }),
			WalsenderCPU:  perMillion(walsender),
			BrokerCPU:     perMillion(func(r Run) float64 { return r.BrokerCPU }),
			BytesPerRead:  median(known(each(mine, func(r Run) float64 { return r.BytesPerRead }))),
			MallocsPerRow: median(known(each(mine, func(r Run) float64 { return r.MallocsPerRow }))),
		}
		for _, r := range mine {
			p.PeakRSS = max(p.PeakRSS, r.PeakRSS)
			if r.Noisy {
				p.Noisy++
			}
		}
		if party.Name != nameRecvlogical {
			p.OfRecvlogical = ratios(mine, runs[nameRecvlogical], rate)
			p.Walsender = ratios(mine, runs[nameRecvlogical], walsender)
		}
		if party.Name != partNothing && party.Name != nameRecvlogical {
			p.OfNothing = ratios(mine, runs[partNothing], rate)
		}
		result.Parties = append(result.Parties, p)
	}
	return result
}

func each(runs []Run, value func(Run) float64) []float64 {
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = value(r)
	}
	return values
}

// ratios compare runs of the same repetition, which the machine's moods hit alike.
func ratios(mine, others []Run, value func(Run) float64) *Spread {
	base := map[int]float64{}
	for _, r := range others {
		base[r.Repetition] = value(r)
	}
	var found []float64
	for _, r := range mine {
		if b, v := base[r.Repetition], value(r); b > 0 && v >= 0 {
			found = append(found, v/b)
		}
	}
	return spread(found)
}
