package postgres

import (
	"context"
	"fmt"
)

// FollowStandbys has standbys keep a copy of the replay slot, as they do of a live one with the option failover: so a source is
// known again after a promotion. Nobody may be reading the slot meanwhile.
func (k *ReplayKeeper) FollowStandbys(ctx context.Context) error {
	conn, err := Dial(ctx, k.config) // the command is one of the replication protocol
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.pg.Exec(ctx, "ALTER_REPLICATION_SLOT "+quote(ReplaySlot(k.slot))+" (FAILOVER true)").ReadAll(); err != nil {
		return fmt.Errorf("have standbys keep the slot %s: %w", ReplaySlot(k.slot), err)
	}
	return nil
}
