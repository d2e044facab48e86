package envelope

import (
	"testing"

	"github.com/livedb/livedb/cdc"
)

func TestParseEvent(t *testing.T) {
	plan := newPlan(t, orders('d'), "id")
	value, err := plan.AppendEvent(nil, sampleMeta(), cdc.Insert, nil, cdc.OldNone, before)
	if err != nil {
		t.Fatal(err)
	}
	event, err := ParseEvent(value)
	if err != nil {
		t.Fatal(err)
	}
	want := Source{
		Schema: "public", Table: "orders", TxID: 555, TsUS: 1559033904863123,
		LSN: 24023128, Commit: 24023200, Seq: 1041, Epoch: 3,
	}
	if event.Source != want || event.Kind() != cdc.Insert || event.TsUS != 1559033904863841 || string(event.Before) != "null" {
		t.Errorf("got %+v", event)
	}
}

func TestParseEventRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"a tombstone":           ``,
		"null":                  `null`,
		"no JSON":               `{`,
		"no event":              `{"id":1}`,
		"an event without seq":  `{"op":"c","source":{"lsn":1}}`,
		"a long op":             `{"op":"cc","source":{"seq":1}}`,
		"a seq that is no seq":  `{"op":"c","source":{"seq":-1}}`,
		"a seq with a fraction": `{"op":"c","source":{"seq":1.5}}`,
	} {
		if event, err := ParseEvent([]byte(value)); err == nil {
			t.Errorf("%s: got %+v", name, event)
		}
	}
}

func TestParseSeq(t *testing.T) {
	if seq, err := ParseSeq([]byte("18446744073709551615")); err != nil || seq != 1<<64-1 {
		t.Errorf("got %d, %v", seq, err)
	}
	for _, header := range []string{"", "0", "-1", "+1", "1.0", "1e3", "0x1", " 1", "18446744073709551616"} {
		if seq, err := ParseSeq([]byte(header)); err == nil {
			t.Errorf("%q: got %d", header, seq)
		}
	}
}
