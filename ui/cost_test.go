package ui_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/ui"
)

// TestCost prints what the role costs: CPU and memory of a process of its own that reads a stream at a rate, without a
// page, with one and with four.
//
//	LIVEDB_UI_COST=5000 go test ./ui -run TestCost -v
func TestCost(t *testing.T) {
	if brokers := os.Getenv("LIVEDB_UI_COST_CHILD"); brokers != "" {
		runChild(t, brokers)
		return
	}
	rate, err := strconv.ParseFloat(os.Getenv("LIVEDB_UI_COST"), 64)
	if err != nil {
		t.Skip("set LIVEDB_UI_COST to a rate in rows a second to measure what the role costs")
	}
	_, brokers := newKafka(t)
	s := newStream(t, brokers, "livedb")
	s.create("public.orders", "public.order_items", "public.customers")

	child := exec.Command(os.Args[0], "-test.run=TestCost$", "-test.v")
	child.Env = append(os.Environ(), "LIVEDB_UI_COST_CHILD="+strings.Join(brokers, ","))
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Kill(); child.Wait() })
	d := &dashboard{}
	for lines := bufio.NewScanner(out); d.url == "" && lines.Scan(); {
		if _, url, found := strings.Cut(lines.Text(), "serves "); found {
			d.url = url
		}
	}
	go io.Copy(io.Discard, out)
	d.reading(t)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go newShop(s, rate).run(ctx)
	time.Sleep(5 * time.Second)

	pages := 0
	for _, want := range []int{0, 1, 4} {
		for ; pages < want; pages++ {
			go watch(ctx, d.url)
		}
		time.Sleep(2 * time.Second)
		const span = 15 * time.Second
		events, cpu := readEvents(t, d.url), cpuOf(t, child.Process.Pid)
		time.Sleep(span)
		events, cpu = readEvents(t, d.url)-events, cpuOf(t, child.Process.Pid)-cpu
		t.Logf("%d pages: %.0f events/s read with %.1f %% of one core, resident %s",
			want, float64(events)/span.Seconds(), 100*cpu.Seconds()/span.Seconds(), residentOf(child.Process.Pid))
	}
}

func runChild(t *testing.T, brokers string) {
	l, err := ui.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("serves http://%s/\n", l.Addr())
	if err := ui.Run(context.Background(), ui.Config{Kafka: kafka.Config{Brokers: strings.Split(brokers, ",")}, Prefix: "livedb", Listener: l}); err != nil {
		t.Fatal(err)
	}
}

func watch(ctx context.Context, url string) {
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url+"api/v1/stream", nil)
	if answer, err := http.DefaultClient.Do(r); err == nil {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

func readEvents(t *testing.T, url string) uint64 {
	t.Helper()
	answer, err := http.Get(url + "api/v1/status")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	_, after, _ := strings.Cut(string(body), `"total":`)
	number, _, _ := strings.Cut(after, ",")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// cpuOf reads a process's CPU time, from a file that Linux has.
func cpuOf(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("skipped: this machine does not tell a process's CPU time in /proc")
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func residentOf(pid int) string {
	state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(state), "VmRSS:")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}
