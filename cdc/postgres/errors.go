package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc"
)

func errorAs[E error](err error) (E, bool) {
	var e E
	ok := errors.As(err, &e)
	return e, ok
}

func roleRefusal(user string) *cdc.Refusal {
	return &cdc.Refusal{Name: "role_lacks_replication", Problem: fmt.Sprintf("the role %s may not replicate", user),
		Remedy: fmt.Sprintf("run ALTER ROLE %s WITH REPLICATION as an administrator (on Neon use a role made in the console)", quote(user))}
}

// streamError names what ended a stream. Errors it does not know come back wrapped: they may pass.
func streamError(err error, c Config) error {
	e, ok := errorAs[*pgconn.PgError](err)
	if !ok {
		return &LostError{err}
	}
	switch e.Code {
	case "55006": // object_in_use
		return &SlotBusyError{Slot: c.Slot, Message: e.Message}
	case "55000": // object_not_in_prerequisite_state
		return &cdc.Refusal{Name: "slot_wal_lost", Unsafe: true, Problem: fmt.Sprintf("the slot %s cannot be read any more (%s)", c.Slot, e.Message),
			Remedy: "changes are lost to this stream: drop the slot and start a new stream under another --prefix", Err: err}
	case "58P01": // undefined_file: a slot whose WAL was removed, and that was not told yet. The text may be in another language
		if strings.HasPrefix(e.Message, "requested WAL segment ") || e.Routine == "WalSndSegmentOpen" || e.Routine == "CheckXLogRemoved" {
			return &cdc.Refusal{Name: "slot_wal_lost", Unsafe: true, Problem: fmt.Sprintf("the slot %s cannot be read any more (%s)", c.Slot, e.Message),
				Remedy: "changes are lost to this stream: drop the slot and start a new stream under another --prefix", Err: err}
		}
	case "22021", "22P05": // character_not_in_repertoire, untranslatable_character: a database of the encoding SQL_ASCII holds any bytes
		return &cdc.Refusal{Name: "unencodable_value", Problem: fmt.Sprintf("a value in the WAL is no text that the source can give us (%s)", e.Message),
			Remedy: "the stream stops before its transaction, so nothing is lost yet: leave the table out of the publication and start a new stream under another --prefix, for WAL is decoded with the publication of its time", Err: err}
	case "42704": // undefined_object
		return &cdc.Refusal{Name: "slot_or_publication_missing", Unsafe: true,
			Problem: fmt.Sprintf("the slot %s or the publication %s is gone or was re-created after the slot (%s)", c.Slot, c.Publication, e.Message),
			Remedy:  "changes may be lost to this stream: drop the slot and start a new stream under another --prefix", Err: err}
	}
	return fmt.Errorf("the source ended the stream: %w", e)
}

// SlotBusyError says that another walsender serves the slot. It may pass: a walsender notices a dead client only after
// wal_sender_timeout.
type SlotBusyError struct{ Slot, Message string }

// Error says which slot and who has it.
func (e *SlotBusyError) Error() string {
	return fmt.Sprintf("the slot %s is in use (%s); stop the other reader, or wait until the server notices that it is gone", e.Slot, e.Message)
}

// pgError keeps what streamError looks at.
func pgError(m *pgproto3.ErrorResponse) *pgconn.PgError {
	return &pgconn.PgError{Severity: m.Severity, Code: m.Code, Message: m.Message, Detail: m.Detail, Hint: m.Hint, Routine: m.Routine}
}

// literal quotes a text for a replication command.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
