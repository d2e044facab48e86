package check

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/livedb/livedb/cdc/postgres"
)

// neonDomains are those of Neon's endpoints.
var neonDomains = []string{".neon.tech", ".neon.build"}

// isNeon recognises an endpoint of Neon by its name.
func isNeon(host string) bool {
	for _, domain := range neonDomains {
		if strings.HasSuffix(strings.ToLower(host), domain) {
			return true
		}
	}
	return false
}

// Neon's rule for slots: one that is older than so many snapshot files is dropped, whoever reads it. A file is written about
// every so often while WAL is written.
const (
	snapshotsPerCent = 70
	snapshotEvery    = 15 * time.Second
)

// neonRules judge what holds on Neon alone.
func (f *facts) neonRules() (all []Finding) {
	if !f.neon {
		return nil
	}
	object := "server " + f.address
	if f.inClear {
		all = append(all, found("source_tls_required", object, "the source is asked for without TLS, which Neon does not have", "leave sslmode=disable out of --source"))
	}
	if net.ParseIP(f.host) != nil {
		all = append(all, found("neon_host_address", object, "the source is named by its address "+f.host+": TLS then does not tell Neon's proxy which endpoint is meant",
			"name the host in --source as Neon's console shows it"))
	}
	all = append(all, found("neon_keeps_awake", object, "while LiveDB is connected the compute does not sleep, and its hours are counted", "nothing, or run livedb cdc --drain now and then; a slot outlives the sleep"))
	if f.snapshots == nil {
		return all
	}
	for _, name := range []string{f.c.Stream.Source.Slot, postgres.ReplaySlot(f.c.Stream.Source.Slot)} {
		all = append(all, f.expiry(name)...)
	}
	return all
}

// expiry judges how near a slot is to being dropped by Neon.
func (f *facts) expiry(name string) []Finding {
	s := f.snapshots
	after, exists := s.After[name]
	if !exists || after*100 <= s.Limit*snapshotsPerCent {
		return nil
	}
	every := s.Every
	if every <= 0 {
		every = snapshotEvery
	}
	left := time.Duration(max(s.Limit-after, 0)) * every
	finding := found("neon_slot_expiry", "slot "+name, fmt.Sprintf("%d of %d snapshot files are younger than the slot %s: Neon drops it after %d more, about %s of writing", after, s.Limit, name, max(s.Limit-after, 0), left.Round(time.Second)),
		"have the stream catch up and acknowledge: run cdc").
		because("Neon drops a slot that is so old whether it is read or not; the stream then ends.")
	if name == postgres.ReplaySlot(f.c.Stream.Source.Slot) {
		finding.Remedy = "drop it: the stream goes on, and makes another that begins with now"
		finding = finding.with(fmt.Sprintf("SELECT pg_drop_replication_slot(%s);", literal(name)))
	}
	return []Finding{finding}
}
