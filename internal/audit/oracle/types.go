package oracle

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Type is what a catalog says of a type.
type Type struct {
	Schema, Name string
	Base         uint32 // of a domain: the type it is made of
	Mod          int32  // of a domain: the base's modifier
	Elem         uint32 // of an array: its elements' type
	Delim        byte   // of an array: what stands between its elements
}

// Types is a source's catalog of types, by OID.
type Types map[uint32]Type

// ReadTypes reads the catalog as it is now. A type that was dropped before is not in it, and is mapped as text.
func ReadTypes(ctx context.Context, conn *pgx.Conn) (Types, error) {
	// int2vector and oidvector have elements too, but do not print as arrays.
	rows, err := conn.Query(ctx, `SELECT t.oid, n.nspname, t.typname, t.typbasetype, t.typtypmod,
			CASE WHEN t.typoutput = 'pg_catalog.array_out'::regproc THEN t.typelem ELSE 0 END, ascii(t.typdelim)
		FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace`)
	if err != nil {
		return nil, fmt.Errorf("read the source's types: %w", err)
	}
	types := Types{}
	var oid uint32
	var delim int32
	var t Type
	_, err = pgx.ForEachRow(rows, []any{&oid, &t.Schema, &t.Name, &t.Base, &t.Mod, &t.Elem, &delim}, func() error {
		t.Delim = byte(delim)
		types[oid] = t
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the source's types: %w", err)
	}
	return types, nil
}

// Column is a column of a row, made by Types.Column.
type Column struct {
	Name string
	Type uint32 // OID
	Mod  int32  // atttypmod, -1 for none

	form *form
}

// Column says how a column's values are mapped. An unknown type is text.
func (types Types) Column(name string, oid uint32, mod int32) (Column, error) {
	f, err := types.form(oid, mod, 0)
	if err != nil {
		return Column{}, fmt.Errorf("column %s: %w", name, err)
	}
	return Column{Name: name, Type: oid, Mod: mod, form: f}, nil
}

// Known reports whether the catalog has the type and all that it is made of.
func (types Types) Known(oid uint32) bool {
	for range maxDepth {
		t, found := types[oid]
		if !found || t.Base == 0 && t.Elem == 0 {
			return found
		}
		if oid = t.Base; oid == 0 {
			oid = t.Elem
		}
	}
	return false
}

// kind is a row of the mapping's table (wire-format.md, section 5).
type kind byte

const (
	kindText kind = iota // as Postgres prints it
	kindInteger
	kindFloat
	kindNumeric
	kindMoney
	kindBool
	kindBits
	kindBytes
	kindDate
	kindTime
	kindTimeTZ
	kindTimestamp
	kindTimestampTZ
	kindInterval
	kindUUID
	kindPoint
	kindHstore
	kindVector
	kindSparse
	kindArray
)

// form is a type as the mapping sees it: a domain is its base.
type form struct {
	kind  kind
	size  int   // bits of a float; bits of a bit(n), -1 without limit; digits of a timestamp's fraction
	elem  *form // of an array
	delim byte
}

// maxDepth bounds domains over arrays of domains.
const maxDepth = 32

// builtin are the types of pg_catalog that are not mapped as text.
var builtin = map[string]form{
	"int2": {kind: kindInteger}, "int4": {kind: kindInteger}, "int8": {kind: kindInteger}, "oid": {kind: kindInteger},
	"float4": {kind: kindFloat, size: 32}, "float8": {kind: kindFloat, size: 64},
	"numeric": {kind: kindNumeric}, "money": {kind: kindMoney}, "bool": {kind: kindBool},
	"bit": {kind: kindBits}, "varbit": {kind: kindBits}, "bytea": {kind: kindBytes}, "uuid": {kind: kindUUID},
	"date": {kind: kindDate}, "time": {kind: kindTime}, "timetz": {kind: kindTimeTZ},
	"timestamp": {kind: kindTimestamp}, "timestamptz": {kind: kindTimestampTZ}, "interval": {kind: kindInterval}, "point": {kind: kindPoint},
}

// extension are types of extensions, whichever schema they live in.
var extension = map[string]form{
	"hstore": {kind: kindHstore}, "vector": {kind: kindVector}, "halfvec": {kind: kindVector}, "sparsevec": {kind: kindSparse},
}

func (types Types) form(oid uint32, mod int32, depth int) (*form, error) {
	t, found := types[oid]
	switch {
	case depth > maxDepth:
		return nil, fmt.Errorf("type %d is made of itself: the source's catalog contradicts itself", oid)
	case !found:
		return &form{kind: kindText}, nil
	case t.Base != 0:
		return types.form(t.Base, t.Mod, depth+1)
	case t.Elem != 0:
		elem, err := types.form(t.Elem, mod, depth+1)
		return &form{kind: kindArray, elem: elem, delim: t.Delim}, err
	}
	f, found := extension[t.Name]
	if t.Schema == "pg_catalog" {
		f, found = builtin[t.Name]
	}
	if !found {
		return &form{kind: kindText}, nil
	}
	switch f.kind {
	case kindBits:
		f.size = int(mod)
	case kindTimestamp, kindTimestampTZ:
		if f.size = 6; mod >= 0 {
			f.size = int(mod)
		}
	}
	return &f, nil
}
