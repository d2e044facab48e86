package capture_test

import (
	"context"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/kafka"
)

// client opens a client of the stream's Kafka, until the test ends.
func (b *bench) client() sarama.Client {
	b.t.Helper()
	client, err := kafka.Connect(b.t.Context(), b.config.Kafka)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { client.Close() })
	return client
}

// report makes an audit and tells its faults.
func report[R any](b *bench, make func(context.Context) (R, error), findings func(R) []audit.Finding) R {
	b.t.Helper()
	r, err := make(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range findings(r) {
		b.t.Errorf("audit: %s", f)
	}
	return r
}

// audited audits the stream.
func (b *bench) audited() *audit.StreamReport {
	b.t.Helper()
	c := audit.StreamConfig{Client: b.client(), Prefix: b.config.Prefix}
	return report(b, func(ctx context.Context) (*audit.StreamReport, error) { return audit.Stream(ctx, c) },
		func(r *audit.StreamReport) []audit.Finding { return r.Findings })
}

// auditedSource audits the stream against the source's WAL, as far as the replay slot has it.
func (b *bench) auditedSource() *audit.SourceReport {
	b.t.Helper()
	return b.auditedSourceBy("")
}

// auditedSourceBy does it with the WAL that another slot has.
func (b *bench) auditedSourceBy(slot string) *audit.SourceReport {
	b.t.Helper()
	c := audit.SourceConfig{Client: b.client(), Prefix: b.config.Prefix, Source: b.config.Source, OracleSlot: slot}
	return report(b, func(ctx context.Context) (*audit.SourceReport, error) { return audit.Source(ctx, c) },
		func(r *audit.SourceReport) []audit.Finding { return r.Findings })
}

// auditedState audits the stream against the source's tables.
func (b *bench) auditedState() *audit.StateReport {
	b.t.Helper()
	c := audit.StateConfig{Client: b.client(), Prefix: b.config.Prefix, Source: b.config.Source}
	return report(b, func(ctx context.Context) (*audit.StateReport, error) { return audit.State(ctx, c) },
		func(r *audit.StateReport) []audit.Finding { return r.Findings })
}
