package ldap_test

import (
	"context"
	"errors"

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

// forgetPrimaryGroups leaves what a mirror had before it knew of them.
func forgetPrimaryGroups(ctx context.Context, tx *db.Tx) error {
	_, mirrored := tx.Exec(ctx, `UPDATE mirrored SET primary_group = '', group_id = ''`)
	_, members := tx.Exec(ctx, `DELETE FROM member`)
	return errors.Join(mirrored, members)
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
