//go:build unix

package faults

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/failpoint"
)

// asReader makes the test binary be the online reader, so that a round can kill it.
const asReader = "LIVEDB_TEST_AS_READER"

func TestMain(m *testing.M) {
	if os.Getenv(asReader) != "" && len(os.Args) == 4 {
		os.Exit(ReaderMain(os.Args[1], os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// One small round on the embedded Kafka: what it holds against each other must agree. The full run is a command.
func TestRound(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds livedb and kills it")
	}
	t.Setenv(asReader, "1") // of the children; this process has looked at it already
	program, err := Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	kafka, err := StartKafka(t.Context(), 0, log)
	if err != nil {
		t.Fatal(err)
	}
	defer kafka.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	plan := Plan{Round: 1, Seed: rand.Uint64(), Faults: Counts{CDC: 2, PostgresProcessor: 1, Processor: 1, Reader: 1}}
	t.Logf("seed %d", plan.Seed)
	stack := &Stack{Livedb: program, Reader: []string{self}, Kafka: kafka, Dir: t.TempDir(), Log: log, Out: t.Output()}
	result := stack.Run(t.Context(), plan)
	if result.Failure != "" {
		t.Fatal(result.Failure)
	}
	if left := plan.Faults.Without(result.Faults); left.Sum() > 0 || result.Events == 0 || result.Tables == 0 || result.Groups == 0 || result.Equalities == 0 {
		t.Errorf("left %s of %+v", left, result)
	}
}

// A reader that dies while it writes leaves a torn line, or transactions without the place after them: both are read again.
func TestTheReadersFileIsCutWhereItIsWhole(t *testing.T) {
	t.Parallel()
	const whole = `{"seen":{"epoch":1,"commit_lsn":"0/10","xid":7,"first":1,"last":3,"events":3,"digest":"ab"}}
{"saved":{"epoch":1,"seq":3,"first":1,"commit_lsn":"0/10","transaction":1,"entry":0,"offsets":{}}}
`
	for name, rest := range map[string]string{
		"whole":         "",
		"torn line":     `{"seen":{"epoch":1,"comm`,
		"without place": `{"seen":{"epoch":1,"commit_lsn":"0/20","xid":8,"first":4,"last":4,"events":1,"digest":"cd"}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seen")
			if err := os.WriteFile(path, []byte(whole+rest), 0o644); err != nil {
				t.Fatal(err)
			}
			file, seen, saved, err := openSeen(path)
			if err != nil {
				t.Fatal(err)
			}
			file.Close()
			if len(seen) != 1 || seen[0].Last != 3 || saved == nil || saved.Seq != 3 {
				t.Errorf("%+v, %+v", seen, saved)
			}
			if text, err := os.ReadFile(path); string(text) != whole || err != nil {
				t.Errorf("left %q, %v", text, err)
			}
		})
	}
	if _, _, _, err := parseSeen(strings.NewReader("{}x\n" + whole)); err == nil {
		t.Error("a broken line in the middle passed")
	}
}

// A run of several parts does each fault once: what is drawn for the rounds adds up to what was asked for.
func TestRoundsAddUp(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	totals := Counts{CDC: 17, Broker: 3, Pair: 5}
	path := filepath.Join(t.TempDir(), "state")
	for round := 1; ; round++ {
		results, err := ReadResults(path)
		if err != nil {
			t.Fatal(err)
		}
		left := totals.Without(Sum(results).Faults)
		if left.Sum() == 0 {
			if got := Sum(results); !reflect.DeepEqual(got.Faults, totals) || got.Round != 4 || got.Audit[audit.Missing] != 0 {
				t.Errorf("%+v", got)
			}
			return
		}
		if err := AppendResult(path, Result{Round: round, Faults: left.Draw(rng, 7)}); err != nil {
			t.Fatal(err)
		}
	}
}

// A round that failed counts nothing, and a line that was being written when the runner was killed is no round.
func TestAFailedRoundAndATornLineCountNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	for _, r := range []Result{{Round: 1, Faults: Counts{CDC: 2}}, {Round: 2, Faults: Counts{CDC: 9}, Failure: "lost"}} {
		if err := AppendResult(path, r); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString(`{"round":3,"fau`)
	}
	if err != nil || file.Close() != nil {
		t.Fatal(err)
	}
	results, err := ReadResults(path)
	if err != nil || len(results) != 2 || Sum(results).Faults[CDC] != 2 {
		t.Errorf("%+v, %v", results, err)
	}
	if table := Table(results); !strings.Contains(table, "2 FAILED") || !strings.Contains(table, "cdc 2") {
		t.Error(table)
	}
}

// A failpoint that no round hit proves nothing: the table says so. A round that failed does not count here either.
func TestTheTableNamesWhatWasNeverHit(t *testing.T) {
	t.Parallel()
	points := map[string]int{}
	for _, point := range slices.Concat(failpoint.CDC, failpoint.Process) {
		if point != failpoint.EpochBegun {
			points[string(point)] = 1
		}
	}
	if table := Table([]Result{{Round: 1, Points: points}}); strings.Contains(table, "never hit") {
		t.Error(table)
	}
	delete(points, string(failpoint.Heartbeat))
	delete(points, string(failpoint.PartCommitted))
	failed := Result{Round: 2, Points: map[string]int{string(failpoint.Heartbeat): 1}, Failure: "lost"}
	if table := Table([]Result{{Round: 1, Points: points}, failed}); !strings.HasSuffix(table, "\nnever hit: cdc.part-committed, cdc.heartbeat-committed\n") {
		t.Error(table)
	}
}
