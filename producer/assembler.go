package producer

import (
	"fmt"
	"strconv"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/kafka"
)

// Assembler turns the changes of a stream into the records of batches. Pure but for Resolve: the same transactions from
// the same checkpoint give the same records with the same seqs, however they are cut into batches.
type Assembler struct {
	stream  envelope.Stream
	resolve Resolve
	clock   func() time.Time // asked for each event
	routes  map[*cdc.Table]*route
	targets map[string]*target // by topic: several descriptions of a table share one

	truncates route // of every table: <prefix>.truncate, one partition

	done     Checkpoint // as of the last whole transaction, or of the last part sealed
	open     bool       // between Begin and Commit
	skipping bool       // a transaction that the checkpoint already holds
	redo     uint64     // events of the open transaction that the checkpoint already holds
	tx       cdc.Transaction
	index    uint64 // of the last event of the open transaction
	started  bool   // an entry of the open transaction has been written
	skipped  uint64 // whole transactions skipped

	batch *Batch
	meta  envelope.Meta
}

// Resolve says where the events of a table go and how they are written. It is called when a table is seen for the first
// time or with a new description, and may create its topic. A topology that it returns is written before the batch.
type Resolve func(t *cdc.Table) (Place, string, *envelope.Plan, *Topology, error)

// route is where the events of a description of a table go.
type route struct {
	*target
	plan *envelope.Plan
}

// target is a topic, and where the batch has it.
type target struct {
	topic      string
	partitions int32
	places     []int32 // by partition: the index in the batch's places, or -1
	number     int     // the index in the batch's topics, or -1
	batch      *Batch  // that places and number belong to
	round      uint64
}

// NewAssembler goes on after a checkpoint. The clock is asked for each event, so it should be the stream's: time.Now costs more
// than half of what an event does, and a time of its own for each makes the events compress worse.
func NewAssembler(s envelope.Stream, from Checkpoint, clock func() time.Time, resolve Resolve) *Assembler {
	a := &Assembler{stream: s, resolve: resolve, clock: clock, routes: map[*cdc.Table]*route{}, targets: map[string]*target{}, done: from}
	a.truncates = route{target: a.target(envelope.Topics(s.Name).Truncate(), 1)}
	a.done.Touched = nil
	return a
}

// Use gives the assembler an empty batch to fill.
func (a *Assembler) Use(b *Batch) {
	b.reset()
	b.round++
	a.batch = b
}

// Begin opens a transaction.
func (a *Assembler) Begin(tx cdc.Transaction) error {
	a.open, a.started, a.tx, a.index, a.redo = true, false, tx, 0, 0
	if tx.Commit <= a.done.Commit {
		a.skipping = true
		return nil
	}
	a.skipping = false
	if cdc.LSN(tx.Commit) < a.done.AckedUpto { // what was acknowledged is all that there was below it
		return unsafe("source_rewritten", "the source sends transaction %d at %s, and all up to %s had been delivered: it was restored from an older copy and written to again",
			tx.XID, tx.Commit, a.done.AckedUpto)
	}
	if p := a.done.Partial; p != nil {
		if tx.Commit != p.Commit || tx.XID != p.XID {
			return unsafe("partial_transaction_missing", "the source went on with transaction %d at %s where %d at %s was left half done", tx.XID, tx.Commit, p.XID, p.Commit)
		}
		a.redo, a.started = p.EventsDone, true
	}
	return nil
}

// Change adds a row's move: one event, or two where an update changed the key.
func (a *Assembler) Change(c *cdc.Change) error {
	if a.skipping {
		return nil
	}
	r, err := a.route(c.Table)
	if err != nil {
		return err
	}
	if c.Op != cdc.Update || !r.plan.HasKey() || !r.plan.KeyChanged(c) {
		return a.event(r, c, c.Op)
	}
	if err := a.event(r, c, cdc.Delete); err != nil {
		return err
	}
	return a.event(r, c, cdc.Insert)
}

