package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/livedb/livedb/internal/audit"
)

// auditResult is what the audits of a run say.
type auditResult struct {
	Prefix   string              `json:"prefix"`
	Stream   *audit.StreamReport `json:"stream,omitempty"`
	Source   *audit.SourceReport `json:"source,omitempty"`
	State    *audit.StateReport  `json:"state,omitempty"`
	Failed   map[string]string   `json:"failed,omitempty"` // audits that could not be made, and why
	Proven   bool                `json:"proven"`           // every audit was made and found nothing
	NoSource bool                `json:"no_source,omitempty"`

	err error
}

func (r *auditResult) failed(name string, err error) {
	if r.Failed == nil {
		r.Failed = map[string]string{}
	}
	r.Failed[name] = err.Error()
	r.err = errors.Join(r.err, err)
}

// verdicts are those of the audits that were made, by name.
func (r *auditResult) verdicts() map[string]*audit.Verdict {
	v := map[string]*audit.Verdict{}
	if r.Stream != nil && r.Failed["stream"] == "" {
		v["stream"] = &r.Stream.Verdict
	}
	if r.Source != nil {
		v["source"] = &r.Source.Verdict
	}
	if r.State != nil {
		v["state"] = &r.State.Verdict
	}
	return v
}

// print writes the result and returns how the command ends.
func (r *auditResult) print(w io.Writer, asJSON bool) error {
	if r.State != nil && r.State.Judged() == 0 {
		r.err = errors.Join(r.err, errors.New("the state audit could judge no table: see why at each"))
	}
	err := r.verdict()
	r.Proven = err == nil
	if asJSON {
		if err := printJSON(w, r); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
	} else {
		r.table(w)
	}
	return err
}

// verdict is nil if every audit was made and found nothing.
func (r *auditResult) verdict() error {
	var faults uint64
	for _, v := range r.verdicts() {
		faults += v.Faults()
	}
	if faults > 0 {
		return &findingsError{faults}
	}
	return r.err
}

// table writes the result for a person: a line per audit, then what was found, then what was not looked at.
func (r *auditResult) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	verdicts := r.verdicts()
	for _, name := range audits {
		switch v := verdicts[name]; {
		case v != nil:
			fmt.Fprintf(t, "%s\t%s\t%s\n", name, r.judgement(name, v), strings.Join(r.lines(name), "\n\t\t"))
		case r.Failed[name] != "":
			fmt.Fprintf(t, "%s\tnot made\tthe error is below\n", name)
		case r.NoSource:
			fmt.Fprintf(t, "%s\tnot made\tno --source is given\n", name)
		}
	}
	t.Flush() // the writer below says what is wrong with it at the next line
	for _, name := range audits {
		if v := verdicts[name]; v != nil {
			findings(w, name, v)
		}
	}
	if r.State == nil {
		return
	}
	for _, table := range r.State.Tables {
		switch {
		case !table.Judged:
			fmt.Fprintf(w, "not judged: table %s: %s\n", table.Table, table.Reason)
		case table.Reason != "":
			fmt.Fprintf(w, "judged %s: table %s\n", table.Reason, table.Table)
		}
	}
}

// judgement is an audit's result in a word or two.
func (r *auditResult) judgement(name string, v *audit.Verdict) string {
	switch n := v.Faults(); {
	case n == 1:
		return "1 FAULT"
	case n > 1:
		return fmt.Sprintf("%d FAULTS", n)
	case name == "stream" && r.Stream.Events == 0 && r.Stream.To < r.Stream.From, name == "state" && r.State.Judged() == 0:
		return "not judged"
	}
	return "proven"
}

// lines say what an audit proves: the range, then what is in it.
func (r *auditResult) lines(name string) []string {
	switch name {
	case "stream":
		s := r.Stream
		gaps := make([]string, len(s.Gaps))
		for i := range s.Gaps {
			gaps[i] = "certified gap: " + s.Gaps[i].String()
		}
		if s.To < s.From {
			return append(gaps, fmt.Sprintf("nothing to judge yet from seq %d on", s.From))
		}
		lines := []string{fmt.Sprintf("seq %d to %d, %s to %s", s.From, s.To, s.First, s.Last),
			fmt.Sprintf("%d events and %d tombstones of %d transactions, in %d Kafka transactions, %d topics and %d partitions; %d checkpoints",
				s.Events, s.Tombstones, s.Transactions, s.KafkaTransactions, s.Topics, s.Partitions, s.Checkpoints)}
		if s.From > 1 {
			lines = append(lines, fmt.Sprintf("retention removed what stood before seq %d", s.From))
		}
		if s.Epoch > 1 {
			lines[0] = fmt.Sprintf("epoch %d: ", s.Epoch) + lines[0]
		}
		return append(gaps, lines...)
	case "source":
		lines := []string{r.Source.Range()}
		if r.Source.Expired > 0 {
			lines = append(lines, fmt.Sprintf("%d events of the WAL are older than what retention left on Kafka", r.Source.Expired))
		}
		return lines
	}
	s := r.State
	lines := []string{fmt.Sprintf("%d of %d tables as of %s, events up to seq %d", s.Judged(), len(s.Tables), s.At, s.Seq)}
	for _, t := range s.Tables {
		if t.Judged {
			lines = append(lines, fmt.Sprintf("%s: %d rows, sum %s", t.Table, t.Rows, t.Sum))
		}
	}
	return lines
}

// findings lists what an audit found, by kind and then one by one.
func findings(w io.Writer, name string, v *audit.Verdict) {
	if v.OK() {
		return
	}
	var counts []string
	for _, kind := range audit.Kinds {
		if n := v.Counts[kind]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	fmt.Fprintf(w, "\n%s: %s\n", name, strings.Join(counts, ", "))
	for _, f := range v.Findings {
		fmt.Fprintf(w, "  %s\n", f)
	}
	if n := v.Unlisted(); n > 0 {
		fmt.Fprintf(w, "  and %d more\n", n)
	}
}
