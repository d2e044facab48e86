package processor

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A transaction that Kafka aborts because it took too long looks as if another instance had come. There is none, and the role
// goes on, whether it was computing or still writing its first barrier, behind that of an instance that is gone.
func TestRunOutlivesItsOwnTimeout(t *testing.T) {
	t.Parallel()
	for _, starting := range []bool{false, true} {
		t.Run(map[bool]string{false: "computing", true: "starting"}[starting], func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			c := s.processor()
			c.Kafka.TransactionTimeout = time.Second
			c.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
			s.trade(5)
			stop, _ := s.process(c)
			s.await(s.seq)
			if starting {
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			}
			admin, err := sarama.NewClusterAdminFromClient(s.client)
			if err != nil {
				t.Fatal(err)
			}
			timedOut := make(chan struct{})
			s.holdCommit(nil, func() {
				defer close(timedOut)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for open := true; open; { // Kafka tells nobody of it
					select {
					case <-time.After(10 * time.Millisecond):
					case <-ctx.Done():
						t.Error("the transaction has not timed out in a minute")
						return
					}
					told, err := admin.(sarama.TransactionClusterAdmin).DescribeTransactions([]string{"p.process-orders"})
					if err != nil {
						t.Error(err)
						return
					}
					open = told["p.process-orders"].TransactionState == "Ongoing"
				}
			})
			if starting {
				stop, _ = s.process(c)
			}
			s.trade(5)
			<-timedOut
			s.verify()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Of two instances one goes on and the other one ends and says so, whichever fences the other at what step.
func TestOfTwoInstancesOneGoesOn(t *testing.T) {
	t.Parallel()
	t.Run("both start at once", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.oneGoesOn(s.twice)
	})
	t.Run("the second is fenced before its barrier is there", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.trade(5)
		stop, ended := s.process(s.processor())
		s.await(s.seq)
		s.oneGoesOn(func() (instance, instance) {
			held, fenced := make(chan struct{}), make(chan struct{})
			s.holdCommit(held, func() { <-fenced })
			stop2, ended2 := s.process(s.processor())
			<-held
			s.cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) { // the first begins again
				s.cluster.DropControl()
				close(fenced)
				return nil, nil, false
			})
			return instance{stop, ended}, instance{stop2, ended2}
		})
	})
}

// instance is a role that runs.
type instance struct {
	stop  func() error
	ended <-chan error
}

func (s *shop) twice() (a, b instance) {
	a.stop, a.ended = s.process(s.processor())
	b.stop, b.ended = s.process(s.processor())
	return a, b
}

// oneGoesOn trades until one of two instances has ended, and looks at the view that the other one keeps.
func (s *shop) oneGoesOn(start func() (a, b instance)) {
	s.t.Helper()
	a, b := start()
	rest := a
	for began := time.Now(); ; s.trade(1) {
		var err error
		select {
		case err = <-a.ended:
			rest = b
		case err = <-b.ended:
		default:
			if time.Since(began) > time.Minute {
				s.t.Fatal("both go on")
			}
			continue
		}
		if !errors.Is(err, ErrFenced) || !strings.Contains(err.Error(), "another instance computes") {
			s.t.Fatal(err)
		}
		break
	}
	s.trade(5)
	s.verify()
	if err := rest.stop(); err != nil {
		s.t.Fatal(err)
	}
}

// holdCommit has the role's next EndTxn wait; held, if there is one, is closed then.
func (s *shop) holdCommit(held chan<- struct{}, wait func()) {
	var once atomic.Bool
	s.cluster.ControlKey(int16(kmsg.EndTxn), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if strings.Contains(r.(*kmsg.EndTxnRequest).TransactionalID, ".process-") && once.CompareAndSwap(false, true) {
			if held != nil {
				close(held)
			}
			s.cluster.SleepControl(wait)
		}
		return nil, nil, false
	})
}
