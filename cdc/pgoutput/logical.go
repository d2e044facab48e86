package pgoutput

import "fmt"

// MESSAGE: Int8 flags (1 for transactional), Int64 LSN, String prefix, Int32 length and that many bytes.
func (d *Decoder) logical(body []byte, m *Message) error {
	r := reader{rest: body}
	flags := r.uint8()
	message := LogicalMessage{Transactional: flags == 1, LSN: r.lsn(), Prefix: r.text()}
	length := int(int32(r.uint32()))
	switch {
	case r.short:
		return ErrShort
	case flags > 1:
		return fmt.Errorf("%w: flags %#02x", ErrUnknownByte, flags)
	case length < 0:
		return fmt.Errorf("%w: %d bytes of content", ErrNegative, length)
	case message.Transactional && !d.open:
		return ErrOutsideTransaction
	}

	message.Content = r.take(length)
	m.Kind, m.Logical = Logical, message
	return r.end()
}
