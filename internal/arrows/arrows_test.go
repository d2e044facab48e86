package arrows

import (
	"slices"
	"strings"
	"testing"
)

// allowed lists which room may import which. A new arrow is a new line here: defend it in its review.
// cmd/livedb may import every room, and nobody imports cmd/livedb.
var allowed = [][2]string{
	// The words, and what is pure.
	{"cdc/pgoutput", "cdc"},
	{"cdc/envelope", "cdc"},

	// Left of Kafka.
	{"cdc/postgres", "cdc"},
	{"cdc/postgres", "cdc/pgoutput"},
	{"cdc/postgres", "internal/failpoint"},
	{"producer", "cdc"},
	{"producer", "cdc/envelope"},
	{"producer", "internal/failpoint"},
	{"producer", "internal/kafka"},
	{"producer", "internal/metrics"},
	{"internal/capture", "cdc"},
	{"internal/capture", "cdc/envelope"},
	{"internal/capture", "cdc/postgres"},
	{"internal/capture", "producer"},
	{"internal/capture", "internal/failpoint"},
	{"internal/capture", "internal/kafka"},
	{"internal/capture", "internal/metrics"},
	{"internal/capture", "internal/status"},
	// A replay is another way from the source to Kafka, besides capture's: by what both share, and none of capture.
	{"internal/replay", "cdc"},
	{"internal/replay", "cdc/envelope"},
	{"internal/replay", "cdc/postgres"},
	{"internal/replay", "producer"},
	{"internal/replay", "internal/kafka"},
	{"internal/replay", "internal/metrics"},

	// Right of Kafka.
	{"processor", "cdc"},
	{"processor", "cdc/envelope"},
	{"processor", "internal/failpoint"},
	{"processor", "internal/kafka"},
	{"processor", "internal/metrics"},
	{"processor", "internal/status"},
	{"ui", "cdc"},
	{"ui", "cdc/envelope"},
	{"ui", "processor"},
	{"ui", "internal/kafka"},
	{"ui", "internal/metrics"},
	{"ui", "internal/status"},

	// Beside the stream: what writes into the source. It shares the source's address and its refusals with cdc/postgres.
	{"internal/burst", "cdc"},
	{"internal/burst", "cdc/postgres"},
	{"internal/burst", "internal/burst/ledger"},
	{"internal/burst", "internal/metrics"},
	{"internal/burst", "internal/status"},
	{"internal/burst/ledger", "cdc"},
	{"internal/faults/workload", "cdc/postgres"},
	{"migrations", "cdc/postgres"},

	// Beside the stream on both sides: what proves it. It uses the words and the checkpoint of the stream, and none of its work.
	{"internal/audit", "cdc"},
	{"internal/audit", "cdc/envelope"},
	{"internal/audit", "cdc/postgres"},
	{"internal/audit", "producer"},
	{"internal/audit", "internal/audit/oracle"},
	{"internal/audit", "internal/kafka"},
	{"internal/audit", "internal/metrics"},
	{"internal/audit", "internal/status"},
	{"internal/audit/oracle", "cdc"}, // and neither cdc/pgoutput nor cdc/envelope: it is a second opinion on both

	// Above the left side: it looks at what the role cdc looks at before its start, and refuses nothing itself.
	{"internal/check", "cdc"},
	{"internal/check", "cdc/envelope"},
	{"internal/check", "cdc/postgres"},
	{"internal/check", "internal/capture"},
	{"internal/check", "internal/dial"},
	{"internal/check", "internal/kafka"},
	{"internal/check", "producer"},

	// Above everything, as the command is: it breaks the whole and looks at all of it.
	{"internal/faults", "cdc"},
	{"internal/faults", "cdc/envelope"},
	{"internal/faults", "compose/kafka"},
	{"compose/kafka", "internal/devstack"},
	{"compose/kafka/start", "compose/kafka"},
	{"compose/debezium", "compose/kafka"}, // for how jars are fetched
	{"compose/debezium", "internal/devstack"},
	{"internal/faults", "internal/audit"},
	{"internal/faults", "internal/devstack"},
	{"internal/faults", "internal/failpoint"},
	{"internal/faults", "internal/faults/workload"},
	{"internal/faults", "internal/kafka"},
	{"internal/faults", "processor"},
	{"internal/faults", "producer"},
	{"internal/faults/run", "internal/faults"},
	{"internal/neontest", "internal/devstack"},

	// Above everything too: it measures the roles as they are, on both sides of Kafka.
	{"internal/bench", "cdc"},
	{"internal/bench", "cdc/envelope"},
	{"internal/bench", "cdc/postgres"},
	{"internal/bench", "compose/debezium"},
	{"internal/bench", "internal/capture"},
	{"internal/bench", "internal/devstack"},
	{"internal/bench", "internal/kafka"},
	{"internal/bench", "internal/metrics"},
	{"internal/bench", "internal/status"},
	{"internal/bench", "processor"},
	{"internal/bench", "producer"},
	{"internal/bench", "ui"},

	// What both sides share. A connection is refused by a name, as everything else is.
	{"internal/status", "internal/kafka"},
	{"internal/kafka", "cdc"},
	{"internal/kafka", "internal/dial"},
	{"cdc/postgres", "internal/dial"},
}

