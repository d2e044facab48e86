package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/google/go-cmp/cmp"

	"github.com/livedb/livedb/cdc/envelope"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, -1}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median of %v: got %g, want %g", c.values, got, c.want)
		}
	}
	if got, want := *spread([]float64{2, 8, 4}), (Spread{Median: 4, Min: 2, Max: 8}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTurnsAreReversedEveryOtherTime(t *testing.T) {
	for repetition, want := range [][]int{{0, 1, 2}, {2, 1, 0}, {0, 1, 2}, {2, 1, 0}} {
		if got := turns(3, repetition); !slices.Equal(got, want) {
			t.Errorf("repetition %d: got %v, want %v", repetition, got, want)
		}
	}
}

// Ratios are of runs of the same repetition. What is not known gives none.
func TestRatios(t *testing.T) {
	value := func(r Run) float64 { return r.WalsenderCPU }
	runs := func(values ...float64) (all []Run) {
		for i, v := range values {
			all = append(all, Run{Repetition: i, Figures: Figures{WalsenderCPU: v}})
		}
		return all
	}
	if diff := cmp.Diff(&Spread{Median: 2, Min: 1, Max: 3}, ratios(runs(10, 40, 30, -1), runs(10, 20, 10, 5), value)); diff != "" {
		t.Error(diff)
	}
	for _, others := range [][]Run{nil, runs(-1, -1), runs(0, 0)} {
		if got := ratios(runs(1, 2), others, value); got != nil {
			t.Errorf("beside %v: %+v", others, got)
		}
	}
}

func TestTheNoiseRule(t *testing.T) {
	began := time.Now()
	from := machineTime{busy: 100, cores: 2, at: began}
	to := machineTime{busy: 103, cores: 2, at: began.Add(2 * time.Second)}
	for _, c := range []struct {
		explained, share float64
		noisy            bool
	}{{3, 0, false}, {2.7, .075, false}, {2.5, .125, true}, {0, .75, true}, {3.5, 0, false}} { // the clocks of the kernel do not agree to the tick
		if got := unexplained(from, to, c.explained); got < c.share-1e-9 || got > c.share+1e-9 || tooNoisy(got) != c.noisy {
			t.Errorf("%g s explained: %g, noisy %v", c.explained, got, tooNoisy(got))
		}
	}
	if got := unexplained(machineTime{}, machineTime{at: began}, 1); got >= 0 || tooNoisy(got) {
		t.Errorf("without /proc: %g", got)
	}
}

// The quietest of the tries counts; a quiet one ends them, and an error does.
func TestANoisyRunIsRepeated(t *testing.T) {
	script := func(shares ...float64) func(int, Run) (Run, error) {
		return func(try int, last Run) (Run, error) {
			if try > 1 && last.Unexplained != shares[try-2] {
				return Run{}, fmt.Errorf("try %d was told of %g", try, last.Unexplained)
			}
			return Run{Unexplained: shares[try-1]}, nil
		}
	}
	for _, c := range []struct {
		shares []float64
		want   Run
	}{
		{[]float64{.05}, Run{Unexplained: .05, Tries: 1}},
		{[]float64{-1}, Run{Unexplained: -1, Tries: 1}},
		{[]float64{.5, .3, .02}, Run{Unexplained: .02, Tries: 3}},
		{[]float64{.5, .2, .3}, Run{Unexplained: .2, Tries: 3, Noisy: true}},
	} {
		if got, err := quietest(3, script(c.shares...)); err != nil || got != c.want {
			t.Errorf("%v: %+v, %v", c.shares, got, err)
		}
	}
	broken := errors.New("broken")
	if _, err := quietest(3, func(int, Run) (Run, error) { return Run{}, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestParseProcess(t *testing.T) {
	text := "4242 (a (strange) name) S 17 4242 4242 0 -1 4194560 100 0 0 0 250 50 30 20 20 0 1 0 123 456 789"
	got, ok := parseProcess(text)
	if want := (process{name: "a (strange) name", parent: 17, own: 3, reaped: .5}); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, damaged := range []string{"", "1", "1 (x", "1 (x) S 1 2 3", ")(", "1 (x) S 1 1 1 0 -1 4 1 0 0 0"} {
		if p, ok := parseProcess(damaged); ok {
			t.Errorf("%q was read as %+v", damaged, p)
		}
	}
}

func TestListening(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:2383 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0
   1: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0
   2: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0
`
	for port, want := range map[uint16]string{0x2383: "socket:[333]", 0x2384: "socket:[222]", 0x9C40: ""} {
		if got := listening(bufio.NewScanner(strings.NewReader(table)), port); got != want {
			t.Errorf("port %x: got %q, want %q", port, got, want)
		}
	}
}

// A given Kafka on this machine is found by who listens: here the embedded one, as a process of its own.
func TestTheProcessOfAGivenBrokerIsFound(t *testing.T) {
	b, err := startBroker(t.Context(), testCommand)
	if err != nil {
		t.Fatal(err)
	}
	defer b.stop()
	found, err := givenBroker(context.Background(), b.brokers)
	if err != nil || found != nil && !slices.Equal(found.pids, b.pids) {
		t.Errorf("found %+v where %v listens, %v", found, b.pids, err)
	}
}

func TestTally(t *testing.T) {
	header := func(key, value string) []*sarama.RecordHeader {
		return []*sarama.RecordHeader{{Key: []byte("other")}, {Key: []byte(key), Value: []byte(value)}}
	}
	y := newTally(3)
	for _, c := range []struct {
		headers []*sarama.RecordHeader
		wrong   string
	}{
		{header(envelope.HeaderSeq, "3"), ""}, {header(envelope.HeaderSeq, "1"), ""},
		{header(envelope.HeaderSeq, "3"), "the seq 3 comes twice"}, {header(envelope.HeaderSeq, "4"), "the load ends at 3"},
		{header(envelope.HeaderSeq, "x"), "not a seq"}, {header("none", "1"), "no header"},
	} {
		if err := y.add(c.headers); (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", c.headers[1].Value, err)
		}
	}
	if y.count != 2 {
		t.Errorf("%d were counted", y.count)
	}
}

func TestChooseRefuses(t *testing.T) {
	for _, names := range [][]string{{"nobody"}, {partKafka, partNothing, partKafka}} {
		if _, _, err := Choose(names, nil, "", nil); err == nil {
			t.Errorf("%q were chosen", names)
		}
	}
	if _, err := ChooseShapes([]string{"a", "d"}); err == nil {
		t.Error("shape d was chosen")
	}
}

func TestPasswordsStayOutOfTheCommandLine(t *testing.T) {
	dsn, password := withoutPassword("postgres://ann:hun%26ter@db.example.com:5432/shop?sslmode=require")
	if dsn != "postgres://ann@db.example.com:5432/shop?sslmode=require" || password != "hun&ter" {
		t.Errorf("%s, %s", dsn, password)
	}
}
