package identity_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/secret"
)

func checkPolicy(document string) error {
	if document != "AmazonWorkMailFullAccess" {
		return errors.New("unknown policy")
	}
	return nil
}

func TestAccessKeys(t *testing.T) {
	dbtest.Run(t, append(identity.Migrations(), audit.Migrations()...), func(t *testing.T, d *db.DB) {
		ctx, root, f := t.Context(), secret.Ephemeral(), feed.New()
		if err := identity.BindRoot(ctx, d, root); err != nil {
			t.Fatal(err)
		}
		trail := audit.New(d, clock.NewFake(newYear), audit.Config{})
		keys := identity.NewKeys(d, trail, root, f, clock.NewFake(newYear), checkPolicy)
		if _, err := keys.Create(ctx, admin, "x", `{"Statement": 1}`); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a policy that is not enforced: %v, want Invalid", err)
		}
		made, err := keys.Create(ctx, admin, "ops", "AmazonWorkMailFullAccess")
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(made.ID) || len(made.Secret) != 40 {
			t.Errorf("key id %q, %d characters of secret; want an AWS access key's shape", made.ID, len(made.Secret))
		}
		got, err := keys.Lookup(ctx, made.ID)
		if err != nil || got != made {
			t.Fatalf("Lookup = %+v, %v; want what was made", got, err)
		}
		if err := d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
			var stored []byte
			if err := tx.QueryRow(ctx, `SELECT secret FROM access_key WHERE id = $1`, made.ID).Scan(&stored); err != nil {
				return err
			}
			if bytes.Contains(stored, []byte(made.Secret)) {
				t.Error("the database holds the secret in the clear")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}

		for range 3 { // the first of them remembers it
			if again, err := keys.Lookup(ctx, made.ID); err != nil || again != made {
				t.Fatalf("Lookup again = %+v, %v; want what was made", again, err)
			}
		}

		heard := f.Listen(feed.Topic{Kind: "key", Key: made.ID})
		defer heard.Close()
		for range 2 { // again changes nothing
			if err := keys.Revoke(ctx, admin, made.ID); err != nil {
				t.Fatal(err)
			}
		}
		select {
		case <-heard.C:
		default:
			t.Error("nobody was told of the revocation")
		}
		if _, err := keys.Lookup(ctx, made.ID); !fault.Is(err, fault.NotFound, fault.Key) {
			t.Errorf("a revoked key: %v, want NotFound", err)
		}
		if err := keys.Revoke(ctx, admin, "AKIANOSUCHKEY"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("revoke an unknown key: %v, want NotFound", err)
		}
		list, err := keys.List(ctx, "", 10)
		if err != nil || len(list) != 1 || list[0].ID != made.ID || !list[0].Revoked.Equal(newYear) {
			t.Errorf("List = %+v, %v", list, err)
		}
		records, err := trail.Read(ctx, audit.Query{})
		if err != nil || len(records) != 3 || records[0].Operation != "CreateAccessKey" || records[1].Operation != "RevokeAccessKey" ||
			records[1].Subject != made.ID || records[1].Actor.ID != admin.ID {
			t.Errorf("audit records %+v, %v; want the creation and both revocations", records, err)
		}
	})
}

func TestAnotherRootKeyIsRefused(t *testing.T) {
	dbtest.Run(t, identity.Migrations(), func(t *testing.T, d *db.DB) {
		root := secret.Ephemeral()
		if id, err := identity.RootID(t.Context(), d); err != nil || id != "" {
			t.Errorf("RootID of an empty database = %q, %v", id, err)
		}
		for range 2 {
			if err := identity.BindRoot(t.Context(), d, root); err != nil {
				t.Fatal(err)
			}
		}
		if err := identity.BindRoot(t.Context(), d, secret.Ephemeral()); err == nil {
			t.Error("another root key was accepted: it could open nothing")
		}
		if id, err := identity.RootID(t.Context(), d); err != nil || id != root.ID() {
			t.Errorf("RootID = %q, %v; want %s", id, err, root.ID())
		}
	})
}
