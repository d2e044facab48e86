package pgoutput

import (
	"github.com/livedb/livedb/cdc"
)

// Decoder reads the messages of one replication connection, from its first on: the server describes each table once per
// connection. It holds the tables it was told of, so it grows with the number of tables and not with the stream.
type Decoder struct {
	tables map[uint32]*cdc.Table
	types  map[uint32]string // schema.name by OID

	open bool            // between BEGIN and COMMIT
	tx   cdc.Transaction // the last BEGIN's

	// Reused from message to message.
	oldRow, newRow cdc.Row
	truncated      []*cdc.Table

	failed error
}

// NewDecoder returns a decoder for a new connection.
func NewDecoder() *Decoder {
	return &Decoder{tables: make(map[uint32]*cdc.Table), types: make(map[uint32]string)}
}

// Table returns the current description of a table, or nil if there was none.
func (d *Decoder) Table(oid uint32) *cdc.Table { return d.tables[oid] }

// Decode reads one message that stood at walStart in the stream. m is overwritten; it shares memory with data and with
// the decoder, until the next Decode.
//
// After an error, an *Error, the decoder is done: it returns the same error for ever, so that nobody can skip a message.
func (d *Decoder) Decode(walStart cdc.LSN, data []byte, m *Message) error {
	*m = Message{}
	if d.failed != nil {
		return d.failed
	}

	var letter byte
	err := ErrShort
	if len(data) > 0 {
		letter = data[0]
		err = d.decode(walStart, letter, data[1:], m)
	}
	if err != nil {
		d.failed = &Error{LSN: walStart, Letter: letter, Err: err}
		*m = Message{}
	}
	return d.failed
}

func (d *Decoder) decode(walStart cdc.LSN, letter byte, body []byte, m *Message) error {
	switch letter {
	case 'I':
		return d.insert(walStart, body, m)
	case 'U':
		return d.update(walStart, body, m)
	case 'D':
		return d.delete(walStart, body, m)
	case 'B':
		return d.begin(body, m)
	case 'C':
		return d.commit(body, m)
	case 'R':
		return d.relation(body, m)
	case 'Y':
		return d.typeName(body, m)
	case 'T':
		return d.truncate(body, m)
	case 'M':
		return d.logical(body, m)
	case 'O':
		return d.origin(body, m)
	case 'A':
		// Its layout depends on the version that it does not belong to, so its body is not looked at.
		m.Kind = StreamAbort
		return nil
	case 'S', 'E', 'c':
		return ErrStreaming
	case 'b', 'P', 'K', 'r', 'p':
		return ErrTwoPhase
	}
	return ErrUnknownMessage
}
