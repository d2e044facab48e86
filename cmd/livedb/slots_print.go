package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
)

// slotList is what livedb slots list tells.
type slotList struct {
	Current string      `json:"current_lsn"`
	Rate    float64     `json:"wal_bytes_per_second"` // over one second
	Keep    *int64      `json:"max_slot_wal_keep_size"`
	Slots   []slotEntry `json:"slots"`
	Holds   string      `json:"holds_wal_longest,omitempty"`
	Hints   []string    `json:"hints"`
}

type slotEntry struct {
	Name        string   `json:"name"`
	Role        string   `json:"role"` // stream, replay or other
	Type        string   `json:"type"`
	Plugin      string   `json:"plugin,omitempty"`
	Database    string   `json:"database,omitempty"`
	Temporary   bool     `json:"temporary"`
	ActivePID   int      `json:"active_pid,omitempty"`
	Application string   `json:"application,omitempty"`
	Status      string   `json:"wal_status"`
	Retained    int64    `json:"retained_wal_bytes"`
	Safe        *int64   `json:"safe_wal_bytes"`
	Runway      *float64 `json:"runway_seconds"`
	Confirmed   string   `json:"confirmed_flush_lsn,omitempty"`
	Restart     string   `json:"restart_lsn,omitempty"`
	Failover    bool     `json:"failover"`
	Synced      bool     `json:"synced"`
	Invalid     string   `json:"invalidation_reason,omitempty"`
	Inactive    string   `json:"inactive_since,omitempty"`
}

// newSlotList says what a look means. Pure.
func newSlotList(l *postgres.Look, rate float64, live string) *slotList {
	list := &slotList{Current: l.Current.String(), Rate: rate, Slots: []slotEntry{}, Hints: []string{}}
	if l.Keep >= 0 {
		list.Keep = &l.Keep
	} else {
		list.Hints = append(list.Hints, "max_slot_wal_keep_size is not set: a slot that nobody reads keeps WAL until the disk is full; ALTER SYSTEM SET max_slot_wal_keep_size = '10GB', or what the disk can spare, and SELECT pg_reload_conf()")
	}
	var longest *postgres.SlotState
	for i := range l.Slots {
		s := &l.Slots[i]
		e := slotEntry{Name: s.Name, Role: "other", Type: s.Type, Plugin: s.Plugin, Database: s.Database, Temporary: s.Temporary, ActivePID: s.ActivePID,
			Application: s.Application, Status: s.WALStatus, Retained: s.Retained, Safe: s.Safe, Failover: s.Failover, Synced: s.Synced, Invalid: s.Invalidation}
		switch s.Name {
		case live:
			e.Role = "stream"
		case postgres.ReplaySlot(live):
			e.Role = "replay"
		}
		if s.HasRestart {
			e.Restart = s.Restart.String()
		}
		if s.Confirmed > 0 {
			e.Confirmed = s.Confirmed.String()
		}
		if s.Safe != nil && rate >= 1 {
			seconds := float64(max(0, *s.Safe)) / rate
			e.Runway = &seconds
		}
		if !s.InactiveSince.IsZero() {
			e.Inactive = s.InactiveSince.UTC().Format(time.RFC3339)
		}
		list.Slots = append(list.Slots, e)
		if s.HasRestart && (longest == nil || s.Retained > longest.Retained) {
			longest = s
		}
		list.Hints = append(list.Hints, hints(s, e.Role)...)
	}
	if longest != nil {
		list.Holds = longest.Name
	}
	return list
}

// hints says what to do about a slot.
func hints(s *postgres.SlotState, role string) []string {
	switch {
	case s.WALStatus == "lost" && role == "replay":
		return []string{fmt.Sprintf("%s has lost its WAL; a running cdc makes it again", s.Name)}
	case s.WALStatus == "lost":
		return []string{fmt.Sprintf("%s has lost its WAL, and nobody can go on from it; livedb slots drop %s", s.Name, s.Name)}
	case s.WALStatus == "unreserved":
		return []string{fmt.Sprintf("%s loses its WAL at the next checkpoint: have it read at once, or raise max_slot_wal_keep_size", s.Name)}
	case role == "stream" && !s.Active:
		return []string{fmt.Sprintf("nobody reads %s, and WAL is kept for it: start livedb cdc, or drop it if the stream is not wanted any more", s.Name)}
	case role == "other" && s.HasRestart && !s.Active && !s.Temporary:
		return []string{fmt.Sprintf("nobody reads %s, which keeps %s of WAL: it is not of this stream; drop it if it is a leftover", s.Name, walSize(s.Retained))}
	}
	return nil
}

// printSlots writes a list as a table, or as one JSON object.
func printSlots(w io.Writer, l *slotList, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(l)
	}
	keep := "unlimited"
	if l.Keep != nil {
		keep = walSize(*l.Keep)
	}
	fmt.Fprintf(w, "WAL at %s, growing by %s a second; max_slot_wal_keep_size is %s\n\n", l.Current, walSize(int64(l.Rate)), keep)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SLOT\tROLE\tTYPE\tDATABASE\tREAD BY\tSTATUS\tKEEPS\tSAFE\tRUNWAY\tCONFIRMED\tRESTART\t")
	for _, s := range l.Slots {
		reader, safe, runway := "nobody", "", ""
		if s.ActivePID != 0 {
			reader = fmt.Sprintf("%d %s", s.ActivePID, s.Application)
		}
		if s.Safe != nil {
			safe = walSize(*s.Safe)
		}
		if s.Runway != nil {
			runway = time.Duration(min(*s.Runway, 1e9) * float64(time.Second)).Round(time.Second).String()
		}
		kind := strings.TrimSpace(s.Type + " " + s.Plugin)
		fmt.Fprintln(t, strings.Join([]string{s.Name, s.Role, kind, s.Database, reader, s.note(), walSize(s.Retained), safe, runway, s.Confirmed, s.Restart, ""}, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if l.Holds != "" {
		fmt.Fprintf(w, "\n%s holds WAL the longest.\n", l.Holds)
	}
	for _, hint := range l.Hints {
		fmt.Fprintf(w, "- %s\n", hint)
	}
	return nil
}

// note is the status with what else is to be said of the slot.
func (s *slotEntry) note() string {
	notes := []string{s.Status}
	for _, n := range []struct {
		holds bool
		text  string
	}{{s.Temporary, "temporary"}, {s.Failover, "failover"}, {s.Synced, "synced"}, {s.Invalid != "", s.Invalid}} {
		if n.holds {
			notes = append(notes, n.text)
		}
	}
	return strings.Join(notes, ", ")
}

// walSize writes bytes for people.
func walSize(bytes int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1 << 40, "TB"}, {1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "kB"}} {
		if bytes >= u.of || -bytes >= u.of {
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}
