package pgoutput

import (
	"encoding/binary"
	"fmt"

	"github.com/livedb/livedb/cdc"
)

// readRow reads a TupleData: Int16 number of columns, then for each 'n' (null), 'u' (unchanged) or 't', Int32 length and
// that many bytes. It reuses row's memory, and the values are views into r's bytes, so it allocates nothing once the
// row is as long as the widest table. Only a new row may leave a value unchanged.
func readRow(r *reader, table *cdc.Table, row cdc.Row, unchanged bool) (cdc.Row, error) {
	count := int(int16(r.uint16()))
	switch {
	case r.short:
		return row, ErrShort
	case count < 0:
		return row, fmt.Errorf("%w: %d columns", ErrNegative, count)
	case count != len(table.Columns):
		return row, fmt.Errorf("%w: %d instead of %d in %s", ErrColumnCount, count, len(table.Columns), table)
	}
	if cap(row) < count {
		row = make(cdc.Row, count)
	}
	row = row[:count]

	rest := r.rest
	for i := range row {
		n, err := readValue(rest, &row[i], unchanged)
		if err != nil {
			return row, fmt.Errorf("column %q of %s: %w", table.Columns[i].Name, table, err)
		}
		rest = rest[n:]
	}
	r.rest = rest
	return row, nil
}

// readValue reads one value and returns how many bytes it took.
func readValue(data []byte, v *cdc.Value, unchanged bool) (int, error) {
	if len(data) == 0 {
		return 0, ErrShort
	}
	switch data[0] {
	case 't':
		if len(data) < 5 {
			return 0, ErrShort
		}
		length := int(int32(binary.BigEndian.Uint32(data[1:])))
		if length < 0 {
			return 0, ErrNegative
		}
		if length > len(data)-5 {
			return 0, ErrShort
		}
		end := 5 + length
		*v = cdc.Value{State: cdc.Text, Text: data[5:end:end]}
		return end, nil
	case 'n':
		*v = cdc.Value{State: cdc.Null}
		return 1, nil
	case 'u':
		if !unchanged {
			return 0, ErrUnchanged
		}
		*v = cdc.Value{State: cdc.Unchanged}
		return 1, nil
	case 'b':
		return 0, ErrBinary
	}
	return 0, fmt.Errorf("%w: a value begins with %q", ErrUnknownByte, data[0])
}
