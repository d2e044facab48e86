package processor

import (
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// chain checks that the records of <prefix>.transaction follow each other, and finds where delivery begins. Pure.
type chain struct {
	topic string
	whole bool // reading must begin at seq 1
	cut   bool // retention removed records from the place where reading was to begin
	skip  int  // entries of the first record that an earlier reading delivered

	told  bool // the epoch is known
	epoch uint32

	begun  bool // the fields below are known
	last   uint64
	commit cdc.CommitLSN
	open   bool // the last entry did not end its transaction
	xid    uint32

	floor mark   // the first that delivery may begin with
	start uint64 // seq of the first event to deliver; 0 while it is looked for
}

func newChain(topic string, start Start) chain {
	c := chain{topic: topic}
	switch start.kind {
	case fromBeginning:
		c.whole, c.start = true, 1
	case fromSaved:
		s := start.saved
		c.told, c.epoch = true, s.Epoch
		c.begun, c.last, c.commit, c.start, c.skip = true, s.Seq, s.Commit, s.First, s.Entry
	}
	return c
}

// follow checks a record against those before it and returns the entries to deliver.
func (c *chain) follow(r *envelope.TransactionRecord, offset int64) ([]envelope.TransactionEntry, error) {
	if r.Gap != nil {
		return nil, c.turn(r, offset)
	}
	if c.told && r.Epoch != c.epoch {
		return nil, c.otherEpoch(r, offset)
	}
	c.told, c.epoch = true, r.Epoch

	entries := r.Entries
	if c.skip > 0 {
		if len(entries) < c.skip || entries[c.skip-1].Last != c.last {
			return nil, c.violation(ErrReset, offset, fmt.Sprintf("the record whose entry %d ends at seq %d", c.skip, c.last), "another record")
		}
		entries, c.skip = entries[c.skip:], 0
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if !c.begun {
		if err := c.beginAt(&entries[0], offset); err != nil {
			return nil, err
		}
	}

	var deliver []envelope.TransactionEntry
	for i := range entries {
		if err := c.step(&entries[i], offset); err != nil {
			return nil, err
		}
		if c.start == 0 && entries[i].Starts && !(mark{c.epoch, entries[i].First}).before(c.floor) {
			c.start = entries[i].First
		}
		if c.start != 0 && deliver == nil {
			deliver = entries[i:]
		}
	}
	c.cut = false // what follows can be missing for another reason only
	return deliver, nil
}

// turn checks the record that begins an epoch against the end of the one before it.
func (c *chain) turn(r *envelope.TransactionRecord, offset int64) error {
	from := &r.Gap.From
	switch {
	case c.skip > 0:
		return c.violation(ErrReset, offset, fmt.Sprintf("the record whose entry %d ends at seq %d", c.skip, c.last), "another record")
	case c.told && r.Epoch != c.epoch+1:
		return c.otherEpoch(r, offset)
	case c.begun && from.Seq != c.last && c.cut && from.Seq > c.last:
		return c.violation(ErrRetention, offset, fmt.Sprint("seq ", c.last+1), fmt.Sprintf("the end of epoch %d with seq %d", c.epoch, from.Seq))
	case c.begun && from.Seq > c.last:
		return c.violation(ErrGap, offset, fmt.Sprint("seq ", c.last+1), fmt.Sprintf("the end of epoch %d with seq %d", c.epoch, from.Seq))
	case c.begun && (from.Seq < c.last || from.Partial != c.open):
		return c.violation(ErrOrder, offset, fmt.Sprintf("the end of epoch %d with seq %d", c.epoch, c.last), fmt.Sprint("its end with seq ", from.Seq))
	}
	c.told, c.epoch, c.cut = true, r.Epoch, false
	c.begun, c.last, c.commit, c.open = true, 0, 0, false
	if c.start == 0 && !(mark{r.Epoch, 1}).before(c.floor) {
		c.start = 1
	}
	return nil
}

// otherEpoch tells of a record of an epoch that is not due.
func (c *chain) otherEpoch(r *envelope.TransactionRecord, offset int64) error {
	kind := ErrEpoch
	if c.cut && r.Epoch > c.epoch {
		kind = ErrRetention // with the record that began it
	}
	return c.violation(kind, offset, fmt.Sprint("epoch ", c.epoch), fmt.Sprint("epoch ", r.Epoch))
}

// beginAt takes the first entry as given, or refuses it as a beginning.
func (c *chain) beginAt(e *envelope.TransactionEntry, offset int64) error {
	if c.whole && e.First != 1 {
		return c.violation(ErrBeginningGone, offset, "seq 1", fmt.Sprint("seq ", e.First))
	}
	c.begun, c.last, c.commit = true, e.First-1, e.Commit
	c.open, c.xid = !c.whole && !e.Starts, e.XID
	return nil
}

// step checks one entry against the one before.
func (c *chain) step(e *envelope.TransactionEntry, offset int64) error {
	switch {
	case e.First > c.last+1 && c.cut:
		return c.violation(ErrRetention, offset, fmt.Sprint("seq ", c.last+1), fmt.Sprint("seq ", e.First))
	case e.First > c.last+1:
		return c.violation(ErrGap, offset, fmt.Sprint("seq ", c.last+1), fmt.Sprint("seq ", e.First))
	case e.First <= c.last:
		return c.violation(ErrRepeat, offset, fmt.Sprint("seq ", c.last+1), fmt.Sprint("seq ", e.First))
	case e.Commit < c.commit:
		return c.violation(ErrOrder, offset, fmt.Sprint("a commit lsn from ", c.commit), e.Commit.String())
	case c.open && (e.Starts || e.XID != c.xid || e.Commit != c.commit):
		return c.violation(ErrOrder, offset, fmt.Sprintf("the rest of transaction %d at %s", c.xid, c.commit), fmt.Sprintf("transaction %d at %s", e.XID, e.Commit))
	case !c.open && !e.Starts:
		return c.violation(ErrOrder, offset, "the start of a transaction", fmt.Sprintf("the rest of transaction %d at %s", e.XID, e.Commit))
	}
	c.last, c.commit = e.Last, e.Commit
	c.open, c.xid = !e.Ends, e.XID
	return nil
}

func (c *chain) violation(kind error, offset int64, want, got string) error {
	return &Violation{Err: kind, Topic: c.topic, Offset: offset, Want: want, Got: got}
}
