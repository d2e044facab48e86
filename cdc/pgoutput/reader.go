package pgoutput

import (
	"bytes"
	"encoding/binary"

	"github.com/livedb/livedb/cdc"
)

// reader walks the fields of a message. A read past the end yields zero and is remembered, so that a fixed layout is read
// field by field and checked once, by end. Check it sooner where a value decides how much is read or allocated.
type reader struct {
	rest  []byte
	short bool
}

// take returns the next n bytes, or nil.
func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.rest, r.short = nil, true
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint8() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) lsn() cdc.LSN { return cdc.LSN(r.uint64()) }

// text returns the bytes before the next NUL and steps over it.
func (r *reader) text() string {
	n := bytes.IndexByte(r.rest, 0)
	if n < 0 {
		r.rest, r.short = nil, true
		return ""
	}
	return string(r.take(n + 1)[:n])
}

// namespace returns a schema's name. The writer shortens pg_catalog to nothing.
func (r *reader) namespace() string {
	if name := r.text(); name != "" || r.short {
		return name
	}
	return "pg_catalog"
}

// end checks that the message was read to its end and not beyond.
func (r *reader) end() error {
	switch {
	case r.short:
		return ErrShort
	case len(r.rest) > 0:
		return ErrTrailing
	}
	return nil
}
