package pgoutput

import (
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/livedb/livedb/cdc"
)

// refused lists what the decoder must not take, and by what name. Each follows BEGIN and the RELATION of orders, unless
// it stands outside a transaction.
var refused = map[string]struct {
	outside bool
	data    []byte
	want    error
}{
	"no bytes at all":        {data: nil, want: ErrShort},
	"unknown letter":         {data: []byte{'X'}, want: ErrUnknownMessage},
	"begin prepare":          {data: []byte{'b', 0}, want: ErrTwoPhase},
	"prepare":                {data: []byte{'P', 0}, want: ErrTwoPhase},
	"commit prepared":        {data: []byte{'K', 0}, want: ErrTwoPhase},
	"rollback prepared":      {data: []byte{'r', 0}, want: ErrTwoPhase},
	"stream prepare":         {data: []byte{'p', 0}, want: ErrTwoPhase},
	"stream start":           {data: []byte{'S', 0, 0, 2, 0xdd, 1}, want: ErrStreaming},
	"stream stop":            {data: []byte{'E'}, want: ErrStreaming},
	"stream commit":          {data: []byte{'c', 0}, want: ErrStreaming},
	"begin twice":            {data: beginBytes(tx), want: ErrNestedBegin},
	"begin at 0/0":           {outside: true, data: beginBytes(cdc.Transaction{XID: 1, Time: tx.Time}), want: ErrZeroLSN},
	"commit without begin":   {outside: true, data: commitBytes(tx), want: ErrCommitWithoutBegin},
	"commit of another":      {data: commitBytes(cdc.Transaction{Commit: tx.Commit + 1, End: tx.End, Time: tx.Time}), want: ErrCommitMismatch},
	"commit ends at start":   {data: commitBytes(cdc.Transaction{Commit: tx.Commit, End: cdc.EndLSN(tx.Commit), Time: tx.Time}), want: ErrCommitMismatch},
	"commit with flags":      {data: builder{'C'}.i8(1).i64(uint64(tx.Commit)).i64(uint64(tx.End)).time(tx.Time), want: ErrUnknownByte},
	"insert outside":         {outside: true, data: insertBytes(16384, row("1", nil, nil)), want: ErrOutsideTransaction},
	"update outside":         {outside: true, data: updateBytes(16384, cdc.OldNone, nil, row("1", nil, nil)), want: ErrOutsideTransaction},
	"delete outside":         {outside: true, data: deleteBytes(16384, cdc.OldKey, row("1", nil, nil)), want: ErrOutsideTransaction},
	"truncate outside":       {outside: true, data: truncateBytes(0, 16384), want: ErrOutsideTransaction},
	"origin outside":         {outside: true, data: originBytes(1, "elsewhere"), want: ErrOutsideTransaction},
	"message outside":        {outside: true, data: logicalBytes(LogicalMessage{Prefix: "app", Transactional: true}), want: ErrOutsideTransaction},
	"insert, unknown table":  {data: insertBytes(1, row("1", nil, nil)), want: ErrUnknownRelation},
	"update, unknown table":  {data: updateBytes(1, cdc.OldNone, nil, row("1")), want: ErrUnknownRelation},
	"delete, unknown table":  {data: deleteBytes(1, cdc.OldKey, row("1")), want: ErrUnknownRelation},
	"truncate, unknown":      {data: truncateBytes(0, 16384, 1), want: ErrUnknownRelation},
	"a column too few":       {data: insertBytes(16384, row("1", nil)), want: ErrColumnCount},
	"a column too many":      {data: insertBytes(16384, row("1", nil, nil, nil)), want: ErrColumnCount},
	"old row too wide":       {data: deleteBytes(16384, cdc.OldFull, row("1", nil, nil, nil)), want: ErrColumnCount},
	"negative columns":       {data: builder{'I'}.i32(16384).i8('N').i16(0xffff), want: ErrNegative},
	"negative length":        {data: builder{'I'}.i32(16384).i8('N').i16(3).i8('t').i32(math.MaxUint32), want: ErrNegative},
	"length past the end":    {data: builder{'I'}.i32(16384).i8('N').i16(3).i8('t').i32(math.MaxInt32), want: ErrShort},
	"insert trailing":        {data: append(insertBytes(16384, row("1", nil, nil)), 0), want: ErrTrailing},
	"update trailing":        {data: append(updateBytes(16384, cdc.OldNone, nil, row("1", nil, nil)), 0), want: ErrTrailing},
	"delete trailing":        {data: append(deleteBytes(16384, cdc.OldKey, row("1", nil, nil)), 0), want: ErrTrailing},
	"begin trailing":         {outside: true, data: append(beginBytes(tx), 0), want: ErrTrailing},
	"commit trailing":        {data: append(commitBytes(tx), 0), want: ErrTrailing},
	"relation trailing":      {data: append(relationBytes(orders), 0), want: ErrTrailing},
	"type trailing":          {data: append(typeBytes(1, "a", "b"), 0), want: ErrTrailing},
	"truncate trailing":      {data: append(truncateBytes(0, 16384), 0), want: ErrTrailing},
	"message trailing":       {data: append(logicalBytes(LogicalMessage{}), 0), want: ErrTrailing},
	"origin trailing":        {data: append(originBytes(1, "a"), 0), want: ErrTrailing},
	"binary value":           {data: builder{'I'}.i32(16384).i8('N').i16(3).i8('b').i32(1).i8(1), want: ErrBinary},
	"unknown value":          {data: builder{'I'}.i32(16384).i8('N').i16(3).i8('x'), want: ErrUnknownByte},
	"old row of unchanged":   {data: updateBytes(16384, cdc.OldFull, row("1", unchanged{}, nil), row("1", nil, nil)), want: ErrUnchanged},
	"delete of unchanged":    {data: deleteBytes(16384, cdc.OldFull, row("1", unchanged{}, nil)), want: ErrUnchanged},
	"insert of an old row":   {data: builder{'I'}.i32(16384).row('O', row("1", nil, nil)), want: ErrUnknownByte},
	"update, no new row":     {data: builder{'U'}.i32(16384).row('K', row("1", nil, nil)).row('O', row("1", nil, nil)), want: ErrUnknownByte},
	"update, ends after old": {data: builder{'U'}.i32(16384).row('K', row("1", nil, nil)), want: ErrShort},
	"update, unknown marker": {data: builder{'U'}.i32(16384).i8('X'), want: ErrUnknownByte},
	"delete of a new row":    {data: builder{'D'}.i32(16384).row('N', row("1", nil, nil)), want: ErrUnknownByte},
	"truncate nothing":       {data: truncateBytes(0), want: ErrCount},
	"truncate below nothing": {data: builder{'T'}.i32(math.MaxUint32).i8(0), want: ErrNegative},
	"truncate far too many":  {data: builder{'T'}.i32(math.MaxInt32).i8(0).i32(16384), want: ErrCount},
	"truncate, unknown flag": {data: truncateBytes(4, 16384), want: ErrUnknownByte},
	"relation, no string":    {data: builder{'R'}.i32(1).bytes([]byte("public")), want: ErrShort},
	"relation, identity":     {data: relationBytes(&cdc.Table{OID: 1, Schema: "s", Name: "t", Identity: 'x'}), want: ErrUnknownByte},
	"relation, flags":        {data: builder{'R'}.i32(1).text("s").text("t").i8('d').i16(1).i8(2).text("c").i32(1).i32(1), want: ErrUnknownByte},
	"relation, negative":     {data: builder{'R'}.i32(1).text("s").text("t").i8('d').i16(0x8000), want: ErrNegative},
	"relation, far too many": {data: builder{'R'}.i32(1).text("s").text("t").i8('d').i16(0x7fff).i8(0).text("c").i32(1).i32(1), want: ErrCount},
	"message, unknown flag":  {data: builder{'M'}.i8(2).i64(1).text("p").i32(0), want: ErrUnknownByte},
	"message, negative":      {data: builder{'M'}.i8(1).i64(1).text("p").i32(math.MaxUint32), want: ErrNegative},
	"message, past the end":  {data: builder{'M'}.i8(1).i64(1).text("p").i32(math.MaxInt32).i8(1), want: ErrShort},
}

