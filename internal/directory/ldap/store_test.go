package ldap_test

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
)

// breakInserts makes every new entity fail, and mendInserts ends that.
func breakInserts(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, `ALTER TABLE entity RENAME COLUMN hidden TO hidden_away`)
	return err
}

func mendInserts(ctx context.Context, tx *db.Tx) error {
	_, err := tx.Exec(ctx, `ALTER TABLE entity RENAME COLUMN hidden_away TO hidden`)
	return err
}

func (w *world) changeState(fn func(*directory.MirrorState)) {
	w.t.Helper()
	w.must(w.db.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := w.directory.OrganizationTx(ctx, tx, w.org)
		if err != nil {
			return err
		}
		state, err := w.directory.MirrorStateTx(ctx, tx, o)
		if err != nil {
			return err
		}
		fn(&state)
		return w.directory.SetMirrorStateTx(ctx, tx, o, state)
	}))
}
