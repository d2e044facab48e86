package network_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/livedb/livedb/internal/faults/network"
)

// postgresTalk is a server that answers a startup message with an authentication, a query with a stream of a transaction,
// and tells of each status.
func postgresTalk() func(io.Reader) (string, []byte, error) {
	begun := false
	return func(r io.Reader) (string, []byte, error) {
		kind := []byte("startup")
		if begun {
			kind = kind[:1]
			if _, err := io.ReadFull(r, kind); err != nil {
				return "", nil, err
			}
		}
		begun = true
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return "", nil, err
		}
		body := make([]byte, binary.BigEndian.Uint32(length[:])-4)
		if _, err := io.ReadFull(r, body); err != nil {
			return "", nil, err
		}
		switch string(kind) {
		case "startup":
			return "startup", typed('R', 0, 0, 0, 0), nil
		case "Q":
			var stream []byte
			for _, message := range "BIIC" {
				head := append([]byte{'w'}, make([]byte, 24)...)
				stream = append(stream, typed('d', append(head, byte(message))...)...)
			}
			return "query", append(stream, typed('d', append([]byte{'k'}, make([]byte, 17)...)...)...), nil
		}
		return string(kind) + string(body[:1]), nil, nil
	}
}

func typed(kind byte, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// Statuses vanish and the stream goes on; the third message of the stream is where it breaks.
func TestMessagesOfPostgresAreToldApart(t *testing.T) {
	s := serve(t, postgresTalk())
	d := network.NewPostgres(1)
	t.Cleanup(d.Close)
	swallowed := d.Inject(network.Fault{Match: network.Type(network.Status), Action: network.Drop, Times: network.Always})
	other := d.Inject(network.Fault{Match: network.Of("other", network.Type(network.XLogData)), Action: network.Watch})
	d.Inject(network.Fault{Match: network.Of("live", network.Type(network.Insert)), Action: network.CutAfter, Skip: 1})
	keepalive := d.Inject(network.Fault{Match: network.Type(network.Keepalive), Action: network.Watch})
	c, err := d.Dial(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	write := func(message []byte) { c.Write(message) } // an error shows in what is read
	write(append(binary.BigEndian.AppendUint32(nil, 9), 0, 3, 0, 0, 0))
	if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
		t.Fatal(err)
	}
	write(typed('d', append([]byte{'r'}, make([]byte, 33)...)...))
	write(typed('d', append([]byte{'x'}, make([]byte, 33)...)...))
	write(typed('Q', []byte("START_REPLICATION SLOT \"live\" LOGICAL 0/0\x00")...))
	stream, _ := io.ReadAll(c)
	var kinds []byte
	for one := range bytes.SplitSeq(stream, typed('d', 'w')[:1]) {
		if len(one) == 30 {
			kinds = append(kinds, one[29])
		}
	}
	if string(kinds) != "BII" {
		t.Errorf("received %q, in %d bytes", kinds, len(stream))
	}
	s.expect(t, "startup", "dx", "query")
	await(t, "the swallowed status", swallowed.Fired())
	select {
	case <-keepalive.Fired():
		t.Error("the keepalive behind the cut was seen")
	case <-other.Fired():
		t.Error("the stream was taken for another slot's")
	default:
	}
}
