//go:build unix

package burst

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/devstack"
	"github.com/livedb/livedb/migrations"
)

// BenchmarkRun tells what a rate costs: CPU seconds per second of the writer and of Postgres, with tables that soon have their
// size. Nobody reads the changes.
func BenchmarkRun(b *testing.B) {
	p := devstack.TestPostgres(b)
	for _, rate := range []float64{2000, 5000, 0} {
		b.Run(fmt.Sprintf("rate=%g", rate), func(b *testing.B) {
			url := devstack.TestDatabase(b, p)
			if _, err := migrations.Up(b.Context(), url, DefaultSchema); err != nil {
				b.Fatal(err)
			}
			span := max(5*time.Second, time.Duration(b.N)*time.Millisecond)
			own, server := ownCPU(), familyCPU(b, p.PID())
			result, err := Run(b.Context(), Config{URL: url, Rate: rate, For: span, Seed: 1, Rollback: .02, Savepoint: .05, KeepOrders: 2000})
			if err != nil {
				b.Fatal(err)
			}
			seconds := result.Took.Seconds()
			b.ReportMetric((ownCPU()-own)/seconds, "writer-cpu")
			b.ReportMetric((familyCPU(b, p.PID())-server)/seconds, "postgres-cpu")
			b.ReportMetric(float64(result.Rows)/seconds, "rows/s")
			b.ReportMetric(float64(result.Transactions)/seconds, "tx/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func ownCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// familyCPU is the CPU time of a process, its children and the children that it has already buried.
func familyCPU(b *testing.B, parent int) float64 {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(files) == 0 {
		b.Skip("no /proc to measure with")
	}
	ticks := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:])) // from field 3, the state
		number := func(field int) int {
			n, _ := strconv.Atoi(f[field-3])
			return n
		}
		if pid == parent {
			ticks += number(14) + number(15) + number(16) + number(17)
		} else if number(4) == parent {
			ticks += number(14) + number(15)
		}
	}
	return float64(ticks) / 100
}
