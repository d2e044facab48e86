package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// childSetting has the test binary run one replay, which a test can kill.
const childSetting = "LIVEDB_TEST_REPLAY"

type child struct {
	URL, Slot, Publication string
	Brokers                []string
	Prefix, ID, From, To   string
	Rate, Events           int
}

// runChild is the child's main: it tells how many events are written, a line each time, and last the result.
func runChild(setting string) int {
	var c child
	if err := json.Unmarshal([]byte(setting), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	result, err := Run(context.Background(), Config{Source: postgres.Config{URL: c.URL, Slot: c.Slot, Publication: c.Publication}, Kafka: kafka.Config{Brokers: c.Brokers}, Prefix: c.Prefix,
		Version: "test", ID: c.ID, From: c.From, To: c.To, Rate: c.Rate, Limits: producer.Limits{Events: c.Events},
		Metrics: metrics.NewReplay(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler), Progress: func(p Progress) { fmt.Println(p.Done) }})
	text, _ := json.Marshal(result) // it can be written as JSON
	fmt.Printf("%s\n", text)
	if memory, err := os.ReadFile("/proc/self/status"); err == nil { // what the parent could ask for counts its own memory too
		_, peak, _ := strings.Cut(string(memory), "VmHWM:")
		peak, _, _ = strings.Cut(peak, "\n")
		fmt.Println("VmHWM", peak)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child runs a replay in a process of its own. told is called with the number of events written, and may kill the process;
// there is no result then.
func (r *rig) child(c Config, told func(done uint64, kill func())) (*Result, error) {
	r.t.Helper()
	setting, err := json.Marshal(child{URL: c.Source.URL, Slot: c.Source.Slot, Publication: c.Source.Publication, Brokers: c.Kafka.Brokers, Prefix: c.Prefix,
		ID: c.ID, From: c.From, To: c.To, Rate: c.Rate, Events: c.Limits.Events})
	if err != nil {
		r.t.Fatal(err)
	}
	command := exec.CommandContext(r.t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childSetting+"="+string(setting))
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		r.t.Fatal(err)
	}
	result := &Result{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var done uint64
		if _, err := fmt.Sscan(strings.TrimPrefix(lines.Text(), "VmHWM"), &done); err == nil && strings.HasPrefix(lines.Text(), "VmHWM") {
			r.peak = done >> 10
			continue
		}
		if json.Unmarshal(lines.Bytes(), result) == nil && result.Prefix != "" {
			continue
		}
		if _, err := fmt.Sscan(lines.Text(), &done); err == nil && told != nil {
			told(done, func() {
				if err := command.Process.Kill(); err != nil {
					r.t.Error(err)
				}
			})
		}
	}
	if err := command.Wait(); err != nil {
		return result, fmt.Errorf("the replay ended with %w: %s", err, said.String())
	}
	return result, nil
}

// runKilled kills a replay with SIGKILL once so many events are written; it reports false if the replay was finished before.
func (r *rig) runKilled(c Config, at uint64) (killed bool) {
	r.t.Helper()
	_, err := r.child(c, func(done uint64, kill func()) {
		if done >= at && !killed {
			killed = true
			kill()
		}
	})
	if err != nil && !killed {
		r.t.Fatal(err)
	}
	return killed && err != nil
}

// A replay that is killed goes on where it stopped, in the middle of a large transaction too, and writes each event once.
func TestLongAKilledReplayGoesOnExactlyOnce(t *testing.T) {
	long(t)
	t.Parallel()
	r := newRig(t, devstack.SharedPostgres(t), "CREATE TABLE a (id int PRIMARY KEY, v text)", "ALTER TABLE a REPLICA IDENTITY FULL")
	r.config.Limits.Events = 300
	r.start()
	r.exec("INSERT INTO a SELECT i, 'x' FROM generate_series(1, 5000) i")
	for i := range 50 {
		r.exec(fmt.Sprintf("UPDATE a SET v = 'y', id = -id WHERE id BETWEEN %d AND %d", i*10+1, i*10+10))
	}
	r.exec("DELETE FROM a WHERE id > 2500")
	r.delivered()
	all := r.transactions()
	last := all[len(all)-1].Last

	c := r.replay("killed", all[0].Commit.String(), "")
	c.Rate, c.Limits.Events = 8000, 70
	kills := 0
	for at := uint64(1000); r.runKilled(c, at); at += 1700 {
		kills++
	}
	if kills < 3 {
		t.Errorf("%d kills", kills)
	}
	r.same("killed", 1, last)
	result := r.run(c)
	if result.State != Finished || result.Written != 0 || result.Done != last {
		t.Errorf("after %d kills: %+v", kills, result)
	}
}

// large is a stream with one transaction that takes a replay seconds, at the rate that the replay is given.
func large(t *testing.T, server *devstack.Postgres) (*rig, Config) {
	t.Helper()
	r := newRig(t, server, "CREATE TABLE a (id int PRIMARY KEY, v text)")
	r.start()
	r.exec("INSERT INTO a SELECT i, 'x' FROM generate_series(1, 15000) i")
	r.delivered()
	c := r.replay("large", r.transactions()[0].Commit.String(), "")
	c.Rate, c.Limits.Events = 5000, 100
	return r, c
}

// interrupt runs a replay and does something to it once it has written something.
func (r *rig) interrupt(c Config, do func()) (*Result, error) {
	r.t.Helper()
	written, told := make(chan struct{}), false
	c.Progress = func(p Progress) {
		if p.Done > 1000 && !told {
			told = true
			close(written)
		}
	}
	type end struct {
		result *Result
		err    error
	}
	ended := make(chan end, 1)
	go func() {
		result, err := Run(r.t.Context(), c)
		ended <- end{result, err}
	}()
	select {
	case <-written:
		do()
	case e := <-ended:
		r.t.Fatalf("it ended early: %+v, %v", e.result, e.err)
	}
	e := <-ended
	return e.result, e.err
}

// A walsender that ends takes the temporary slot with it: the replay ends with the reason, and goes on with its id.
func TestTheEndOfTheWalsenderIsSurfaced(t *testing.T) {
	t.Parallel()
	r, c := large(t, devstack.SharedPostgres(t))
	result, err := r.interrupt(c, func() {
		r.exec("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE temporary AND active AND database = current_database()")
	})
	if err == nil || result.State != Running || !strings.Contains(err.Error(), "terminating connection") && !strings.Contains(err.Error(), "replication connection broke") {
		t.Errorf("got %+v, %v", result, err)
	}
	r.await("SELECT NOT EXISTS (SELECT FROM pg_replication_slots WHERE temporary AND database = current_database())")
	c.Rate = 0
	r.run(c)
	r.same(c.ID, 1, 15_000)
}

// The source can stop fast while it replays, though most of what it would send has not been read yet, and the replay goes
// on when it is back. So does one whose Kafka went away.
func TestLongTheSourceStopsFastWhileItReplays(t *testing.T) {
	long(t)
	t.Parallel()
	server := devstack.TestPostgres(t)
	r, c := large(t, server)
	r.exec("INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(100000, 115000) i") // which a walsender would have to send first
	r.delivered()
	var took time.Duration
	result, err := r.interrupt(c, func() {
		r.conn.Close(context.Background())
		began := time.Now()
		if err := server.Restart(t.Context(), devstack.StopFast, func() error { took = time.Since(began); return nil }); err != nil {
			t.Error(err)
		}
	})
	if !errors.Is(err, postgres.ErrSourceEnds) || result.State != Running {
		t.Errorf("got %+v, %v", result, err)
	}
	if took > 5*time.Second {
		t.Errorf("the source took %s to stop", took)
	}
	t.Logf("stopped in %s", took)
	c.Rate = 0
	r.run(c)
	r.same(c.ID, 1, result.Events)
}

// Two runs of one replay at a time: the later one takes over, and the earlier one says so.
func TestLongALaterRunTakesOver(t *testing.T) {
	long(t)
	t.Parallel()
	r, c := large(t, devstack.SharedPostgres(t))
	_, err := r.interrupt(c, func() {
		c.Rate = 0
		r.run(c)
	})
	if !errors.Is(err, errAnother) {
		t.Errorf("the earlier one ended with %v", err)
	}
	r.same(c.ID, 1, 15_000)
}