var (
	leftOfKafka  = []string{"cdc/postgres", "cdc/pgoutput", "producer", "internal/capture", "internal/replay", "internal/burst", "migrations"}
	rightOfKafka = []string{"processor", "ui"}
)

// pure lists, for rooms that must stay free of the world, the only modules that they may import.
var pure = map[string][]string{
	"cdc":          {"github.com/jackc/pglogrepl"},
	"cdc/pgoutput": {"github.com/jackc/pglogrepl"},
	"cdc/envelope": {"github.com/jackc/pglogrepl"},
}

// world is what a pure room must not touch of the standard library.
var world = []string{"database/sql", "log", "log/slog", "net", "net/http", "os", "os/exec", "os/signal", "syscall"}

// arrows gives each room's imports of other rooms.
func arrows(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	for _, f := range sources(t) {
		for _, i := range f.imports {
			if to, ours := strings.CutPrefix(i, module); ours && !slices.Contains(imports[f.room], to) {
				imports[f.room] = append(imports[f.room], to)
			}
		}
	}
	return imports
}

func TestArrows(t *testing.T) {
	used := map[[2]string]bool{}
	for from, tos := range arrows(t) {
		for _, to := range tos {
			used[[2]string{from, to}] = true
			if to == "cmd/livedb" || from != "cmd/livedb" && !slices.Contains(allowed, [2]string{from, to}) {
				t.Errorf("%s imports %s, which no line of this test allows", from, to)
			}
		}
	}
	for _, arrow := range allowed {
		if !used[arrow] {
			t.Errorf("nothing needs the arrow %s -> %s any more: take it out of this test", arrow[0], arrow[1])
		}
	}
}

func TestKafkaIsTheOnlySeam(t *testing.T) {
	imports := arrows(t)
	for _, side := range [][2][]string{{leftOfKafka, rightOfKafka}, {rightOfKafka, leftOfKafka}} {
		for _, from := range side[0] {
			for _, to := range side[1] {
				if road := way(imports, from, to); road != nil {
					t.Errorf("rooms on both sides of Kafka meet: %s", strings.Join(road, " -> "))
				}
			}
		}
	}
}

// way gives a way from one room to another along imports, nil if there is none.
func way(imports map[string][]string, from, to string) []string {
	if from == to {
		return []string{to}
	}
	for _, next := range imports[from] {
		if road := way(imports, next, to); road != nil { // Go allows no cycles
			return append([]string{from}, road...)
		}
	}
	return nil
}

func TestPureRooms(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range sources(t) {
		modules, isPure := pure[f.room]
		if !isPure {
			continue
		}
		seen[f.room] = true
		for _, i := range f.imports {
			domain, _, _ := strings.Cut(i, "/")
			foreign := strings.Contains(domain, ".") && !strings.HasPrefix(i, module)
			if foreign && !slices.Contains(modules, i) {
				t.Errorf("%s imports %s: the room %s has only the standard library and %v", f.name, i, f.room, modules)
			}
			if slices.Contains(world, i) {
				t.Errorf("%s imports %s: the room %s is pure", f.name, i, f.room)
			}
		}
	}
	for room := range pure {
		if !seen[room] {
			t.Errorf("no file in %s", room)
		}
	}
}