// event adds one event and, after a delete, its tombstone. The op is not the change's own where an update changed the
// key.
func (a *Assembler) event(r *route, c *cdc.Change, op cdc.Op) error {
	a.index++
	if a.index <= a.redo {
		return nil
	}
	moved := op != c.Op
	after := c.New
	if op == cdc.Delete {
		after = nil
	}

	b := a.batch
	rec := record{op: op, table: c.Table}
	var err error
	if r.plan.HasKey() {
		if rec.key, err = a.key(r, op, c); err != nil {
			return err
		}
		if moved {
			other := cdc.Insert
			if op == cdc.Insert {
				other = cdc.Delete
			}
			if rec.other, err = a.key(r, other, c); err != nil {
				return err
			}
			rec.otherIsNew = op == cdc.Delete
		}
	}
	a.number(&rec, r, c.LSN)
	from := len(b.arena)
	if b.arena, err = r.plan.AppendEvent(b.arena, &a.meta, op, c.Old, c.OldKind, after); err != nil {
		return a.unencodable(c.Table, err)
	}
	rec.value = b.add(from)
	if size := rec.size(); size > maxRecord {
		return a.tooLarge(c.Table, &rec, size)
	}
	b.records = append(b.records, rec)
	if op == cdc.Delete && r.plan.HasKey() {
		rec.value, rec.other = extent{}, extent{}
		b.places[rec.place].records++
		b.records = append(b.records, rec)
	}
	return nil
}

// key appends the key that an event of the op has: the old row's for a delete, else the new row's.
func (a *Assembler) key(r *route, op cdc.Op, c *cdc.Change) (extent, error) {
	b := a.batch
	from := len(b.arena)
	var err error
	if op == cdc.Delete {
		b.arena, err = r.plan.AppendKey(b.arena, c.Old)
	} else {
		b.arena, err = r.plan.AppendNewKey(b.arena, c)
	}
	if err != nil {
		return extent{}, a.unencodable(c.Table, err)
	}
	return b.add(from), nil
}

// number gives the next event its seq, its place and its headers, and counts it.
func (a *Assembler) number(rec *record, r *route, lsn cdc.LSN) {
	b := a.batch
	a.done.Seq++
	now := a.clock()
	if len(b.records) == 0 {
		b.first = now
	}
	if n := len(b.entries); !a.started || n == 0 || b.entries[n-1].Commit != a.tx.Commit {
		b.addEntry(envelope.TransactionEntry{XID: a.tx.XID, Commit: a.tx.Commit, TimeUS: a.tx.Time.UnixMicro(),
			First: a.done.Seq, Starts: !a.started})
		b.counts = b.counts[:0]
		a.started = true
	}
	b.entries[len(b.entries)-1].Last = a.done.Seq

	var p int32
	if !rec.key.none() {
		p = partition(b.arena[rec.key.from:rec.key.to], r.partitions)
	}
	a.place(rec, r, p)

	from := len(b.arena)
	b.arena = strconv.AppendUint(b.arena, a.done.Seq, 10)
	rec.seq = b.add(from)
	from = len(b.arena)
	b.arena = cdc.Position{Commit: a.tx.Commit, Index: a.index}.Append(b.arena)
	rec.position = b.add(from)

	a.meta = envelope.Meta{Tx: a.tx, LSN: lsn, LastCommit: a.done.Commit, Seq: a.done.Seq, Now: now}
}

// place finds the partition among the batch's and counts the event there.
func (a *Assembler) place(rec *record, r *route, p int32) {
	b := a.batch
	if r.batch != b || r.round != b.round {
		r.batch, r.round, r.number = b, b.round, -1
		for i := range r.places {
			r.places[i] = -1
		}
	}
	if r.number < 0 {
		r.number = len(b.topics)
		b.addTopic(r.topic)
	}
	if r.places[p] < 0 {
		r.places[p] = int32(len(b.places))
		b.places = append(b.places, place{topic: r.topic, partition: p})
	}
	rec.place = r.places[p]
	b.places[rec.place].last = a.done.Seq
	b.places[rec.place].records++
	for len(b.counts) <= r.number {
		b.counts = append(b.counts, 0)
	}
	b.counts[r.number]++
}

// Truncate adds one event per table, in <prefix>.truncate.
func (a *Assembler) Truncate(lsn cdc.LSN, tables []*cdc.Table) error {
	if a.skipping {
		return nil
	}
	for _, t := range tables {
		r, err := a.route(t)
		if err != nil {
			return err
		}
		a.index++
		if a.index <= a.redo {
			continue
		}
		rec := record{op: cdc.Truncate, table: t}
		a.number(&rec, &a.truncates, lsn)
		from := len(a.batch.arena)
		if a.batch.arena, err = r.plan.AppendTruncate(a.batch.arena, &a.meta); err != nil {
			return a.unencodable(t, err)
		}
		rec.value = a.batch.add(from)
		a.batch.records = append(a.batch.records, rec)
	}
	return nil
}

