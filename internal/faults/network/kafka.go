package network

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"sync"
)

// kafkaFraming reads the heads of requests (size int32, API key int16, version int16, correlation id int32) and of responses
// (size int32, correlation id int32).
type kafkaFraming struct {
	mu    sync.Mutex
	asked map[uint32]int16 // API keys by correlation id, of what is not answered yet
}

func newKafkaFraming() framing { return &kafkaFraming{asked: map[uint32]int16{}} }

func (f *kafkaFraming) next(from Side, r *bufio.Reader) (m Message, size int, err error) {
	length := 12
	if from == Server {
		length = 8
	}
	head, err := r.Peek(length)
	if err != nil {
		return m, 0, err
	}
	size = 4 + int(int32(binary.BigEndian.Uint32(head)))
	if size < length {
		return m, 0, fmt.Errorf("a kafka message of %d bytes has no head", size)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	m.From = from
	if from == Client {
		m.API = int16(binary.BigEndian.Uint16(head[4:]))
		f.asked[binary.BigEndian.Uint32(head[8:])] = m.API
		return m, size, nil
	}
	id := binary.BigEndian.Uint32(head[4:])
	api, known := f.asked[id]
	if !known {
		return m, 0, fmt.Errorf("a kafka response to the request %d, which was not sent", id)
	}
	delete(f.asked, id)
	m.API = api
	return m, size, nil
}
