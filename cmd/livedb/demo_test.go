package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proven holds that the demo's summary says what was counted.
func proven(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(stdout), &got); err != nil {
		t.Fatalf("not one JSON object: %q", stdout)
	}
	for _, name := range []string{"missing", "duplicated", "disordered", "altered"} {
		if got[name] != 0.0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	for _, name := range []string{"rows_written", "transactions", "events", "events_per_second"} {
		if n, ok := got[name].(float64); !ok || n <= 0 {
			t.Errorf("%s is %v", name, got[name])
		}
	}
	latency, ok := got["latency_ms"].(map[string]any)
	if !ok || latency["p50"].(float64) <= 0 || latency["p99"].(float64) < latency["p50"].(float64) || latency["max"].(float64) < latency["p99"].(float64) {
		t.Errorf("latency_ms is %v", got["latency_ms"])
	}
	if got["rows_written"].(float64) > got["events"].(float64) {
		t.Errorf("%v rows were written and %v events seen", got["rows_written"], got["events"])
	}
}

func TestDemoProvesItself(t *testing.T) {
	code, stdout, stderr := livedb(t, t.Context(), "demo", "--for", "3s", "--rate", "1000", "--json", "--listen", "127.0.0.1:0")
	proven(t, code, stdout, stderr)
}

// The demo on a user's servers leaves neither slot nor publication nor topics behind, and starts over what a killed one
// left.
func TestDemoOnGivenServers(t *testing.T) {
	p := newPlace(t)
	sql(t, p.url, "CREATE PUBLICATION "+demoName+" FOR ALL TABLES", "SELECT pg_create_logical_replication_slot('"+demoName+"', 'pgoutput')")
	code, stdout, stderr := livedb(t, t.Context(), "demo", "--for", "2s", "--rate", "500", "--json", "--yes", "--listen", "127.0.0.1:0", "--source", p.url, "--kafka", p.broker)
	proven(t, code, stdout, stderr)
	unchanged(t, p)
}

func TestDemoEndsWithAllItStarted(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("without /proc there is no list of a process's children")
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			p := start(t, "demo", "--log-level", "info", "--listen", "127.0.0.1:0")
			p.await("dashboard  http://127.0.0.1:")
			p.await("streaming")
			children := descendants(p.cmd.Process.Pid)
			if len(children) < 3 {
				t.Fatalf("the demo has only the children %v", children)
			}
			err := p.stop(signal, 5*time.Second)
			if signal == syscall.SIGINT && err != nil {
				t.Errorf("the demo ended with %v", err)
			}
			deadline := time.Now().Add(10 * time.Second)
			for len(alive(children)) > 0 {
				if time.Now().After(deadline) {
					t.Fatalf("the processes %v live on", alive(children))
				}
				time.Sleep(10 * time.Millisecond) // polls the kernel, which has no signal for this
			}
		})
	}
}

// descendants lists the processes below one, with their start times, for ids are used again.
func descendants(pid int) map[int]string {
	found := map[int]string{pid: ""}
	for grown := true; grown; {
		grown = false
		for child, parent := range parents() {
			if _, known := found[child]; !known {
				if _, ours := found[parent]; ours {
					found[child], grown = started(child), true
				}
			}
		}
	}
	delete(found, pid)
	return found
}

func parents() map[int]int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	parents := map[int]int{}
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if fields := stat(pid); len(fields) > 1 {
			parents[pid], _ = strconv.Atoi(fields[1])
		}
	}
	return parents
}

// stat returns the fields of /proc/pid/stat behind the name, from the state on; nil if the process has ended.
func stat(pid int) []string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return nil
	}
	return strings.Fields(string(text)[strings.LastIndex(string(text), ")")+1:])
}

func started(pid int) string {
	if fields := stat(pid); len(fields) > 19 && fields[0] != "Z" {
		return fields[19]
	}
	return ""
}

func alive(processes map[int]string) (pids []int) {
	for pid, start := range processes {
		if start != "" && started(pid) == start {
			pids = append(pids, pid)
		}
	}
	return pids
}
