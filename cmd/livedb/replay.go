package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/internal/metrics"
	"github.com/livedb/livedb/internal/replay"
)

// replayCommand streams a part of the stream's past again.
type replayCommand struct {
	sourceFlags
	streamFlags
	kafkaFlags
	opsFlags

	From   string `name:"from" placeholder:"PLACE" help:"Where to begin: an LSN (16/B374D848), a Position (16/B374D848:7), a time (2024-05-06T07:08:09Z, or 10m for ten minutes ago), a transaction id (xid:1234), or oldest."`
	To     string `name:"to" placeholder:"PLACE" help:"Where to end, written likewise; it is part of the replay. Without it the replay ends with what has been delivered when it begins."`
	ID     string `name:"id" placeholder:"NAME" help:"The replay's name, and a part of its topics' names; one is made up if none is given. A replay that did not end goes on under its name."`
	DryRun bool   `name:"dry-run" help:"Tell what would be replayed, and what could be, and change nothing."`
	Output string `name:"output" enum:"kafka,-" default:"kafka" help:"Where to: kafka, which is topics named PREFIX.replay-ID.…, or -, which is standard output, a JSON object a line."`
	Rate   int    `name:"rate" default:"20000" help:"At most so many changes a second, to leave the live stream its share of the machines; 0 is as fast as can be."`
	JSON   bool   `name:"json" help:"Print one JSON object at the end; on the error stream if the events go to standard output."`
}

// Run implements the command.
func (c *replayCommand) Run(i *invocation) error {
	listener, err := c.listen()
	if err != nil {
		return err
	}
	version, _ := build()
	h := newHost(i.ctx, i.log())
	config := replay.Config{Source: c.sourceFlags.config(c.streamFlags), Kafka: c.kafkaFlags.config("replay"), Prefix: c.Prefix, Version: version,
		ID: c.ID, From: c.From, To: c.To, DryRun: c.DryRun, Rate: c.Rate,
		Metrics: metrics.NewReplay(h.registry), Log: h.log.With("role", "replay")}
	told := i.out
	if c.Output == "-" {
		config.Output, told = i.out, i.err
	}
	if config.ID == "" { // so that it can be told while the replay runs
		config.ID = replay.NewID(time.Now())
	}
	p := &replayProgress{out: i.err, id: config.ID, watched: i.terminal() && c.Output != "-"}
	config.Progress = p.tell

	h.serveOps(listener)
	var result *replay.Result
	h.role(func(ctx context.Context) (err error) {
		result, err = replay.Run(ctx, config)
		return err
	})
	err = h.wait()
	p.done()
	if result == nil {
		return err
	}
	if result.State == replay.Running && c.Output != "-" {
		fmt.Fprintf(i.err, "livedb: the replay %s has %d of %d events; livedb replay --id %s goes on with it\n", result.ID, result.Done, result.Events, result.ID)
	}
	if err == nil || c.JSON {
		err = errors.Join(err, c.print(told, result, err))
	}
	return err
}

// print tells what was replayed, or would be.
func (c *replayCommand) print(w io.Writer, r *replay.Result, failed error) error {
	if !c.JSON {
		replayTable(w, r)
		return nil
	}
	told := struct {
		*replay.Result
		Refusal string `json:"refusal,omitempty"` // its name
		Error   string `json:"error,omitempty"`
	}{Result: r}
	if failed != nil {
		told.Error = failed.Error()
		var refusal *cdc.Refusal
		if errors.As(failed, &refusal) {
			told.Refusal = refusal.Name
		}
	}
	text, err := json.MarshalIndent(told, "", "  ")
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	fmt.Fprintf(w, "%s\n", text)
	return nil
}

// replayTable writes the result for a person.
func replayTable(w io.Writer, r *replay.Result) {
	where := func(p *replay.Place) string {
		return fmt.Sprintf("%s  seq %d  transaction %d  committed %s", p.Position, p.Seq, p.XID, p.Time.UTC().Format(time.RFC3339Nano))
	}
	verb := map[string]string{replay.Planned: "would be replayed", replay.Finished: "replayed", replay.Running: "to be replayed"}[r.State]
	fmt.Fprintf(w, "%s: %d transactions, %d events, of %s of WAL\n", verb, r.Transactions, r.Events, byteText(r.WALBytes))
	fmt.Fprintf(w, "  from    %s\n  to      %s\n", where(r.From), where(r.To))
	if r.Window != nil {
		fmt.Fprintf(w, "the replay window, by the slot %s:\n  from    %s\n  to      %s\n", r.Slot, where(&r.Window.From), where(&r.Window.To))
	}
	switch {
	case r.State == replay.Finished && r.Records == 0:
		fmt.Fprintf(w, "the replay %s was finished before; nothing was written\n", r.ID)
	case r.State == replay.Finished:
		fmt.Fprintf(w, "the replay %s is finished: %d events in %.1f s\n", r.ID, r.Written, r.Seconds)
	}
}

// byteText writes a size for a person.
func byteText(n uint64) string {
	size, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		size, unit = size/1024, next
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", size), ".0") + " " + unit
}

// replayProgress draws a bar on one line of the error stream, for a person.
type replayProgress struct {
	out     io.Writer
	id      string
	watched bool
	drawn   bool
	began   time.Time
	first   uint64
}

const barWidth = 30

func (p *replayProgress) tell(now replay.Progress) {
	if !p.watched || now.Total == 0 {
		return
	}
	if p.began.IsZero() {
		p.began, p.first = time.Now(), now.Done
	}
	p.drawn = true
	share := float64(now.Done) / float64(now.Total)
	full := min(barWidth, int(share*barWidth))
	rate := float64(now.Done-p.first) / max(time.Since(p.began).Seconds(), 0.001)
	fmt.Fprintf(p.out, "\rreplay %s [%s%s] %3.0f %%  %d of %d events, %.0f a second\x1b[K", p.id,
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), 100*share, now.Done, now.Total, rate)
}

func (p *replayProgress) done() {
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
