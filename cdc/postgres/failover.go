package postgres

import (
	"context"
	"fmt"
)

// followStandbys has standbys keep a copy of the replay slot too, if they do of the live one, of which it is a copy in
// everything else: so a source is known again after a promotion.
func (k *ReplayKeeper) followStandbys(ctx context.Context) error {
	live, err := readSlot(ctx, k.conn, k.slot)
	if err != nil || live == nil || !live.Failover {
		return err
	}
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
