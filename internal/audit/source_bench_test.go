package audit_test

import (
	"testing"
)

// BenchmarkSource audits a stream of 200 000 events of an ordinary table, one transaction of half of them among them.
//
//	go test ./internal/audit -run '^$' -bench Source -benchtime 3x
func BenchmarkSource(b *testing.B) {
	s := newStream(b, "CREATE TABLE orders (id bigint PRIMARY KEY, customer int, amount numeric(10,2), state text, tags text[], at timestamptz DEFAULT now())",
		"ALTER TABLE orders REPLICA IDENTITY FULL")
	s.start()
	const order = "INSERT INTO orders SELECT i, i %% 1000, i * 0.01, 'new', '{a,b}' FROM generate_series(%d, %d) i"
	s.execf(order, 1, 100_000)
	for from := 100_001; from < 150_000; from += 100 {
		s.execf(order, from, from+99)
	}
	s.exec("UPDATE orders SET state = 'paid' WHERE id <= 50000")
	s.proven(200_000)
	for b.Loop() {
		if r := s.audit(s.config.Prefix); !r.OK() {
			b.Fatal(r.Findings[0])
		}
	}
	b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
