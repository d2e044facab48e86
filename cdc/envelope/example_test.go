package envelope_test

import (
	"fmt"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/envelope"
)

// One plan serves every row of a table.
func ExamplePlan() {
	const bigint, numeric = 20, 1700
	orders := &cdc.Table{Schema: "public", Name: "orders", Identity: cdc.IdentityDefault, Columns: []cdc.Column{
		{Name: "id", Type: bigint, Modifier: -1, Identity: true},
		{Name: "amount", Type: numeric, Modifier: -1},
	}}
	stream := envelope.Stream{Name: "livedb", Database: "shop", Version: "0.1.0", Epoch: 1}
	plan, err := envelope.NewPlan(stream, orders, []string{"id"}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	row := cdc.Row{{State: cdc.Text, Text: []byte("7")}, {State: cdc.Text, Text: []byte("199.90")}}
	meta := &envelope.Meta{
		Tx:  cdc.Transaction{XID: 555, Commit: 24023200, Time: time.UnixMicro(1559033904863123)},
		LSN: 24023128, Seq: 1, Now: time.UnixMicro(1559033904863841),
	}

	// Keys and values go into one arena, one behind the other.
	arena, err := plan.AppendKey(nil, row)
	fmt.Println(string(arena), err)
	start := len(arena)
	arena, err = plan.AppendEvent(arena, meta, cdc.Insert, nil, cdc.OldNone, row)
	fmt.Println(err)

	// A reader finds it again.
	event, err := envelope.ParseEvent(arena[start:])
	fmt.Println(event.Kind(), event.Source.Seq, string(event.Before), string(event.After), err)

	// Output:
	// {"id":7} <nil>
	// <nil>
	// c 1 null {"id":7,"amount":"199.90"} <nil>
}
