package envelope

import (
	"strings"
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
	if op := LastOp(value); op != cdc.Insert {
		t.Errorf("op %q in %s", op, value)
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

func TestLastOpTakesNothingElse(t *testing.T) {
	const end = `,"op":"c","ts_ms":1,"ts_us":2,"ts_ns":3}`
	if op := LastOp([]byte(`{"after":null` + end)); op != cdc.Insert {
		t.Errorf("op %q", op)
	}
	for _, value := range []string{"", "}", end[1:], `,"op":"`, end + " ", strings.Replace(end, "3", "", 1), strings.Replace(end, "3", "-3", 1),
		strings.Replace(end, "2", "x", 1), strings.Replace(end, "c", "", 1), strings.Replace(end, "c", `\`, 1), strings.Replace(end, "c", "cc", 1), strings.Replace(end, "op", "xp", 1)} {
		if op := LastOp([]byte(value)); op != 0 {
			t.Errorf("%s: op %q", value, op)
		}
	}
}
