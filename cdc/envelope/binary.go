package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

// writeBytea writes bytea, which the server prints as \x and hex digits, in base64.
func writeBytea(dst, text []byte) ([]byte, error) {
	digits, found := bytes.CutPrefix(text, []byte(`\x`))
	if !found {
		return nil, invalid(text, `is not bytea as bytea_output hex prints it`)
	}
	from := len(dst)
	dst, err := hex.AppendDecode(dst, digits)
	if err != nil {
		return nil, invalid(text, "is not bytea: "+err.Error())
	}
	return encodeTail(dst, from), nil
}

// encodeTail replaces what stands in dst after from by its base64.
func encodeTail(dst []byte, from int) []byte {
	raw := dst[from:]
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, raw)
	dst = append(dst, '"')
	return cut(dst, from, len(raw))
}

// bitWriter writes bit and varbit. A column declared with one bit is a boolean.
func bitWriter(modifier int32) writer {
	if modifier == 1 {
		return writeBit
	}
	return writeBits
}

// writeBit writes a single bit. An empty varbit(1) is neither of the two values its column can have on the wire.
func writeBit(dst, text []byte) ([]byte, error) {
	switch string(text) {
	case "1":
		return append(dst, "true"...), nil
	case "0":
		return append(dst, "false"...), nil
	}
	return nil, invalid(text, "is not one bit")
}

// writeBits writes a bit string in base64 of as many bytes as it needs, the last byte first: the string's last bit is
// the first byte's lowest. Leading zeros are kept as far as bytes can tell them.
func writeBits(dst, text []byte) ([]byte, error) {
	from := len(dst)
	for end := len(text); end > 0; end -= 8 {
		var octet byte
		for _, c := range text[max(end-8, 0):end] {
			if c != '0' && c != '1' {
				return nil, invalid(text, "is not a bit string")
			}
			octet = octet<<1 | (c - '0')
		}
		dst = append(dst, octet)
	}
	return encodeTail(dst, from), nil
}
