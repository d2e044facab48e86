package ui_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/status"
)

const unavailable = "__debezium_unavailable_value"

// shop moves like the burst writer's shop: orders with their items come, are paid and shipped, some go.
type shop struct {
	*stream
	random *rand.Rand
	rate   float64 // rows a second
	orders []order
	nextID int
	groups map[groupOf]*sum

	rows, transactions, commits float64
}

type order struct {
	id, customer int
	status       string
	total        float64
	created      time.Time
}

type groupOf struct {
	status string
	second time.Time
}

type sum struct {
	orders  int
	revenue float64
}

func newShop(s *stream, rate float64) *shop {
	return &shop{stream: s, random: rand.New(rand.NewPCG(1, 2)), rate: rate, nextID: 1000, groups: map[groupOf]*sum{}}
}

var countries = []string{`"DE"`, `"FR"`, `"JP"`, `"BR"`, `null`, `""`}

// run writes at the rate until the context ends: a Kafka transaction every 50 ms, status every second.
func (s *shop) run(ctx context.Context) {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	began, due, reported := time.Now(), 0.0, time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			due += s.rate / 20 * (0.6 + 0.8*s.random.Float64())
			touched := map[groupOf]bool{}
			var transactions [][]change
			for due >= 1 {
				tx := s.transaction(touched)
				transactions = append(transactions, tx)
				due -= float64(len(tx))
				s.rows += float64(len(tx))
			}
			if len(transactions) > 0 {
				at := s.commit(transactions...)
				s.transactions += float64(len(transactions))
				s.commits++
				s.results(touched, at[len(at)-1])
			}
			if now.Sub(reported) >= time.Second {
				reported = now
				s.reports(began)
			}
		}
	}
}

func (s *shop) transaction(touched map[groupOf]bool) []change {
	switch n := s.random.IntN(100); {
	case n < 45 || len(s.orders) < 50:
		return s.order(touched)
	case n < 90:
		return s.advance(touched)
	case n < 96:
		return []change{s.customer()}
	}
	return s.remove(touched)
}

func (s *shop) order(touched map[groupOf]bool) []change {
	s.nextID++
	o := order{s.nextID, 1 + s.random.IntN(500), "new", float64(s.random.IntN(20000)) / 100, time.Now().UTC()}
	s.orders = append(s.orders, o)
	s.count(o, 1, touched)
	changes := []change{{table: "public.orders", op: "c", key: fmt.Sprintf(`{"id":%d}`, o.id), after: o.json("")}}
	for line := range 1 + s.random.IntN(3) {
		changes = append(changes, change{table: "public.order_items", op: "c", key: fmt.Sprintf(`{"order_id":%d,"line":%d}`, o.id, line+1),
			after: fmt.Sprintf(`{"order_id":%d,"line":%d,"sku":"SKU-%04d","quantity":%d,"price":"%.2f"}`,
				o.id, line+1, s.random.IntN(9999), 1+s.random.IntN(4), o.total/2)})
	}
	return changes
}

func (s *shop) advance(touched map[groupOf]bool) []change {
	i := len(s.orders) - 1 - s.random.IntN(min(len(s.orders), 400))
	before := s.orders[i]
	after := before
	after.status = map[string]string{"new": "paid", "paid": "shipped", "shipped": "delivered", "delivered": "delivered"}[before.status]
	if s.random.IntN(12) == 0 {
		after.status = "cancelled"
	}
	if after.status == "" {
		after.status = "new"
	}
	s.orders[i] = after
	s.count(before, -1, touched)
	s.count(after, 1, touched)
	return []change{{table: "public.orders", op: "u", key: fmt.Sprintf(`{"id":%d}`, after.id),
		before: before.json(""), after: after.json("packed by hand")}}
}

func (s *shop) customer() change {
	id := 1 + s.random.IntN(500)
	row := func(balance float64, profile string) string {
		return fmt.Sprintf(`{"id":%d,"name":"Customer %d","email":"customer%d@example.com","country":%s,"active":true,"balance":"%.2f","profile":%q}`,
			id, id, id, countries[id%len(countries)], balance, profile)
	}
	balance := float64(s.random.IntN(100000)) / 100
	return change{table: "public.customers", op: "u", key: fmt.Sprintf(`{"id":%d}`, id),
		before: row(balance, unavailable), after: row(balance+25, unavailable)}
}

