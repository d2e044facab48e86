package pgoutput

import (
	"errors"
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// Messages of a kind that does not belong here.
var (
	ErrUnknownMessage = errors.New("proto_version 1 has no message of this kind")
	ErrTwoPhase       = errors.New("this is a two-phase message: the slot has two_phase on; use a slot created without it")
	ErrStreaming      = errors.New("this message is part of an unfinished transaction: the stream must be started with streaming off")
)

// Messages that make no sense where they stand.
var (
	ErrOutsideTransaction = errors.New("it stands outside a transaction")
	ErrNestedBegin        = errors.New("the transaction before has no COMMIT yet")
	ErrCommitWithoutBegin = errors.New("there was no BEGIN")
	ErrCommitMismatch     = errors.New("it does not end the transaction that BEGIN opened")
	ErrUnknownRelation    = errors.New("no RELATION message described this table")
	ErrColumnCount        = errors.New("the row has another number of columns than its RELATION message")
)

// Bytes that make no sense.
var (
	ErrShort       = errors.New("the message ends too early")
	ErrTrailing    = errors.New("there are bytes after the end of the message")
	ErrNegative    = errors.New("a length or count is negative")
	ErrCount       = errors.New("a count does not fit the message")
	ErrZeroLSN     = errors.New("an LSN is 0/0")
	ErrUnknownByte = errors.New("a flag or marker has no known meaning")
)

// Values that LiveDB does not take.
var (
	ErrBinary    = errors.New("the value is binary: the stream must be started with binary off")
	ErrUnchanged = errors.New("the value of an old row is marked unchanged")
)

// Error says which message could not be decoded, and why. Err is, or wraps, one of this package's errors.
type Error struct {
	LSN    cdc.LSN // where the message stood in the stream; 0/0 for RELATION and TYPE
	Letter byte    // the message's first byte; 0 if it has none
	Err    error
}

// Error names the message and what is wrong with it. It never shows a value.
func (e *Error) Error() string {
	return fmt.Sprintf("decode %s at %s: %v", letterName(e.Letter), e.LSN, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

func letterName(letter byte) string {
	switch letter {
	case 0:
		return "empty message"
	case 'B':
		return "BEGIN"
	case 'C':
		return "COMMIT"
	case 'I':
		return "INSERT"
	case 'U':
		return "UPDATE"
	case 'D':
		return "DELETE"
	case 'T':
		return "TRUNCATE"
	case 'R':
		return "RELATION"
	case 'Y':
		return "TYPE"
	case 'O':
		return "ORIGIN"
	case 'M':
		return "MESSAGE"
	}
	return fmt.Sprintf("message %q", letter)
}
