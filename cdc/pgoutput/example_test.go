package pgoutput_test

import (
	"encoding/hex"
	"fmt"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/pgoutput"
)

// A transaction of one insert, as a server sent it.
func ExampleDecoder() {
	stream := []struct {
		lsn cdc.LSN
		hex string
	}{
		{0xc079100, "42000000000c0791800003023865e4ae9000000415"},
		{0, "520000439270" + "75626c696300" + "7400" + "64" + "0001" + "01" + "696400" + "00000017" + "ffffffff"},
		{0xc079100, "49000043924e0001740000000132"},
		{0xc0791b0, "4300000000000c079180000000000c0791b00003023865e4ae90"},
	}

	decoder := pgoutput.NewDecoder()
	var m pgoutput.Message
	for _, message := range stream {
		data, _ := hex.DecodeString(message.hex)
		if err := decoder.Decode(message.lsn, data, &m); err != nil {
			fmt.Println(err) // and stop: the decoder is done
			return
		}
		switch m.Kind {
		case pgoutput.Begin:
			fmt.Println("begin", m.Tx.XID, m.Tx.Commit)
		case pgoutput.Row:
			fmt.Printf("%s %s %s=%s\n", m.Change.Op, m.Change.Table, m.Change.Table.Columns[0].Name, m.Change.New[0].Text)
		case pgoutput.Commit:
			fmt.Println("commit", m.Tx.XID, "acknowledge", m.Tx.End)
		}
	}
	// Output:
	// begin 1045 0/C079180
	// c public.t id=2
	// commit 1045 acknowledge 0/C0791B0
}