func (s *shop) remove(touched map[groupOf]bool) []change {
	o := s.orders[0]
	s.orders = s.orders[1:]
	s.count(o, -1, touched)
	return []change{{table: "public.orders", op: "d", key: fmt.Sprintf(`{"id":%d}`, o.id), before: o.json("")}}
}

func (o order) json(note string) string {
	text := "null"
	if note != "" {
		text = fmt.Sprintf("%q", note)
	}
	return fmt.Sprintf(`{"id":%d,"customer_id":%d,"status":%q,"total":"%.2f","created_at":%q,"note":%s,"details":"{\"channel\": \"web\"}","reference":"9f3a1c52-77b1-4c0e-8a2f-%012d"}`,
		o.id, o.customer, o.status, o.total, o.created.Format("2006-01-02T15:04:05.000000Z"), text, o.id)
}

func (s *shop) count(o order, n int, touched map[groupOf]bool) {
	g := groupOf{o.status, o.created.Truncate(time.Second)}
	if s.groups[g] == nil {
		s.groups[g] = &sum{}
	}
	s.groups[g].orders += n
	s.groups[g].revenue += float64(n) * o.total
	touched[g] = true
}

func (s *shop) results(touched map[groupOf]bool, at cdc.CommitLSN) {
	records := make([]*sarama.ProducerMessage, 0, len(touched))
	for g := range touched {
		key := fmt.Sprintf(`{"status":%q,"second":%q}`, g.status, g.second.Format(time.RFC3339))
		m := &sarama.ProducerMessage{Topic: s.topics.View("orders"), Key: sarama.StringEncoder(key)}
		if now := s.groups[g]; now.orders > 0 {
			m.Value = sarama.StringEncoder(fmt.Sprintf(`{"orders":%d,"revenue":"%.2f","position":"%s","seq":%d,"epoch":%d}`,
				now.orders, now.revenue, cdc.Position{Commit: at, Index: 1}, s.seq, s.epoch))
		}
		records = append(records, m)
	}
	if err := s.plain.SendMessages(records); err != nil {
		s.t.Error(err)
	}
}

// reports writes the status of every role, as healthy ones would.
func (s *shop) reports(began time.Time) {
	role := func(name string, numbers map[string]float64, texts map[string]string) status.Status {
		return status.Status{Role: name, Instance: "demo:1", Version: "v0.0.0", State: status.Healthy, Since: began, Numbers: numbers, Texts: texts}
	}
	position := cdc.Position{Commit: cdc.CommitLSN(s.lsn - 48), Index: 1}.String()
	s.report(role("burst", map[string]float64{status.RowsTotal: s.rows, status.OfferedRowsTotal: s.rows + 20, status.TransactionsTotal: s.transactions,
		status.TargetRate: s.rate}, map[string]string{"source": "127.0.0.1:5432/shop"}))
	s.report(role("cdc", map[string]float64{status.EventsTotal: s.rows, status.TransactionsTotal: s.transactions, status.BytesTotal: s.rows * 820,
		status.CommitsTotal: s.commits, status.Seq: float64(s.seq), status.LagSeconds: .012, status.RetainedWALBytes: 5.6e6},
		map[string]string{"source": "127.0.0.1:5432/shop", "postgres": "17.6", "slot": "livedb", "publication": "livedb", "tables": "4",
			"current_lsn": cdc.LSN(s.lsn + 4096).String(), "confirmed_lsn": cdc.LSN(s.lsn).String(), "restart_lsn": cdc.LSN(s.lsn - 90000).String(), "position": position}))
	s.report(role("process", map[string]float64{status.EventsTotal: s.rows, status.TransactionsTotal: s.transactions, status.Groups: float64(len(s.groups)),
		status.LagSeconds: .021, status.LateTotal: 0, status.Seq: float64(s.seq)}, map[string]string{"view": "orders", "position": position}))
}
