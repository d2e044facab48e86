package ui

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/cdc/envelope"
)

func TestAGapOfTheStreamIsInTheTailAndInTheFlow(t *testing.T) {
	m := newModel("livedb", nil)
	m.event(item(1, "c", "orders"), true, noon)
	m.renew(&envelope.Gap{EpochTo: 2, From: envelope.GapFrom{End: 0x100}, To: &envelope.GapTo{LSN: 0x1100, Time: noon}, Why: envelope.GapWhy{Name: "slot_wal_lost"}})
	m.event(item(1, "c", "orders"), false, noon) // not a restart: the page knows
	var got []string
	for _, e := range m.ring.all() {
		if e.gap != nil {
			got = append(got, string(e.json()))
		} else {
			got = append(got, fmt.Sprint(e.seq))
		}
	}
	const want = `1 {"gap":{"missed":0,"why":"epoch","lost":{"epoch":2,"from_lsn":"0/100","to_lsn":"0/1100","ts_us":1795348800000000,"why":"slot_wal_lost"}}} 1`
	if strings.Join(got, " ") != want {
		t.Errorf("the ring holds %s", got)
	}
	m.tick(noon.Add(time.Second), 4)
	var flow struct {
		Read struct{ Lost *lost }
	}
	if err := json.Unmarshal(m.frames.Load().flow, &flow); err != nil || flow.Read.Lost == nil || flow.Read.Lost.Epoch != 2 {
		t.Errorf("the flow tells of %+v (%v)", flow.Read.Lost, err)
	}
}
