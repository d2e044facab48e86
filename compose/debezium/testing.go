package debezium

import (
	"log/slog"
	"os"
	"testing"
)

// Require fetches what Start needs. It takes Java, Maven and some time, so the test is skipped unless LIVEDB_REQUIRE_KAFKA is
// set, as those with Apache Kafka are.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv("LIVEDB_REQUIRE_KAFKA") == "" {
		t.Skip("LIVEDB_REQUIRE_KAFKA=1 runs this with Debezium, which takes Java 17 and Maven")
	}
	if err := Fetch(t.Context(), slog.New(slog.NewTextHandler(t.Output(), nil))); err != nil {
		t.Fatal(err)
	}
}
