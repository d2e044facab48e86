package audit

import (
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// Kind says what is wrong with a finding's change or record.
type Kind string

// The kinds of findings.
const (
	Missing    Kind = "missing"    // a change, or a record that belongs to it, is not there
	Duplicated Kind = "duplicate"  // a change stands there twice, or was never made
	Disordered Kind = "reordered"  // a change stands in the wrong place
	Altered    Kind = "altered"    // a change does not say what it should
	Torn       Kind = "torn"       // a part of a transaction stands without the others
	Misplaced  Kind = "checkpoint" // a checkpoint contradicts the events
	Hanging    Kind = "hanging"    // an open Kafka transaction hides what comes after it
)

// Kinds are all kinds, in the order in which people want to read of them.
var Kinds = []Kind{Missing, Duplicated, Disordered, Altered, Torn, Misplaced, Hanging}

// Finding is one fault. What is not known of it is zero.
type Finding struct {
	Kind      Kind         `json:"kind"`
	Position  cdc.Position `json:"position"`
	Seq       uint64       `json:"seq,omitempty"`
	Topic     string       `json:"topic,omitempty"`
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"` // -1: there is no such record
	Key       string       `json:"key,omitempty"`
	Text      string       `json:"text"` // one sentence without an end
}

// String tells the finding in one line.
func (f Finding) String() string {
	line := string(f.Kind) + ":"
	if f.Position != (cdc.Position{}) {
		line += " " + f.Position.String()
	}
	if f.Seq != 0 {
		line += fmt.Sprintf(" seq %d", f.Seq)
	}
	if f.Topic != "" {
		line += " " + f.Topic
		if f.Offset >= 0 {
			line += fmt.Sprintf("[%d]@%d", f.Partition, f.Offset)
		}
	}
	if f.Key != "" {
		line += " " + f.Key
	}
	return line + ": " + f.Text
}

// maxFindings bounds the findings that a verdict lists. All are counted.
const maxFindings = 100

// Verdict counts what an audit found and lists the first of it. The zero value has found nothing.
type Verdict struct {
	Counts   map[Kind]uint64 `json:"counts"`
	Findings []Finding       `json:"findings"` // the first 100
}

// Find adds a finding.
func (v *Verdict) Find(f Finding) { v.FindMany(1, f) }

// FindMany adds n faults, of which the finding tells the first.
func (v *Verdict) FindMany(n uint64, f Finding) {
	if n == 0 {
		return
	}
	if v.Counts == nil {
		v.Counts = map[Kind]uint64{}
	}
	v.Counts[f.Kind] += n
	if len(v.Findings) < maxFindings {
		v.Findings = append(v.Findings, f)
	}
}

// OK reports whether nothing was found.
func (v *Verdict) OK() bool { return len(v.Counts) == 0 }

// Faults is the number of all faults.
func (v *Verdict) Faults() uint64 {
	var n uint64
	for _, count := range v.Counts {
		n += count
	}
	return n
}

// Unlisted is the number of faults that Findings has no place for.
func (v *Verdict) Unlisted() uint64 { return v.Faults() - min(v.Faults(), uint64(len(v.Findings))) }
