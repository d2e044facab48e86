package postgres

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/livedb/livedb/cdc"
)

// What ends a stream is named by what no server translates.
func TestTheEndOfAStreamIsNamedInAnyLanguage(t *testing.T) {
	for _, s := range []struct {
		says pgproto3.ErrorResponse
		name string
	}{
		{pgproto3.ErrorResponse{Code: "58P01", Message: "requested WAL segment 000000010000000000000003 has already been removed"}, "slot_wal_lost"},
		{pgproto3.ErrorResponse{Code: "58P01", Message: "das angeforderte WAL-Segment 000000010000000000000003 wurde schon entfernt", Routine: "WalSndSegmentOpen"}, "slot_wal_lost"},
		{pgproto3.ErrorResponse{Code: "58P01", Message: "konnte Datei nicht öffnen", Routine: "BasicOpenFilePerm"}, ""},
		{pgproto3.ErrorResponse{Code: "55000", Message: "kann nicht mehr aus dem Slot lesen"}, "slot_wal_lost"},
		{pgproto3.ErrorResponse{Code: "42704", Message: "Publikation existiert nicht"}, "slot_or_publication_missing"},
	} {
		err := streamError(pgError(&s.says), Config{Slot: "s"})
		var refusal *cdc.Refusal
		if named := errors.As(err, &refusal); named != (s.name != "") || named && refusal.Name != s.name {
			t.Errorf("%s: %v, want %s", s.says.Message, err, s.name)
		}
	}
}
