package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/livedb/livedb/cdc"
	"github.com/livedb/livedb/cdc/postgres"
)

// slotsCommand shows what keeps WAL in a Postgres, makes the replay slot again, and drops slots after asking. It never makes a
// stream's own slot: only cdc may, with a checkpoint that says where it begins.
type slotsCommand struct {
	Action string `arg:"" optional:"" enum:"list,create,drop" default:"list" help:"list shows all slots of the server; create makes the replay slot of --slot again; drop drops the slot NAME."`
	Name   string `arg:"" optional:"" help:"The slot to drop."`

	sourceFlags
	Slot       string `name:"slot" default:"livedb" help:"The stream's slot."`
	Yes        bool   `name:"yes" help:"Drop without asking."`
	LoseStream bool   `name:"lose-stream" env:"-" help:"Drop also a slot that a stream needs: what it has not delivered is lost to it, and it cannot go on."`
	JSON       bool   `name:"json" help:"Print one JSON object."`
}

// Run implements the command.
func (c *slotsCommand) Run(i *invocation) error {
	source := c.sourceFlags.config(streamFlags{Slot: c.Slot})
	if c.Name != "" && c.Action != "drop" {
		return &usageError{Problem: fmt.Sprintf("slots %s takes no name", c.Action), Remedy: "name the stream's slot with --slot"}
	}
	switch c.Action {
	case "create":
		return c.create(i, source)
	case "drop":
		return c.drop(i, source)
	}
	look, rate, err := postgres.LookTwice(i.ctx, source)
	if err != nil {
		return err
	}
	return printSlots(i.out, newSlotList(look, rate, c.Slot), c.JSON)
}

func (c *slotsCommand) create(i *invocation, source postgres.Config) error {
	slot, err := postgres.CreateReplaySlot(i.ctx, source)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(i.out).Encode(map[string]string{"created": slot.Name, "confirmed_flush_lsn": slot.Confirmed.String()})
	}
	_, err = fmt.Fprintf(i.out, "made %s; its window begins at %s\n", slot.Name, slot.Confirmed)
	return err
}

// drop drops a slot that is there, that nobody reads, and that the user names once more.
func (c *slotsCommand) drop(i *invocation, source postgres.Config) error {
	if c.Name == "" {
		return &usageError{Problem: "slots drop needs the name of a slot", Remedy: "write livedb slots drop NAME; livedb slots list shows those that there are"}
	}
	slot, err := findSlot(i.ctx, source, c.Name)
	if err != nil {
		return err
	}
	if err := c.mayDrop(slot); err != nil {
		return err
	}
	if !c.Yes {
		if err := askName(i, slot); err != nil {
			return err
		}
	}
	if err := postgres.DropSlot(i.ctx, source, slot); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(i.out).Encode(map[string]any{"dropped": slot.Name, "retained_wal_bytes": slot.Retained})
	}
	_, err = fmt.Fprintf(i.out, "dropped %s, which kept %s of WAL\n", slot.Name, walSize(slot.Retained))
	return err
}

func findSlot(ctx context.Context, source postgres.Config, name string) (*postgres.SlotState, error) {
	w, err := postgres.OpenWatch(ctx, source)
	if err != nil {
		return nil, err
	}
	defer w.Close(context.WithoutCancel(ctx))
	look, err := w.Look(ctx)
	if err != nil {
		return nil, err
	}
	if slot := look.Find(name); slot != nil {
		return slot, nil
	}
	return nil, &cdc.Refusal{Name: "slot_unknown", Problem: "there is no slot " + name, Remedy: "livedb slots list shows those that there are"}
}

// mayDrop refuses what others rest on.
func (c *slotsCommand) mayDrop(s *postgres.SlotState) error {
	switch {
	case s.Active:
		return postgres.SlotInUse(s)
	case s.Type != "logical":
		return &cdc.Refusal{Name: "slot_foreign", Problem: fmt.Sprintf("the slot %s is physical: a standby or a backup rests on it, and LiveDB never does", s.Name),
			Remedy: "drop it with SELECT pg_drop_replication_slot(…) if it is a leftover"}
	case !postgres.IsReplaySlot(s.Name) && s.WALStatus != "lost" && !c.LoseStream:
		return &cdc.Refusal{Name: "slot_needed", Problem: fmt.Sprintf("a stream goes on at the slot %s: everything after %s that it has not delivered would be lost to it, and it could not go on", s.Name, s.Confirmed),
			Remedy: "pass --lose-stream if that stream is not wanted any more"}
	}
	return nil
}

// askName has the user type the slot's name.
func askName(i *invocation, s *postgres.SlotState) error {
	lost := "what it has not delivered is lost to its reader"
	if postgres.IsReplaySlot(s.Name) {
		lost = "nothing before now can be replayed, and until the stream has gone on, a restored source is not noticed"
	}
	fmt.Fprintf(i.err, "The slot %s begins at %s. Without it %s.\nType its name to drop it: ", s.Name, s.Confirmed, lost)
	answered := make(chan string, 1)
	go func() {
		answer, _ := bufio.NewReader(i.in).ReadString('\n') // the end of input is a no
		answered <- answer
	}()
	select {
	case answer := <-answered:
		if strings.TrimSpace(answer) == s.Name {
			return nil
		}
	case <-i.ctx.Done():
		return i.ctx.Err()
	}
	return &cdc.Refusal{Name: "not_confirmed", Problem: fmt.Sprintf("the slot %s was not dropped", s.Name), Remedy: "type its name, or pass --yes"}
}
