package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/capture"
	"github.com/livedb/livedb/internal/kafka"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/producer"
)

// recoverCommand delivers again what Kafka has lost, and proves it.
type recoverCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	topicFlags

	DryRun bool `name:"dry-run" help:"Only look: say what would be delivered again, and change nothing."`
	Audit  bool `name:"audit" default:"true" negatable:"" help:"Audit the stream before anything is written, and afterwards, then against the source too; each reads all of it."`
	JSON   bool `name:"json" help:"Print one JSON object."`
}

// recoverResult is what the command prints. What commits from From to before To is what Kafka had lost.
type recoverResult struct {
	Prefix string `json:"prefix"`
	Slot   string `json:"slot"`
	Needed bool   `json:"needed"` // false: the slot is not ahead of the checkpoint
	Done   bool   `json:"done"`   // false of a dry run

	From         string `json:"from,omitempty"`
	To           string `json:"to,omitempty"`
	Reach        string `json:"reach,omitempty"` // how far back the replay slot goes
	Seq          uint64 `json:"seq"`             // the last one before
	LastSeq      uint64 `json:"last_seq,omitempty"`
	Transactions int64  `json:"transactions"`
	Changes      int64  `json:"changes,omitempty"` // counted by a dry run
	Events       int64  `json:"events,omitempty"`

	Audit *auditResult `json:"audit,omitempty"`
}

func (c *recoverCommand) result(r capture.Recovery) recoverResult {
	result := recoverResult{Prefix: c.Prefix, Slot: c.Slot, Needed: r.Needed, Done: r.Done, Seq: r.Seq, LastSeq: r.LastSeq, Transactions: r.Transactions, Changes: r.Changes, Events: r.Events}
	if r.Needed {
		result.From, result.To, result.Reach = r.From.String(), r.To.String(), r.Reach.String()
	}
	return result
}

// Run implements the command.
func (c *recoverCommand) Run(i *invocation) error {
	version, _ := build()
	h := newHost(i.ctx, i.log())
	brokers := c.kafkaFlags.config("cdc")
	brokers.TransactionTimeout, brokers.Compression = c.TransactionTimeout, c.Compression
	config := capture.Config{Source: c.sourceFlags.config(c.streamFlags), Kafka: brokers, Prefix: c.Prefix, Partitions: c.Partitions, Version: version,
		Limits:  producer.Limits{Linger: c.Linger, Bytes: c.BatchBytes, Events: c.BatchEvents},
		Metrics: metrics.NewCDC(h.registry), Status: h.board.Role("cdc"), Log: h.log.With("role", "recover")}
	var before *auditResult
	look := func(ctx context.Context) error {
		var err error
		if before, err = c.prove(ctx, i, "stream"); err == nil {
			err = before.verdict()
		}
		return err
	}
	if !c.Audit {
		look = nil
	}
	recovery, err := capture.Recover(i.ctx, config, c.DryRun, look)
	result := c.result(recovery)
	var refusal *cdc.Refusal
	switch {
	case before != nil && before.verdict() != nil: // nothing was written
		result.Audit = before
		return result.print(i.out, c.JSON)
	case errors.As(err, &refusal) || i.ctx.Err() != nil:
		return err
	case err != nil:
		return fmt.Errorf("the recovery did not come to its end: %w; run it again, and it goes on where it is", err)
	case result.Done && c.Audit:
		if result.Audit, err = c.prove(i.ctx, i, "stream", "source"); err != nil {
			return fmt.Errorf("what was lost is delivered again, to seq %d; the audit of it was not made: %w", result.LastSeq, err)
		}
	}
	return result.print(i.out, c.JSON)
}

// prove runs audits of what is in Kafka.
func (c *recoverCommand) prove(ctx context.Context, i *invocation, only ...string) (*auditResult, error) {
	client, err := kafka.Connect(ctx, c.kafkaFlags.config("audit"))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	a := auditCommand{sourceFlags: c.sourceFlags, streamFlags: c.streamFlags, kafkaFlags: c.kafkaFlags, Only: only, OpenLimit: c.TransactionTimeout}
	result := a.audit(ctx, i, client)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &result, nil
}

// print writes the result and returns how the command ends.
func (r *recoverResult) print(w io.Writer, asJSON bool) error {
	var err error
	if !asJSON {
		fmt.Fprintln(w, r.text())
		if r.Audit != nil {
			err = r.Audit.print(w, false)
		}
		return err
	}
	if r.Audit != nil {
		err = r.Audit.print(io.Discard, true) // which judges too
	}
	text, failed := json.MarshalIndent(r, "", "  ")
	if failed != nil {
		return fmt.Errorf("write the result: %w", failed)
	}
	fmt.Fprintf(w, "%s\n", text)
	return err
}

// text tells the result to a person.
func (r *recoverResult) text() string {
	switch {
	case !r.Needed:
		return fmt.Sprintf("nothing to recover: the slot %s is not ahead of the checkpoint of the stream %s", r.Slot, r.Prefix)
	case !r.Done && r.Audit != nil:
		return "nothing was delivered again: what Kafka still holds of the stream is not whole"
	case !r.Done:
		return fmt.Sprintf("%d transactions with %d changes, which commit from %s to before %s, would be delivered again, after seq %d; the slot %s_replay reaches back to %s",
			r.Transactions, r.Changes, r.From, r.To, r.Seq, r.Slot, r.Reach)
	}
	return fmt.Sprintf("delivered again: %d transactions with %d events, which commit from %s to before %s, seq %d to %d; livedb cdc goes on from there",
		r.Transactions, r.Events, r.From, r.To, r.Seq+1, r.LastSeq)
}