// Commit ends the open transaction.
func (a *Assembler) Commit(tx cdc.Transaction) error {
	a.open = false
	if a.skipping {
		a.skipped++
		return nil
	}
	if a.redo > 0 && a.index <= a.redo {
		return unsafe("partial_transaction_shorter", "transaction %d at %s now has %d events and %d of it were delivered", tx.XID, tx.Commit, a.index, a.redo)
	}
	b := a.batch
	if n := len(b.entries); n > 0 && b.entries[n-1].Commit == tx.Commit {
		b.closeEntry()
		b.entries[n-1].End, b.entries[n-1].Ends = tx.End, true
	}
	b.lastCommit = tx.Time
	b.whole++
	a.done.Commit, a.done.End, a.done.XID, a.done.CommitTime, a.done.Index = tx.Commit, tx.End, tx.XID, tx.Time, a.index
	a.done.Partial = nil
	a.done.AckedUpto = max(a.done.AckedUpto, cdc.LSN(tx.End))
	return nil
}

// Seal closes the batch with the checkpoint that will stand behind it, and takes it from the assembler. In the middle of
// a transaction it leaves a partial one behind; the transaction must go on with another event, so that its last part is
// never empty.
func (a *Assembler) Seal(now time.Time) *Batch {
	b := a.batch
	a.batch = nil
	if n := len(b.entries); a.open && n > 0 && b.entries[n-1].Commit == a.tx.Commit {
		b.closeEntry()
		a.done.Partial = &Partial{Commit: a.tx.Commit, XID: a.tx.XID, EventsDone: a.index}
	}
	a.done.Time = now.UTC()
	b.checkpoint = a.done
	b.checkpoint.Touched = map[string]map[int32]uint64{}
	for _, p := range b.places {
		if b.checkpoint.Touched[p.topic] == nil {
			b.checkpoint.Touched[p.topic] = map[int32]uint64{}
		}
		b.checkpoint.Touched[p.topic][p.partition] = p.last
	}
	return b
}

func (a *Assembler) route(t *cdc.Table) (*route, error) {
	if r := a.routes[t]; r != nil {
		return r, nil
	}
	place, topic, plan, topology, err := a.resolve(t)
	if err != nil {
		return nil, err
	}
	if topology != nil {
		a.batch.topology = topology
	}
	for known := range a.routes {
		if known.OID == t.OID {
			delete(a.routes, known) // an older description
		}
	}
	r := &route{target: a.target(topic, place.Partitions), plan: plan}
	a.routes[t] = r
	return r, nil
}

// target returns the one target of a topic.
func (a *Assembler) target(topic string, partitions int32) *target {
	if a.targets[topic] == nil {
		a.targets[topic] = &target{topic: topic, partitions: partitions, places: make([]int32, partitions)}
	}
	return a.targets[topic]
}

// maxRecord leaves room for what Kafka's batch adds to a record.
const maxRecord = kafka.MaxRecordBytes - 1<<10

// maxOrder ends a batch whose order is about to be a record that is too large: transactions of one small event each take more
// room there than in the batch. It is exceeded by at most one change.
const maxOrder = maxRecord - 4<<10

func (a *Assembler) tooLarge(t *cdc.Table, r *record, size int) error {
	key := a.batch.arena[r.key.from:min(r.key.to, r.key.from+100)]
	return &cdc.Refusal{Name: "row_too_large", Problem: fmt.Sprintf("a change of %s with the key %s would be a record of %d bytes and %d is the limit", t, key, size, maxRecord),
		Remedy: "the stream stops before it, so nothing is lost yet: leave the table or its large column out of the publication" + anew}
}

// anew follows the advice to leave something out: this stream would meet the same transaction again.
const anew = " and start a new stream under another --prefix, for WAL is decoded with the publication of its time"

func (a *Assembler) unencodable(t *cdc.Table, err error) error {
	return &cdc.Refusal{Name: "unencodable_value", Problem: fmt.Sprintf("a change of %s in the transaction at %s cannot be written (%v)", t, a.tx.Commit, err),
		Remedy: "the stream stops before it, so nothing is lost yet: report this, or leave the table out of the publication" + anew, Err: err}
}
