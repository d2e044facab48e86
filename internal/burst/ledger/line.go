package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
)

// line is one writer's row of transactions, as far as it was seen.
type line struct {
	n, rows int64 // of the greatest number seen
	begun   bool
	gaps    []gap // numbers below n that were not seen
}

// gap is a run of numbers that did not come, both included.
type gap struct{ from, to int64 }

// maxGaps bounds the memory of a stream that is all holes. What belongs into a forgotten one and comes late counts as
// doubled.
const maxGaps = 1000

// place says where a ledger row belongs.
type place byte

const (
	inLine   place = iota // the next number
	ahead                 // numbers are missing before it
	overdue               // it was missing
	repeated              // it was seen
)

func (v *Verifier) line(writer string) *line {
	l := v.writers[writer]
	if l == nil {
		l = &line{}
		v.writers[writer] = l
	}
	return l
}

// baseline takes a ledger row that a snapshot read.
func (v *Verifier) baseline(after json.RawMessage) {
	row, err := v.parseLedger(after)
	if err != nil {
		v.report.Altered++
		v.find("a ledger row of the snapshot at %s cannot be read: %v", v.commit, err)
		return
	}
	v.line(row.writer).raise(row.n, row.rowsTotal)
}

// raise goes on to a number without a question.
func (l *line) raise(n, rows int64) {
	l.begun = true
	if n > l.n {
		l.n, l.rows = n, rows
	}
}

func (l *line) place(row *entry) place {
	switch {
	case row.n == l.n+1:
		return inLine
	case row.n > l.n:
		return ahead
	}
	i := slices.IndexFunc(l.gaps, func(g gap) bool { return g.from <= row.n && row.n <= g.to })
	if i < 0 {
		return repeated
	}
	g := l.gaps[i]
	var left []gap
	if g.from < row.n {
		left = append(left, gap{g.from, row.n - 1})
	}
	if row.n < g.to {
		left = append(left, gap{row.n + 1, g.to})
	}
	l.gaps = slices.Replace(l.gaps, i, i+1, left...)
	return overdue
}

// skip goes on to a number that is too great, remembers what is missing, and returns how many events that is.
func (l *line) skip(row *entry) uint64 {
	missed := uint64(max(0, row.rowsTotal-int64(row.events())-l.rows))
	l.gaps = append(l.gaps, gap{l.n + 1, row.n - 1})
	if len(l.gaps) > maxGaps {
		l.gaps = l.gaps[1:]
	}
	l.raise(row.n, row.rowsTotal)
	return missed
}

// Writer is how far a writer came: its last number, and its rows until then.
type Writer struct {
	ID   string `json:"id"`
	N    int64  `json:"n"`
	Rows int64  `json:"rows"`
}

// Truth is how far each writer came by the ledger in the source.
type Truth map[string]Writer

// CaughtUp reports whether everything in truth was seen, or is known to be missing because something later was.
func (v *Verifier) CaughtUp(truth Truth) bool {
	for id, w := range truth {
		if l := v.writers[id]; l == nil && !v.cfg.Midway || l != nil && l.n < w.N {
			return false
		}
	}
	return true
}

// Report returns what was found so far.
func (v *Verifier) Report() Report {
	r := v.report
	r.Findings = slices.Clone(r.Findings)
	return r
}

// Finish returns the report for a stream that should hold all of truth: what it does not is missing.
func (v *Verifier) Finish(truth Truth) Report {
	r := v.Report()
	for id, w := range truth {
		l := v.writers[id]
		if l == nil && v.cfg.Midway {
			continue
		}
		if l == nil {
			l = &line{}
		}
		if l.n >= w.N {
			continue
		}
		r.Missing += uint64(w.Rows - l.rows)
		if len(r.Findings) < maxFindings {
			r.Findings = append(r.Findings, fmt.Sprintf("missing: numbers %d to %d of writer %s, %d events", l.n+1, w.N, id, w.Rows-l.rows))
		}
	}
	return r
}
