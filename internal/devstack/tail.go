package devstack

import (
	"bytes"
	"sync"
)

// tailBytes is how much of a server's log is kept.
const tailBytes = 64 << 10

// tail keeps the last lines written to it, so that an error can quote them and a long run cannot fill anything.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Write keeps p and forgets what is too old.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*tailBytes {
		t.buf = append(t.buf[:0], lastBytes(t.buf, tailBytes)...)
	}
	return len(p), nil
}

// String gives the last tailBytes at most, beginning with a whole line.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimRight(lastBytes(t.buf, tailBytes), "\n"))
}

// contains reports whether any of the texts stands in what is kept.
func (t *tail) contains(texts ...string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, text := range texts {
		if bytes.Contains(t.buf, []byte(text)) {
			return true
		}
	}
	return false
}

func lastBytes(buf []byte, size int) []byte {
	if len(buf) <= size {
		return buf
	}
	buf = buf[len(buf)-size:]
	if i := bytes.IndexByte(buf, '\n'); i >= 0 {
		buf = buf[i+1:]
	}
	return buf
}
