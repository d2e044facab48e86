package capture_test

import (
	"testing"

	"github.com/livedb/livedb/internal/capture"
)

// Who wants no replay window has no replay slot, also where there was one; the stream goes on.
func TestWithoutAReplayWindowThereIsNoReplaySlot(t *testing.T) {
	t.Parallel()
	b := begun(t, newBench(t))
	replay := "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '" + b.config.Source.Slot + "_replay')"
	b.await(replay)
	b.config.Window = capture.Window{Off: true}
	stop := b.start()
	b.awaitSlot()
	b.await("SELECT NOT (" + replay + ")")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	stop = b.start() // without a witness
	b.awaitSlot()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
