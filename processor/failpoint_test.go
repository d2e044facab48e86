//go:build failpoints

package processor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/livedb/livedb/internal/failpoint"
	"github.com/livedb/livedb/internal/kafka"
)

// roleBrokers has the test binary be the role "process" of the brokers it names.
const roleBrokers = "LIVEDB_TEST_PROCESS_BROKERS"

func TestMain(m *testing.M) {
	if brokers := os.Getenv(roleBrokers); brokers != "" {
		s := &shop{stream: &stream{config: kafka.Config{Brokers: strings.Split(brokers, ","), ClientID: "role"}}}
		fmt.Fprintln(os.Stderr, Run(context.Background(), s.processor()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Wherever the role is killed, the next one goes on, and the view is the table's in the end.
func TestRunSurvivesKillAtEveryPoint(t *testing.T) {
	for _, point := range failpoint.Process {
		for _, times := range []int{1, 7} {
			if times > 1 && (point == failpoint.ViewFenced || point == failpoint.ViewRestored) {
				continue // once per start
			}
			t.Run(fmt.Sprint(point, " ", times), func(t *testing.T) {
				t.Parallel()
				s := newShop(t)
				s.trade(1)
				for range 2 {
					killed := make(chan error, 1)
					go func() { killed <- s.kill(point, times) }()
					for traded := true; traded; { // until it is dead, for it gets to most points only where there is something to do
						select {
						case err := <-killed:
							if err != nil {
								t.Fatal(err)
							}
							traded = false
						default:
							s.trade(1 + s.rng.IntN(3))
							if s.rng.IntN(3) == 0 {
								s.lose()
							}
						}
					}
				}
				stop, _ := s.process(s.processor())
				s.verify()
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// kill runs the role in a process of its own, which kills itself at the point.
func (s *shop) kill(point failpoint.Point, times int) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	role := exec.CommandContext(ctx, os.Args[0])
	role.Env = append(os.Environ(), roleBrokers+"="+strings.Join(s.config.Brokers, ","), fmt.Sprintf("LIVEDB_FAILPOINTS=%s:%d=kill", point, times))
	output, err := role.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || ctx.Err() != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}
