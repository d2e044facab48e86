package kafka

import (
	"errors"
	"testing"

	"github.com/livedb/livedb/cdc"
)

func TestCompressionsThatThereAre(t *testing.T) {
	for _, name := range []string{"", "none", "gzip", "snappy", "lz4", "zstd"} {
		if err := (Config{Brokers: []string{"localhost:9092"}, Compression: name}).Check(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	var refusal *cdc.Refusal
	if err := (Config{Brokers: []string{"localhost:9092"}, Compression: "lzma"}).Check(); !errors.As(err, &refusal) || refusal.Name != "compression_malformed" {
		t.Errorf("%v", err)
	}
}
