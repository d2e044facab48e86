package processor

import (
	"log"
	"os"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

func TestTmpClose(t *testing.T) {
	sarama.Logger = log.New(os.Stderr, "[s] ", log.Lmicroseconds)
	s, rng := newStream(t), newRand(t)
	s.create(3, "public.orders", "public.items", "public.rare")
	s.mix(rng, 50, 3, "public.orders", "public.items")
	for range 3 {
		t0 := time.Now()
		r := s.open(FromBeginning())
		t1 := time.Now()
		s.read(r, 50)
		t2 := time.Now()
		log.Println("CLOSE")
		r.Close()
		log.Println("open", t1.Sub(t0), "read", t2.Sub(t1), "close", time.Since(t2))
	}
}
