package producer

import "testing"

// The hashes are those that Kafka's own tests hold its murmur2 to (UtilsTest.testMurmur2).
func TestMurmur2AgreesWithKafka(t *testing.T) {
	for text, want := range map[string]int32{
		"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
		"a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971, "abc": 479470107,
	} {
		if got := int32(murmur2([]byte(text))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestPartitionIsNeverNegative(t *testing.T) {
	if got := partition([]byte("foobar"), 4); got < 0 || got > 3 { // its hash is negative
		t.Errorf("partition = %d, want 0 to 3", got)
	}
}