func TestWhatMakesNoSenseIsRefusedByName(t *testing.T) {
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			if c.outside {
				s.read(relationBytes(orders))
			} else {
				s = inOrders(t)
			}

			err := s.decoder.Decode(0x16_B374D848, c.data, &s.m)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var typed *Error
			if !errors.As(err, &typed) || typed.LSN != 0x16_B374D848 || len(c.data) > 0 && typed.Letter != c.data[0] {
				t.Errorf("got %#v: it does not say which message", err)
			}
			if s.m.Kind != 0 || s.m.Change.Table != nil || s.m.Table != nil {
				t.Errorf("half a message was left: %+v", s.m)
			}
		})
	}
}

// The decoder must not go on behind a message it could not read: the next acknowledgement would pass the loss for ever.
func TestAFailureIsFinal(t *testing.T) {
	s := inOrders(t)
	first := s.decoder.Decode(1, []byte{'X'}, &s.m)
	if first == nil {
		t.Fatal("no error")
	}
	if again := s.decoder.Decode(2, commitBytes(tx), &s.m); again != first {
		t.Errorf("got %v, want %v", again, first)
	}
}

func TestAnErrorSaysWhatWhereAndWhy(t *testing.T) {
	s := inOrders(t)
	err := s.decoder.Decode(0x16_B374D848, builder{'I'}.i32(16384).i8('N').i16(3).i8('t').i32(6).bytes([]byte("secret")).i8('b'), &s.m)
	want := `decode INSERT at 16/B374D848: column "note" of public.orders: the value is binary: the stream must be started with binary off`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("an error shows a value")
	}
}

// A count or length in a short message must not become a large allocation.
func TestAbsurdCountsAllocateNothing(t *testing.T) {
	for name, c := range refused {
		if c.want != ErrCount && c.want != ErrNegative && c.want != ErrShort && c.want != ErrColumnCount {
			continue
		}
		s := inOrders(t)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = s.decoder.Decode(1, c.data, &s.m)
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<10 {
			t.Errorf("%s: %d bytes", name, grown)
		}
	}
}
