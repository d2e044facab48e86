package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/IBM/sarama"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/internal/audit"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
)

// auditCommand proves a stream, or names what is wrong with it.
type auditCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	opsFlags

	Only       []string      `name:"only" placeholder:"AUDIT" help:"Of the audits stream, source and state, only these."`
	OracleSlot string        `name:"oracle-slot" placeholder:"NAME" help:"The slot whose WAL the source audit reads again; it is copied and stays where it is. The default is the replay slot, else the stream's own."`
	OpenLimit  time.Duration `name:"open-limit" default:"5m" help:"How long a Kafka transaction may stay open: the stream's --transaction-timeout."`
	JSON       bool          `name:"json" help:"Print one JSON object."`
	Follow     bool          `name:"follow" help:"Go on with the stream audit as the stream grows, until interrupted."`
}

// The audits, in the order in which they run.
var audits = []string{"stream", "source", "state"}

// findingsError says that the audit went well and the stream did not.
type findingsError struct{ faults uint64 }

func (e *findingsError) Error() string {
	return fmt.Sprintf("the audit found faults (%d): this stream has not kept its promises; do not build on it before each is explained", e.faults)
}

// Run implements the command.
func (c *auditCommand) Run(i *invocation) error {
	if err := errors.Join(c.check(), envelope.CheckPrefix(c.Prefix)); err != nil {
		return err
	}
	listener, err := c.listen()
	if err != nil {
		return err
	}
	client, err := kafka.Connect(i.ctx, c.kafkaFlags.config("audit"))
	if err != nil {
		return err
	}
	defer client.Close()
	h := newHost(i.ctx, i.log())
	h.serveOps(listener)
	var result auditResult
	h.role(func(ctx context.Context) error {
		if c.Follow {
			return c.follow(ctx, i, h, client, &result)
		}
		result = c.audit(ctx, i, client)
		return nil
	})
	if c.Follow {
		h.publish(c.kafkaFlags.config("audit"), c.Prefix)
	}
	if err := h.wait(); err != nil {
		return err
	}
	if !c.Follow && i.ctx.Err() != nil {
		return i.ctx.Err()
	}
	return result.print(i.out, c.JSON)
}

// check refuses flags that contradict each other, and fills in the default of --only.
func (c *auditCommand) check() error {
	source := c.Source.Reveal() != ""
	for _, name := range c.Only {
		if !slices.Contains(audits, name) {
			return &usageError{fmt.Sprintf("--only names %q, which is no audit", name), "name some of stream, source and state"}
		}
		if !source && name != "stream" {
			return &usageError{fmt.Sprintf("--only names the audit %s, and no source is given", name), "name the Postgres with --source"}
		}
	}
	if c.Follow && !slices.Equal(c.Only, []string{"stream"}) && len(c.Only) > 0 {
		return &usageError{"--follow follows the stream alone", "leave out --only, or write --only stream"}
	}
	switch {
	case len(c.Only) > 0:
	case source && !c.Follow:
		c.Only = audits
	default:
		c.Only = audits[:1]
	}
	return nil
}

// audit runs the audits one after the other. One that cannot be made does not keep back the others.
func (c *auditCommand) audit(ctx context.Context, i *invocation, client sarama.Client) auditResult {
	result := auditResult{Prefix: c.Prefix, NoSource: c.Source.Reveal() == ""}
	source := c.sourceFlags.config(c.streamFlags)
	for _, name := range c.Only {
		p := newAuditProgress(i, name)
		var err error
		switch name {
		case "stream":
			result.Stream, err = audit.Stream(ctx, audit.StreamConfig{Client: client, Prefix: c.Prefix, OpenLimit: c.OpenLimit, Progress: p.events})
		case "source":
			result.Source, err = audit.Source(ctx, audit.SourceConfig{Client: client, Prefix: c.Prefix, Source: source, OracleSlot: c.OracleSlot})
		case "state":
			result.State, err = audit.State(ctx, audit.StateConfig{Client: client, Prefix: c.Prefix, Source: source, OpenLimit: c.OpenLimit, Progress: p.events})
		}
		p.done()
		if err != nil {
			result.failed(name, err)
		}
	}
	return result
}

// follow audits the stream until the context ends.
func (c *auditCommand) follow(ctx context.Context, i *invocation, h *host, client sarama.Client, result *auditResult) error {
	config := audit.FollowConfig{Metrics: metrics.NewAudit(h.registry), Status: h.board.Role("audit"), Log: h.log.With("role", "audit"),
		Stream: audit.StreamConfig{Client: client, Prefix: c.Prefix, OpenLimit: c.OpenLimit}}
	*result = auditResult{Prefix: c.Prefix, NoSource: true}
	var err error
	result.Stream, err = audit.Follow(ctx, config)
	return err
}

// auditProgress tells a person how far an audit is, on one line of the error stream.
type auditProgress struct {
	i       *invocation
	name    string
	watched bool
	last    time.Time
}

func newAuditProgress(i *invocation, name string) *auditProgress {
	p := &auditProgress{i: i, name: name, watched: i.terminal()}
	if p.watched {
		fmt.Fprintf(i.err, "\r%s audit …\x1b[K", name)
	}
	return p
}

// events is told now and then how many events were read, and up to which seq there are some.
func (p *auditProgress) events(events, upto uint64) {
	if p.watched && time.Since(p.last) >= 100*time.Millisecond {
		p.last = time.Now()
		fmt.Fprintf(p.i.err, "\r%s audit: %d of %d events\x1b[K", p.name, events, upto)
	}
}

func (p *auditProgress) done() {
	if p.watched {
		fmt.Fprint(p.i.err, "\r\x1b[K")
	}
}
