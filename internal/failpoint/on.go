//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Enabled tells whether this build can fail on purpose.
const Enabled = true

type set struct {
	left   atomic.Int64
	action string
}

var points = parse(os.Getenv("LIVEDB_FAILPOINTS"))

// parse panics on a setting that it does not understand: a fault that silently does not happen would prove nothing.
func parse(text string) map[Point]*set {
	sets := map[Point]*set{}
	for _, one := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		where, action, ok := strings.Cut(one, "=")
		name, count, counted := strings.Cut(where, ":")
		n := int64(1)
		var err error
		if counted {
			n, err = strconv.ParseInt(count, 10, 64)
		}
		if !ok || err != nil || n < 1 || !known(Point(name)) || !doable(action) {
			panic(fmt.Sprintf("LIVEDB_FAILPOINTS: %q is not point:count=action", one))
		}
		s := &set{action: action}
		s.left.Store(n)
		sets[Point(name)] = s
	}
	return sets
}

func known(p Point) bool {
	for _, list := range [][]Point{CDC, Process} {
		for _, q := range list {
			if p == q {
				return true
			}
		}
	}
	return false
}

func doable(action string) bool {
	switch action {
	case "kill", "stop", "error":
		return true
	}
	_, err := time.ParseDuration(action)
	return err == nil
}

// Hit carries out what was set for the point.
func Hit(p Point) error {
	s := points[p]
	if s == nil || s.left.Add(-1) != 0 {
		return nil
	}
	fmt.Fprintf(os.Stderr, "failpoint %s: %s\n", p, s.action)
	switch s.action {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	case "stop":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		return nil
	case "error":
		return fmt.Errorf("%w: %s", ErrInjected, p)
	}
	d, _ := time.ParseDuration(s.action) // parse has seen that it is one
	time.Sleep(d)
	return nil
}
