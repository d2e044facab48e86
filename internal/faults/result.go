package faults

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/failpoint"
)

// Result is what a round did and found.
type Result struct {
	Round    int            `json:"round"`
	Seed     uint64         `json:"seed"`
	Postgres string         `json:"postgres"` // its version
	Kafka    string         `json:"kafka"`
	Faults   Counts         `json:"faults"`
	Points   map[string]int `json:"points"` // faults by where or how they hit: failpoints, "cdc at any time", "postgres fast"
	Seconds  float64        `json:"seconds"`

	Transactions int                   `json:"transactions"` // in the stream
	Events       uint64                `json:"events"`
	Audit        map[audit.Kind]uint64 `json:"audit"`        // what the audits found
	Tables       int                   `json:"tables"`       // whose rows are what their events leave behind
	Groups       int                   `json:"groups"`       // of the view, equal to the SELECT's
	Observations int                   `json:"observations"` // of confirmed_flush_lsn, each allowed by a committed checkpoint
	Equalities   uint64                `json:"equalities"`   // an end_lsn that was the next transaction's commit_lsn

	Failure string `json:"failure,omitempty"` // why the round did not pass
}

// AppendResult adds a round to the state file.
func AppendResult(path string, r Result) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	return errors.Join(err, file.Close())
}

// ReadResults reads the rounds of a state file; one that does not exist has none.
func ReadResults(path string) ([]Result, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var results []Result
	for r := bufio.NewReader(file); ; {
		text, err := r.ReadBytes('\n')
		if err != nil { // the end; a last line without its end was never finished
			return results, nil
		}
		var result Result
		if err := json.Unmarshal(text, &result); err != nil {
			return nil, fmt.Errorf("the state file %s, line %d, is not a round: %w; name another --state", path, len(results)+1, err)
		}
		results = append(results, result)
	}
}

// Sum adds up rounds. Those that failed count no faults.
func Sum(results []Result) (sum Result) {
	sum.Faults, sum.Points, sum.Audit = Counts{}, map[string]int{}, map[audit.Kind]uint64{}
	for _, r := range results {
		if r.Failure != "" {
			continue
		}
		sum.Round++
		sum.Faults.Add(r.Faults)
		for point, n := range r.Points {
			sum.Points[point] += n
		}
		sum.Seconds += r.Seconds
		sum.Transactions += r.Transactions
		sum.Events += r.Events
		for kind, n := range r.Audit {
			sum.Audit[kind] += n
		}
		sum.Tables += r.Tables
		sum.Groups += r.Groups
		sum.Observations += r.Observations
		sum.Equalities += r.Equalities
	}
	return sum
}

// Table shows rounds as Markdown, for docs/guarantee.md.
func Table(results []Result) string {
	var b strings.Builder
	b.WriteString("| round | seed | Postgres | faults | transactions | events | missing | duplicated | disordered | altered | seconds |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
	row := func(name, seed, postgres string, r Result) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %d | %d | %d | %d | %d | %d | %.0f |\n", name, seed, postgres, r.Faults,
			r.Transactions, r.Events, r.Audit[audit.Missing], r.Audit[audit.Duplicated], r.Audit[audit.Disordered], r.Audit[audit.Altered], r.Seconds)
	}
	for _, r := range results {
		name := fmt.Sprint(r.Round)
		if r.Failure != "" {
			name += " FAILED"
		}
		row(name, fmt.Sprint(r.Seed), r.Postgres, r)
	}
	sum := Sum(results)
	row("**all**", "", "", sum)
	fmt.Fprintf(&b, "\nKafka: %s. The online reader saw each transaction once and whole. %d tables were what their events leave behind, and the view was\n"+
		"its SELECT in %d groups. %d times the slot's confirmed_flush_lsn was looked at, and a committed checkpoint allowed it. %d times an\n"+
		"end_lsn was the next transaction's commit_lsn.\n", kafkas(results), sum.Tables, sum.Groups, sum.Observations, sum.Equalities)
	b.WriteString("\n| where it hit | times |\n|---|---|\n")
	for _, point := range slices.Sorted(maps.Keys(sum.Points)) {
		fmt.Fprintf(&b, "| %s | %d |\n", point, sum.Points[point])
	}
	if never := neverHit(sum.Points); len(never) > 0 {
		fmt.Fprintf(&b, "\nnever hit: %s\n", strings.Join(never, ", "))
	}
	return b.String()
}

// neverHit lists the failpoints of which the rounds say nothing: what would fail there, they did not see.
func neverHit(points map[string]int) (names []string) {
	for _, point := range slices.Concat(failpoint.CDC, failpoint.Process) {
		if points[string(point)] == 0 && point != failpoint.EpochBegun { // no round loses its slot
			names = append(names, string(point))
		}
	}
	return names
}

func kafkas(results []Result) string {
	names := map[string]bool{}
	for _, r := range results {
		names[r.Kafka] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(names)), "; ")
}
