package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/livedb/livedb/cdc"
)

// Verifier judges what a stream made of the burst writer's transactions, from the events alone and in the order in which
// they are read: every transaction must hold what its ledger row says, and each writer's ledger rows must be numbered
// 1, 2, 3…. It is pure, keeps a few numbers per writer, and may be used by one goroutine at a time.
//
// Not covered: the order of the events within a transaction, but for the ledger row, which must be the last; and
// transactions of other programs, but for the order of their commits.
type Verifier struct {
	cfg     Config
	tables  map[string]Table
	writers map[string]*line
	report  Report

	last        cdc.CommitLSN // the greatest so far
	snapshot    bool
	buffer      []byte
	before, row [16]value

	// Of the transaction that is open:
	open   bool
	xid    uint32
	commit cdc.CommitLSN
	events uint64 // of the demo's tables, reads not counted
	seen   pile
	entry  *entry // its ledger row
	behind pile   // what came after that row
}

// pile is some events of a transaction, its ledger row not counted.
type pile struct {
	tally  Tally
	broken uint64 // of them, those that cannot be read
}

// Config says what to expect.
type Config struct {
	Schema string // of the demo's tables; DefaultSchema

	// Midway tells that reading begins somewhere in the stream: the first number of each writer is taken as it comes, and
	// writers never seen are not missed.
	Midway bool
}

// Report is what a Verifier found. The four kinds of fault are counted in events; one event counts in one of them.
type Report struct {
	Events       uint64 `json:"events"`       // of the demo's tables
	Transactions uint64 `json:"transactions"` // with a ledger row
	Unchecked    uint64 `json:"unchecked"`    // of them, read while a snapshot was running

	Missing    uint64 `json:"missing"`
	Duplicated uint64 `json:"duplicated"`
	Disordered uint64 `json:"disordered"` // there, but not at their place
	Altered    uint64 `json:"altered"`    // at least: a sum of hashes does not tell how many

	Findings []string `json:"findings"` // the first few, for people
}

// OK reports whether there is no fault.
func (r *Report) OK() bool { return r.Missing+r.Duplicated+r.Disordered+r.Altered == 0 }

const maxFindings = 10

// NewVerifier returns a Verifier that has seen nothing.
func NewVerifier(cfg Config) *Verifier {
	if cfg.Schema == "" {
		cfg.Schema = DefaultSchema
	}
	v := &Verifier{cfg: cfg, tables: map[string]Table{}, writers: map[string]*line{}}
	for i := range tables {
		v.tables[cfg.Schema+"."+tables[i].name] = Table(i)
	}
	return v
}

// Snapshot tells that a snapshot of the demo's tables begins or has ended. While one runs, a change may be left out
// because a later chunk holds it, so transactions are not judged; only their numbers are taken.
func (v *Verifier) Snapshot(running bool) { v.snapshot = running }

// Begin opens a transaction. A snapshot's chunk is one too, with the commit LSN of the last. The parts of a split
// transaction belong between one Begin and one End.
func (v *Verifier) Begin(xid uint32, commit cdc.CommitLSN) {
	v.open, v.xid, v.commit = true, xid, commit
	v.events, v.seen, v.entry, v.behind = 0, pile{}, nil, pile{}
}

// Event takes one event of the open transaction. The table is schema.name; others than the demo's are ignored. The rows
// are the event's before and after, absent or null where the event has none. They are not kept.
func (v *Verifier) Event(op cdc.Op, table string, before, after json.RawMessage) error {
	if !v.open {
		return errors.New("an event came outside of a transaction; call Begin first")
	}
	t, known := v.tables[table]
	if !known {
		return nil
	}
	if op == cdc.Read {
		v.report.Events++
		if t == Entries {
			v.baseline(after)
		}
		return nil
	}
	kind, known := kindOf(op)
	if !known {
		return nil // a truncate or a message: no writer makes one
	}
	v.report.Events++
	v.events++
	if t == Entries && kind == Inserted {
		v.take(after)
		return nil
	}
	to := &v.seen
	if v.entry != nil {
		to = &v.behind
	}
	hash, err := v.hash(kind, t, before, after)
	if err != nil {
		to.broken++
		v.find("a %s event of %s in transaction %d at %s cannot be read: %v", op, t, v.xid, v.commit, err)
	}
	to.tally.Add(t, kind, 1, hash)
	return nil
}

func (v *Verifier) hash(kind Kind, t Table, before, after json.RawMessage) (hash uint64, err error) {
	columns := len(tables[t].columns)
	old, row := v.before[:columns], v.row[:columns]
	if kind != Inserted {
		if err := parseRow(t, before, old); err != nil {
			return 0, fmt.Errorf("before: %w", err)
		}
	}
	if kind != Deleted {
		if err := parseRow(t, after, row); err != nil {
			return 0, fmt.Errorf("after: %w", err)
		}
	}
	switch kind {
	case Inserted:
		hash, v.buffer = hashRows(v.buffer, kind, t, row)
	case Deleted:
		hash, v.buffer = hashRows(v.buffer, kind, t, old)
	default:
		hash, v.buffer = hashRows(v.buffer, kind, t, old, row)
	}
	return hash, nil
}

