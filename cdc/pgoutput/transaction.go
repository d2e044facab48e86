package pgoutput

import (
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
)

// BEGIN: Int64 final LSN, Int64 commit time, Int32 xid.
func (d *Decoder) begin(body []byte, m *Message) error {
	r := reader{rest: body}
	tx := cdc.Transaction{Commit: cdc.CommitLSN(r.lsn()), Time: timestamp(r.uint64()), XID: r.uint32()}
	if err := r.end(); err != nil {
		return err
	}
	if d.open {
		return fmt.Errorf("%w: it began as xid %d with commit LSN %s", ErrNestedBegin, d.tx.XID, d.tx.Commit)
	}
	if tx.Commit == 0 {
		return ErrZeroLSN
	}

	d.open, d.tx = true, tx
	m.Kind, m.Tx = Begin, tx
	return nil
}

// COMMIT: Int8 flags, Int64 commit LSN, Int64 end LSN, Int64 commit time.
func (d *Decoder) commit(body []byte, m *Message) error {
	r := reader{rest: body}
	flags := r.uint8()
	tx := cdc.Transaction{XID: d.tx.XID, Commit: cdc.CommitLSN(r.lsn()), End: cdc.EndLSN(r.lsn()), Time: timestamp(r.uint64())}
	if err := r.end(); err != nil {
		return err
	}
	switch {
	case !d.open:
		return ErrCommitWithoutBegin
	case flags != 0:
		return fmt.Errorf("%w: flags %#02x", ErrUnknownByte, flags)
	case tx.Commit != d.tx.Commit:
		return fmt.Errorf("%w: commit LSN %s, and BEGIN announced %s", ErrCommitMismatch, tx.Commit, d.tx.Commit)
	case uint64(tx.End) <= uint64(tx.Commit):
		// One record's start and end, not two transactions: the only place where the two kinds may be compared.
		return fmt.Errorf("%w: end LSN %s is not past commit LSN %s", ErrCommitMismatch, tx.End, tx.Commit)
	}

	d.open = false
	m.Kind, m.Tx = Commit, tx
	return nil
}

// ORIGIN: Int64 commit LSN on the origin, String name of the origin.
func (d *Decoder) origin(body []byte, m *Message) error {
	r := reader{rest: body}
	r.lsn()
	r.text()
	if err := r.end(); err != nil {
		return err
	}
	if !d.open {
		return ErrOutsideTransaction
	}
	m.Kind = Origin
	return nil
}

// timestamp reads microseconds since 2000-01-01 UTC. Seconds and the rest go apart, for their sum in microseconds since
// 1970 need not fit.
func timestamp(micros uint64) time.Time {
	const epoch = 946_684_800 // 2000-01-01 UTC in seconds since 1970
	us := int64(micros)
	return time.Unix(epoch+us/1e6, us%1e6*1e3).UTC()
}
