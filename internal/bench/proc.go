package bench

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What Linux tells of processes and of the machine, in /proc. Elsewhere nothing is found, and nothing is known.

// tick is the unit of the kernel's times: USER_HZ is 100 wherever Go runs.
const tick = 0.01

// process is what /proc/<pid>/stat tells.
type process struct {
	name   string
	parent int
	own    float64 // seconds of CPU
	reaped float64 // of its children that have ended
}

// readProcess reads one process; false if there is none.
func readProcess(pid int) (process, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	return parseProcess(string(text))
}

// parseProcess reads proc(5)'s stat: pid (name) state ppid …, utime is the 14th. The name may hold anything.
func parseProcess(text string) (process, bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 15 {
		return process{}, false
	}
	number := func(i int) float64 {
		n, _ := strconv.ParseFloat(fields[i], 64) // the kernel's own
		return n
	}
	return process{name: text[open+1 : end], parent: int(number(1)), own: tick * (number(11) + number(12)), reaped: tick * (number(13) + number(14))}, true
}

// ran is how long a process of one thread has run, in seconds, to the nanosecond where the kernel counts these.
func ran(pid int) (float64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err == nil {
		if fields := strings.Fields(string(text)); len(fields) == 3 && fields[0] != "0" {
			if ns, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				return float64(ns) / 1e9, true
			}
		}
	}
	p, found := readProcess(pid)
	return p.own, found
}

// family is the CPU of a process, of its children, and of those that it has reaped; 0 if there is none. It looks again if a
// child was reaped meanwhile, which may have been seen nowhere.
func family(pid int) (sum float64) {
	for range 10 {
		before, _ := readProcess(pid)
		sum = before.own + before.reaped
		stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the only error is a bad pattern
		for _, name := range stats {
			text, err := os.ReadFile(name)
			if err != nil {
				continue // it has ended
			}
			if p, ok := parseProcess(string(text)); ok && p.parent == pid {
				sum += p.own + p.reaped
			}
		}
		if after, _ := readProcess(pid); after.reaped == before.reaped {
			break
		}
	}
	return sum
}

// machineTime is the CPU that the machine has spent on anything.
type machineTime struct {
	busy  float64 // seconds, over all processors
	cores int     // 0: not known
	at    time.Time
}

// interruptsApart reports whether the kernel leaves the time of interrupts out of that of the process which they interrupt,
// most often the one whose socket they serve. Then it is nobody's, and else everybody's. A kernel that does not tell its
// configuration is taken for one that does, as most do: a little noise goes unnoticed on it if it does not.
var interruptsApart = sync.OnceValue(func() bool {
	const option = "\nCONFIG_IRQ_TIME_ACCOUNTING=y\n"
	if f, err := os.Open("/proc/config.gz"); err == nil {
		defer f.Close()
		if unzipped, err := gzip.NewReader(f); err == nil {
			if text, err := io.ReadAll(unzipped); err == nil {
				return strings.Contains(string(text), option)
			}
		}
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return true
	}
	text, err := os.ReadFile("/boot/config-" + strings.TrimSpace(string(release)))
	return err != nil || strings.Contains(string(text), option)
})

func readMachine() machineTime {
	m := machineTime{at: time.Now()}
	f, err := os.Open("/proc/stat")
	if err != nil {
		return m
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 9 || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			m.cores++
			continue
		}
		parts := []int{1, 2, 3, 8} // user, nice, system and steal
		if !interruptsApart() {
			parts = append(parts, 6, 7) // irq and softirq
		}
		for _, i := range parts {
			n, _ := strconv.ParseFloat(fields[i], 64) // the kernel's own
			m.busy += tick * n
		}
	}
	return m
}

// unexplained is the share of the machine between two readings that nobody explains; negative if it is not known.
func unexplained(from, to machineTime, explained float64) float64 {
	wall := to.at.Sub(from.at).Seconds()
	if from.cores == 0 || wall <= 0 {
		return -1
	}
	return max(0, to.busy-from.busy-explained) / (wall * float64(from.cores))
}

// peakRSS is the most memory that a process has held, in bytes; -1 if that is not known.
func peakRSS(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1
	}
	_, rest, found := strings.Cut(string(text), "\nVmHWM:")
	fields := strings.Fields(rest)
	if !found || len(fields) < 2 {
		return -1
	}
	kb, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return -1
	}
	return kb << 10
}