// take takes the ledger row of the open transaction.
func (v *Verifier) take(after json.RawMessage) {
	row, err := v.parseLedger(after)
	switch {
	case err != nil:
		v.report.Altered++
		v.find("the ledger row of transaction %d at %s cannot be read: %v", v.xid, v.commit, err)
	case v.entry == nil:
		v.entry = row
	case v.entry.writer == row.writer && v.entry.n == row.n:
		v.report.Duplicated++
		v.find("doubled: the ledger row of %s", v.where(row))
	default: // two transactions in one: judge each for itself
		v.report.Disordered++
		v.find("two transactions in one: %s and number %d of writer %s", v.where(v.entry), row.n, row.writer)
		v.judge(false)
		v.seen, v.entry, v.behind = v.behind, row, pile{}
	}
}

// End closes the transaction and judges it.
func (v *Verifier) End() {
	v.open = false
	if v.events == 0 {
		v.last = max(v.last, v.commit) // a chunk of reads, or of other tables
		return
	}
	late, again := v.commit < v.last, v.commit == v.last
	v.last = max(v.last, v.commit)
	switch {
	case v.entry != nil:
		if n := uint64(v.behind.tally.Total()); n > 0 {
			v.report.Disordered += n
			v.find("out of order: %d events stand behind the ledger row of %s", n, v.where(v.entry))
		}
		v.seen.tally.Merge(&v.behind.tally)
		v.seen.broken += v.behind.broken
		v.judge(late || again)
	case late:
		v.report.Disordered += v.events
		v.find("out of order: transaction %d at %s stands behind %s", v.xid, v.commit, v.last)
	case again:
		v.report.Duplicated += v.events
		v.find("doubled: transaction %d at %s", v.xid, v.commit)
	}
}

// judge holds the open transaction against its ledger row.
func (v *Verifier) judge(displaced bool) {
	row := v.entry
	v.report.Transactions++
	l := v.line(row.writer)
	switch {
	case v.snapshot:
		v.report.Unchecked++
		l.raise(row.n, row.rowsTotal)
		return
	case v.cfg.Midway && !l.begun:
		l.raise(row.n, row.rowsTotal)
		v.compare(row)
		return
	}
	switch l.place(row) {
	case repeated:
		v.report.Duplicated += uint64(v.seen.tally.Total()) + 1
		v.find("doubled: %s", v.where(row))
		return
	case overdue:
		v.report.Missing -= min(row.events(), v.report.Missing) // skip had counted it
		v.report.Disordered += row.events()
		v.find("out of order: %s comes after number %d", v.where(row), l.n)
	case ahead:
		missed := l.skip(row)
		v.report.Missing += missed
		v.find("missing: %d events before %s", missed, v.where(row))
	case inLine:
		if row.rowsTotal != l.rows+int64(row.events()) {
			v.report.Altered++
			v.find("altered: the ledger row of %s says %d rows in total, and %d were seen", v.where(row), row.rowsTotal, l.rows+int64(row.events()))
		}
		l.raise(row.n, row.rowsTotal)
		if displaced {
			v.report.Disordered += row.events()
			v.find("out of order: %s stands behind %s", v.where(row), v.last)
		}
	}
	v.compare(row)
}

// compare holds counts and hashes against the ledger row.
func (v *Verifier) compare(row *entry) {
	same := true
	for t := range Table(tableCount) {
		for kind := range Kind(kindCount) {
			got, want := v.seen.tally.Rows[t][kind], row.tally.Rows[t][kind]
			switch {
			case got < want:
				v.report.Missing += uint64(want - got)
			case got > want:
				v.report.Duplicated += uint64(got - want)
			default:
				continue
			}
			same = false
			v.find("%s holds %d events of kind %s of %s instead of %d", v.where(row), got, kind, t, want)
		}
	}
	v.report.Altered += v.seen.broken
	if same && v.seen.broken == 0 && v.seen.tally.Sum != row.tally.Sum {
		v.report.Altered++
		v.find("altered: the rows of %s have the hash sum %d instead of %d", v.where(row), v.seen.tally.Sum, row.tally.Sum)
	}
}

func (v *Verifier) where(row *entry) string {
	return fmt.Sprintf("number %d of writer %s in transaction %d at %s", row.n, row.writer, v.xid, v.commit)
}

func (v *Verifier) find(format string, args ...any) {
	if len(v.report.Findings) < maxFindings {
		v.report.Findings = append(v.report.Findings, fmt.Sprintf(format, args...))
	}
}

// entry is a row of burst_ledger.
type entry struct {
	writer       string
	n, rowsTotal int64
	tally        Tally
}

// events is how many events the transaction must have, the ledger row's included.
func (r *entry) events() uint64 { return uint64(r.tally.Total()) + 1 }

func (v *Verifier) parseLedger(data json.RawMessage) (*entry, error) {
	values := v.row[:len(tables[Entries].columns)]
	if err := parseRow(Entries, data, values); err != nil {
		return nil, err
	}
	row := &entry{writer: string(values[0].text)}
	var errs [4]error
	row.n, errs[0] = strconv.ParseInt(string(values[1].text), 10, 64)
	errs[1] = row.tally.parseCounts(values[2].text)
	row.tally.Sum, errs[2] = strconv.ParseUint(string(values[3].text), 10, 64)
	row.rowsTotal, errs[3] = strconv.ParseInt(string(values[4].text), 10, 64)
	return row, errors.Join(errs[:]...)
}
