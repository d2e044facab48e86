package network

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"regexp"
	"sync/atomic"
)

// A client begins with messages that have no type byte: their length int32, a code int32.
const (
	cancelRequest = 80877102 // and nothing follows
	sslRequest    = 80877103 // the answer is one byte, and what follows may be encrypted
	gssRequest    = 80877104
)

// xlogHead is how many bytes stand before pgoutput's: the kind, two LSNs and a time.
const xlogHead = 1 + 8 + 8 + 8

// postgresFraming reads the heads of messages: a type byte, the length int32 of what follows, itself included.
type postgresFraming struct {
	begun  bool        // used by the client's direction alone: the startup message has passed
	sealed atomic.Bool // no message can be seen any more
	slot   atomic.Value
}

// startReplication is how a query begins that makes a connection stream; its slot's name is not longer than this.
var startReplication = regexp.MustCompile(`^START_REPLICATION SLOT "?([a-z0-9_]{1,63})`)

func newPostgresFraming() framing { return &postgresFraming{} }

func (f *postgresFraming) next(from Side, r *bufio.Reader) (m Message, size int, err error) {
	m.From = from
	if _, err := r.Peek(1); err != nil { // before sealed is asked: what the server says follows the client's request
		return m, 0, err
	}
	if f.sealed.Load() {
		return m, r.Buffered(), nil
	}
	if from == Client && !f.begun {
		return f.startup(m, r)
	}
	head, err := r.Peek(5)
	if err != nil {
		return m, 0, err
	}
	size = 1 + int(int32(binary.BigEndian.Uint32(head[1:])))
	if size < 5 {
		return m, 0, fmt.Errorf("a postgres message of %d bytes has no head", size)
	}
	kind := []byte{head[0]}
	if head[0] == 'd' && size > 5 {
		inner, err := r.Peek(min(size, 5+xlogHead+1))
		if err != nil {
			return m, 0, err
		}
		kind = append(kind, inner[5])
		if inner[5] == 'w' && len(inner) > 5+xlogHead {
			kind = append(kind, inner[5+xlogHead])
		}
	}
	m.Type = string(kind)
	if from == Client && head[0] == 'Q' {
		query, err := r.Peek(min(size, 100))
		if err != nil {
			return m, 0, err
		}
		if found := startReplication.FindSubmatch(query[5:]); found != nil {
			f.slot.Store(string(found[1]))
		}
	}
	m.Slot, _ = f.slot.Load().(string)
	return m, size, nil
}

func (f *postgresFraming) startup(m Message, r *bufio.Reader) (Message, int, error) {
	head, err := r.Peek(8)
	if err != nil {
		return m, 0, err
	}
	size := int(int32(binary.BigEndian.Uint32(head)))
	if size < 8 {
		return m, 0, fmt.Errorf("a postgres startup message of %d bytes has no head", size)
	}
	switch binary.BigEndian.Uint32(head[4:]) {
	case cancelRequest, sslRequest, gssRequest:
		f.sealed.Store(true)
	default:
		f.begun = true
	}
	return m, size, nil
}
