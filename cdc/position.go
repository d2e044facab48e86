package cdc

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position names one change of an epoch and orders all of them: by commit record first, then by place within the
// transaction. The same value stands on the Kafka record, in the checkpoint, in a view's state and in the dashboard's
// URL.
//
// Index counts every event a transaction yields, from 1, before any filter. Index 0 is the transaction itself, before
// its first event.
type Position struct {
	Commit CommitLSN
	Index  uint64
}

// Compare returns -1, 0 or +1 as p stands before, at or after q.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Commit, q.Commit), cmp.Compare(p.Index, q.Index))
}

// String writes the position as 16/B374D848:7.
func (p Position) String() string {
	return p.Commit.String() + ":" + strconv.FormatUint(p.Index, 10)
}

// Append appends what String returns.
func (p Position) Append(dst []byte) []byte {
	dst = append(AppendLSN(dst, LSN(p.Commit)), ':')
	return strconv.AppendUint(dst, p.Index, 10)
}

// ParsePosition reads what String wrote. It refuses anything String would not write, such as a missing index.
func ParsePosition(text string) (Position, error) {
	commit, index, found := strings.Cut(text, ":")
	if !found {
		return Position{}, fmt.Errorf("position %q has no index: write it as 16/B374D848:7", text)
	}
	lsn, err := ParseLSN(commit)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: %w", text, err)
	}
	i, err := strconv.ParseUint(index, 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("position %q: %w", text, err)
	}
	p := Position{Commit: CommitLSN(lsn), Index: i}
	if p.String() != text {
		return Position{}, fmt.Errorf("position %q is not written as Postgres writes it: %s", text, p)
	}
	return p, nil
}

// MarshalText writes the position as String does.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the position as ParsePosition does.
func (p *Position) UnmarshalText(text []byte) error {
	parsed, err := ParsePosition(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
