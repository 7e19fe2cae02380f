package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/bench/drive"
	"github.com/pennypost/pennypost/bench/peer"
)

// newUsers measures what it takes to have a user more, by what each server offers for it, one after the other. That the
// first and the last can sign in is seen afterwards.
func newUsers(ctx context.Context, b *bench, t *target, round int) error {
	name := func(i int) string { return fmt.Sprintf("new.%d.%d", round, i) }
	out, err := drive.Closed(ctx, 1, b.scale.users, b.scale.most, func(ctx context.Context, _ int) (drive.Worker, error) {
		return t.NewUsers(ctx, name)
	})
	if err != nil {
		return err
	}
	if err := b.addRate(round, t.Name(), sectionUsers, "new-user-c1", out, 1, true); err != nil {
		return err
	}
	return errors.Join(signsIn(ctx, t.Endpoint(), name(0)), signsIn(ctx, t.Endpoint(), name(out.Done-1)))
}

func signsIn(ctx context.Context, e peer.Endpoint, user string) error {
	m, err := e.IMAP(ctx, user, 4096)
	if err != nil {
		return err
	}
	_, err = m.Do("SELECT INBOX")
	_ = m.Close() // nothing hangs on it
	return err
}
