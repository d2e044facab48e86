package envelope

import (
	"fmt"
	"strings"
)

// Type tells what the catalog knows of a type outside pg_catalog that its OID does not say. A domain has a Base, an
// array an Elem; a type with neither is written by its name or as Postgres's text.
type Type struct {
	Base     uint32 // domain's base type OID, 0 if none (typbasetype)
	Elem     uint32 // array's element type OID, 0 if none (typelem of a type of category A)
	Modifier int32  // domain's own modifier (typtypmod); 0 and -1 mean none
	Name     string // schema.name; needed for the base type of a domain and the elements of an array only
	Delim    byte   // between an array's elements (typdelim); 0 means a comma
}

// Types describes types outside pg_catalog by their OIDs. A type that is not in it is written by its name or as
// Postgres's text.
type Types map[uint32]Type

// A mapping tells how a profile writes a type.
type mapping struct {
	// writer returns the writer for a column with the given modifier.
	writer func(modifier int32) writer
	// unavailable is the JSON that stands for an unchanged large value. Empty: Postgres never stores the type out of
	// line, so that it cannot be unchanged.
	unavailable string
	// element is the JSON of the one element, or the elements, of an unchanged large array of the type.
	element string
}

// A profile maps every type to its form on the wire. The debezium profile will be this one with other entries for
// numbers, dates and times.
type profile struct {
	types map[uint32]mapping // by OID, the types of pg_catalog
	names map[string]mapping // by name, the types of extensions
	text  mapping            // every other type
}

// flink is the profile that Flink and RisingWave read without conversion (reference/wire-format.md, section 5).
var flink = profile{
	types: map[uint32]mapping{
		boolOID:        fixed(writeBoolean),
		int2OID:        number(writeInteger),
		int4OID:        number(writeInteger),
		int8OID:        number(writeInteger),
		oidOID:         number(writeInteger),
		float4OID:      number(writeFloat),
		float8OID:      number(writeFloat),
		numericOID:     large(writeDecimal, unavailableText),
		moneyOID:       fixed(writeMoney),
		byteaOID:       large(writeBytea, unavailableBytes),
		bitOID:         {bitWriter, unavailableBytes, unavailableBytes},
		varbitOID:      {bitWriter, unavailableBytes, unavailableBytes},
		dateOID:        fixed(writeDate),
		timeOID:        fixed(writeTime),
		timetzOID:      fixed(writeTimetz),
		timestampOID:   {timestampWriter, "", unavailableText},
		timestamptzOID: {timestamptzWriter, "", unavailableText},
		intervalOID:    fixed(writeInterval),
		pointOID:       fixed(writePoint),
		uuidOID:        {always(writeText), "", unavailableUUID},
	},
	names: map[string]mapping{
		"hstore":    large(writeHstore, unavailableHstore),
		"vector":    large(writeVector, "["+unavailableNumbers+"]"),
		"halfvec":   large(writeVector, "["+unavailableNumbers+"]"),
		"sparsevec": large(writeSparseVector, unavailableSparseVector),
	},
	text: large(writeText, unavailableText),
}

// fixed maps a type of fixed size, which never leaves its row. An array of it may.
func fixed(w writer) mapping { return mapping{always(w), "", unavailableText} }

// number maps a type of fixed size that is a JSON number.
func number(w writer) mapping { return mapping{always(w), "", unavailableNumbers} }

// large maps a type whose values may be stored out of line.
func large(w writer, unavailable string) mapping { return mapping{always(w), unavailable, unavailable} }

// always is a writer that heeds no modifier.
func always(w writer) func(int32) writer { return func(int32) writer { return w } }

// An encoding is a mapping, resolved for one column.
type encoding struct {
	write       writer
	unavailable string
	element     string
}

// maxNesting bounds domains over domains and arrays of domains over arrays.
const maxNesting = 16

// resolve finds how a column of the type is written: a domain as its base type, an array by its elements.
func (p *profile) resolve(types Types, oid uint32, name string, modifier int32, depth int) (encoding, error) {
	if depth > maxNesting {
		return encoding{}, fmt.Errorf("type %d is nested in itself or more than %d deep", oid, maxNesting)
	}

	t := types[oid]
	if t.Name != "" {
		name = t.Name
	}
	if t.Base != 0 {
		if t.Modifier != 0 && t.Modifier != -1 {
			modifier = t.Modifier
		}
		return p.resolve(types, t.Base, "", modifier, depth+1)
	}

	delimiter, element := byte(','), builtinElements[oid]
	if element == 0 {
		element = t.Elem
	}
	if element != 0 {
		e, err := p.resolve(types, element, elementName(name), modifier, depth+1)
		if err != nil {
			return encoding{}, err
		}
		switch {
		case element == boxOID:
			delimiter = ';'
		case t.Delim != 0:
			delimiter = t.Delim
		}
		list := "[" + e.element + "]"
		return encoding{arrayWriter(e.write, delimiter), list, list}, nil
	}

	m, found := p.types[oid]
	if !found {
		m, found = p.names[name[strings.LastIndexByte(name, '.')+1:]]
	}
	if !found {
		m = p.text
	}
	return encoding{m.writer(modifier), m.unavailable, m.element}, nil
}

// elementName guesses the name of an array's elements: Postgres calls the array of public.hstore public._hstore.
func elementName(array string) string {
	schema, name, found := strings.Cut(array, "._")
	if !found {
		return ""
	}
	return schema + "." + name
}

// typeName names a type in errors.
func typeName(oid uint32, name string) string {
	if name != "" {
		return name
	}
	if name, found := builtinNames[oid]; found {
		return name
	}
	return fmt.Sprintf("type %d", oid)
}
