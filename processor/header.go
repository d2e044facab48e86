package processor

import (
	"fmt"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// readHeaders finds epoch, seq and Position among a record's headers.
func readHeaders(headers []*sarama.RecordHeader) (at mark, position cdc.Position, err error) {
	placed := false
	at.epoch = 1
	for _, h := range headers {
		switch string(h.Key) {
		case envelope.HeaderSeq:
			at.seq, err = envelope.ParseSeq(h.Value)
		case envelope.HeaderPosition:
			position, err = parsePosition(h.Value)
			placed = true
		case envelope.HeaderEpoch:
			at.epoch, err = envelope.ParseEpoch(h.Value)
		}
		if err != nil {
			return at, position, err
		}
	}
	if at.seq == 0 || !placed {
		return at, position, fmt.Errorf("no header %s and %s", envelope.HeaderSeq, envelope.HeaderPosition)
	}
	return at, position, nil
}

// parsePosition reads a Position without allocating. What it does not understand is left to cdc.ParsePosition to judge.
func parsePosition(text []byte) (cdc.Position, error) {
	high, rest, ok1 := digits(text, '/', 16)
	low, rest, ok2 := digits(rest, ':', 16)
	index, rest, ok3 := digits(rest, 0, 10)
	if !ok1 || !ok2 || !ok3 || len(rest) > 0 || high > 0xFFFFFFFF || low > 0xFFFFFFFF {
		return cdc.ParsePosition(string(text))
	}
	return cdc.Position{Commit: cdc.CommitLSN(high<<32 | low), Index: index}, nil
}

// digits reads up to 16 digits and the byte that ends them; 0 is the end of the text.
func digits(text []byte, end byte, base uint64) (value uint64, rest []byte, ok bool) {
	for i, c := range text {
		switch {
		case c == end && i > 0:
			return value, text[i+1:], true
		case i == 16, i == 1 && text[0] == '0': // too long, or not as String writes it
			return 0, text, false
		case c >= '0' && c <= '9':
			value = value*base + uint64(c-'0')
		case base == 16 && c >= 'A' && c <= 'F':
			value = value*base + uint64(c-'A'+10)
		default:
			return 0, text, false
		}
	}
	return value, nil, end == 0 && len(text) > 0
}
