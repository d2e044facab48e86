package cdc

import (
	"fmt"

	"github.com/jackc/pglogrepl"
)

// LSN is a position in the write-ahead log. Most code wants one of the kinds below.
type LSN = pglogrepl.LSN

// ParseLSN reads an LSN as Postgres writes it, and nothing else.
func ParseLSN(text string) (LSN, error) {
	lsn, err := pglogrepl.ParseLSN(text)
	if err == nil && lsn.String() != text {
		err = fmt.Errorf("LSN %q is not written as Postgres writes it, such as 16/B374D848", text)
	}
	return lsn, err
}

// AppendLSN appends an LSN as Postgres writes it.
func AppendLSN(dst []byte, lsn LSN) []byte {
	dst = appendHex(dst, uint32(lsn>>32))
	return appendHex(append(dst, '/'), uint32(lsn))
}

func appendHex(dst []byte, n uint32) []byte {
	shift := 28
	for shift > 0 && n>>shift == 0 {
		shift -= 4
	}
	for ; shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789ABCDEF"[n>>shift&15])
	}
	return dst
}

// CommitLSN is where a transaction's commit record starts: final_lsn of BEGIN and commit_lsn of COMMIT
// (proto.c, logicalrep_write_begin and logicalrep_write_commit). It orders transactions.
// Compare it with other CommitLSNs only: an EndLSN or a keepalive's LSN may equal the CommitLSN of the *next*
// transaction, so any comparison across kinds loses one.
type CommitLSN LSN

// EndLSN is where a transaction's commit record ends: the one value to acknowledge and to resume from.
type EndLSN LSN

// String writes the LSN as Postgres does, such as 16/B374D848.
func (l CommitLSN) String() string { return LSN(l).String() }

// MarshalText writes the LSN as Postgres does.
func (l CommitLSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *CommitLSN) UnmarshalText(text []byte) error {
	lsn, err := ParseLSN(string(text))
	*l = CommitLSN(lsn)
	return err
}

// String writes the LSN as Postgres does, such as 16/B374D848.
func (l EndLSN) String() string { return LSN(l).String() }

// MarshalText writes the LSN as Postgres does.
func (l EndLSN) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (l *EndLSN) UnmarshalText(text []byte) error {
	lsn, err := ParseLSN(string(text))
	*l = EndLSN(lsn)
	return err
}
