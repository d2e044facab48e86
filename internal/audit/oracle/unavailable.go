package oracle

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"strconv"
)

// placeholder stands for a large value that an update did not touch, so that Postgres did not log it.
const placeholder = "__debezium_unavailable_value"

// unavailable writes the placeholder's form for a type: a string, for bytes its base64, for numbers in an array its codes.
func (f *form) unavailable(w *writer) {
	switch f.kind {
	case kindBytes, kindBits:
		w.text(base64.StdEncoding.EncodeToString([]byte(placeholder)))
	case kindHstore:
		w.object(1)
		w.text(placeholder)
		w.text(placeholder)
	case kindVector:
		f.codes(w)
	case kindUUID:
		w.text(nameUUID(placeholder))
	case kindArray:
		if f.elem.kind == kindInteger || f.elem.kind == kindFloat {
			f.elem.codes(w)
			return
		}
		w.array(1)
		f.elem.unavailable(w)
	default:
		w.text(placeholder)
	}
}

// codes writes the placeholder's characters as numbers.
func (f *form) codes(w *writer) {
	w.array(len(placeholder))
	for _, c := range []byte(placeholder) {
		if size := f.floatSize(); size > 0 {
			_ = w.float(strconv.Itoa(int(c)), size) // it is a number
			continue
		}
		_ = w.decimal(strconv.Itoa(int(c)))
	}
}

// nameUUID makes a UUID of version 3 from a name without a namespace, as java.util.UUID.nameUUIDFromBytes does.
func nameUUID(name string) string {
	u := md5.Sum([]byte(name))
	u[6] = u[6]&0x0F | 0x30
	u[8] = u[8]&0x3F | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
