package kafka

import (
	"context"
	"log/slog"
	"os"
	"testing"
)

// Require fetches what Start needs. It takes Java, Maven and some time, so the test is skipped unless LIVEDB_REQUIRE_KAFKA is
// set.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv("LIVEDB_REQUIRE_KAFKA") == "" {
		t.Skip("LIVEDB_REQUIRE_KAFKA=1 runs this with Apache Kafka, which takes Java 17 and Maven")
	}
	if err := Fetch(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
}

// TestCluster starts a cluster of the test's own, as far as Require lets it, and closes it when the test ends.
func TestCluster(t testing.TB, config Config) *Cluster {
	t.Helper()
	Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), readyLimit)
	defer cancel()
	c, err := Start(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for id := range len(c.Brokers()) {
				t.Logf("log of kafka's node %d:\n%s", id+1, c.Log(id+1))
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
