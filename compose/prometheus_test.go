package compose

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A real Prometheus runs our scrape config as it stands, with only the targets file exchanged for one that names a running
// demo. It must find the demo up and its counters growing, and understand every query of the Grafana dashboard.
func TestPrometheusReadsTheDemo(t *testing.T) {
	prometheus := findPrometheus(t)
	demo := startDemo(t)
	api := startPrometheus(t, prometheus, demo)

	await(t, "up is 1", func() bool { return number(t, api, `up{job="livedb"}`) == 1 })
	const events = "sum(livedb_cdc_events_total)"
	first := 0.0
	await(t, "events arrive", func() bool { first = number(t, api, events); return first > 0 })
	await(t, "events grow", func() bool { return number(t, api, events) > first })

	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			query(t, api, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
		}
	}
}

// findPrometheus gives the program to test with. LIVEDB_TEST_PROMETHEUS makes the test obligatory; it may be the program's
// path, or 1 for the one in PATH.
func findPrometheus(t *testing.T) string {
	t.Helper()
	name := os.Getenv("LIVEDB_TEST_PROMETHEUS")
	required := name != ""
	if name == "" || name == "1" {
		name = "prometheus"
	}
	path, err := exec.LookPath(name)
	switch {
	case err != nil && required:
		t.Fatalf("LIVEDB_TEST_PROMETHEUS asks for it: %v", err)
	case err != nil:
		t.Skip("no prometheus on this machine: install the package prometheus to run this test")
	case !required && testing.Short():
		t.Skip("starts a demo and a Prometheus; left out with -short")
	}
	return path
}

// startDemo gives the address where a demo serves /metrics.
func startDemo(t *testing.T) string {
	t.Helper()
	demo := command(t, binary(t), "demo", "--listen", "127.0.0.1:0", "--rate", "200")
	dashboard := regexp.MustCompile(`dashboard\s+http://(\S+)`)
	address := make(chan string, 1)
	demo.Stderr = &lines{each: func(line string) {
		t.Log("demo:", line)
		if found := dashboard.FindStringSubmatch(line); found != nil {
			address <- found[1]
		}
	}}
	ended := start(t, demo)

	select {
	case found := <-address:
		return found
	case <-ended:
		t.Fatal("the demo ended before it served a dashboard")
	case <-time.After(2 * time.Minute): // a Postgres may have to be downloaded
		t.Fatal("the demo serves no dashboard")
	}
	panic("unreachable")
}

// startPrometheus gives the address of a Prometheus with our scrape config and the demo as its one target.
func startPrometheus(t *testing.T, program, demo string) string {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	targets := fmt.Sprintf("- targets: [%q]\n  labels: {process: demo}\n", demo)
	for name, text := range map[string]string{"prometheus.yml": string(config), "rules.yml": string(rules), "targets.yml": targets} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	p := command(t, program, "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address, "--log.level", "warn")
	p.Stderr = &lines{each: func(line string) { t.Log("prometheus:", line) }}
	start(t, p)
	api := "http://" + address
	await(t, "prometheus is ready", func() bool {
		answer, err := http.Get(api + "/-/ready")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return api
}

// query asks Prometheus and gives the values that it found.
func query(t *testing.T, api, expression string) []float64 {
	t.Helper()
	answer, err := http.Get(api + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var found struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&found); err != nil {
		t.Fatal(err)
	}
	if found.Status != "success" {
		t.Fatalf("%s: %s", expression, found.Error)
	}
	var values []float64
	for _, r := range found.Data.Result {
		text, _ := r.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

// number gives the one value of a query, 0 if there is none yet.
func number(t *testing.T, api, expression string) float64 {
	t.Helper()
	values := query(t, api, expression)
	if len(values) > 1 {
		t.Fatalf("%s: got %v", expression, values)
	}
	if len(values) == 0 {
		return 0
	}
	return values[0]
}

func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// lines hands on what a program writes, line by line.
type lines struct {
	each func(line string)
	rest []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.rest = append(l.rest, b...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(b), nil
		}
		l.rest = rest
		l.each(string(line))
	}
}

// command prepares a program that knows nothing of the settings of whoever runs the test.
func command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if name != "DATABASE_URL" && name != "KAFKA_BROKERS" && (name == "LIVEDB_PG_BIN" || !strings.HasPrefix(name, "LIVEDB_")) {
			c.Env = append(c.Env, variable)
		}
	}
	return c
}

// start runs a program until the test ends, as Ctrl-C would end it. The channel tells that it ended before.
func start(t *testing.T, c *exec.Cmd) <-chan struct{} {
	t.Helper()
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }() // how it ended is no part of the test
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Errorf("%s does not end", c.Path)
			_ = c.Process.Kill()
			<-ended
		}
	})
	return ended
}

var built struct {
	sync.Once
	path string
	err  error
}

// binary builds livedb, once for all tests.
func binary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "livedb-compose-test-")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "livedb")
		if out, err := exec.Command("go", "build", "-o", built.path, "../cmd/livedb").CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// output runs livedb to its end.
func output(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, binary(t), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("livedb %v: %v: %s", args, err, out)
	}
	return string(out)
}
