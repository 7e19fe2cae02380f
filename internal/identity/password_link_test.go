package identity_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
)

const week = 7 * 24 * time.Hour

// bare makes an enabled user without a password.
func (h *house) bare(o *directory.Organization, name string) directory.EntityID {
	h.t.Helper()
	id, err := h.directory.CreateUser(h.t.Context(), admin, o.ID, directory.NewUser{Name: name, DisplayName: name})
	if err != nil {
		h.t.Fatal(err)
	}
	h.enable(o, id, name)
	return id
}

func (h *house) enable(o *directory.Organization, id directory.EntityID, name string) {
	h.t.Helper()
	h.write(func(ctx context.Context, tx *db.Tx) error {
		e, err := h.directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{})
		if err != nil {
			return err
		}
		a, err := directory.ParseAddress(name + "@" + o.Alias + ".awsapps.com")
		if err != nil {
			return err
		}
		return h.directory.EnableTx(ctx, tx, o, e, a, 1, true)
	})
}

func (h *house) link(o *directory.Organization, user string, life time.Duration) identity.PasswordLink {
	h.t.Helper()
	l, err := h.center.CreatePasswordLink(h.t.Context(), admin, o.ID, user, life)
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// useless fails unless a link is refused in the words of every refusal, for the reason in the audit trail.
func (h *house) useless(o *directory.Organization, link, reason string) {
	h.t.Helper()
	const words = "this link can't be used: it is wrong, was used already or has expired; ask your administrator for a new one"
	_, looked := h.PasswordLink(h.t.Context(), link, fromWeb)
	_, set := h.SetPassword(h.t.Context(), link, "another Pa$$w0rd", fromWeb)
	for _, err := range []error{looked, set} {
		if fault.KindOf(err) != fault.Unauthenticated || err.Error() != words {
			h.t.Errorf("a link that should be refused for %q: %v", reason, err)
		}
	}
	told := 0
	for _, r := range h.trail(o) {
		if r.Operation == "UseSetPasswordLink" && r.Outcome == fault.Unauthenticated.String() && r.Detail == reason && r.Actor.Address == fromWeb.Address {
			told++
		}
	}
	if told < 2 {
		h.t.Errorf("the trail tells %d times of %q: %+v", told, reason, h.trail(o))
	}
}

func TestALinkSetsAPasswordOnce(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := h.bare(acme, "ann")
		l := h.link(acme, "ANN@acme.awsapps.com", week)
		if l.User.ID != ann || len(l.Secret) != 43 || !l.Expires.Equal(newYear.Add(week)) {
			t.Errorf("the link is %+v", l)
		}
		for range 2 { // looking does not use it up
			who, err := h.PasswordLink(t.Context(), l.Secret, fromWeb)
			if err != nil || who.ID != ann || who.Email != "ann@acme.awsapps.com" {
				t.Errorf("the link is for %+v, %v", who, err)
			}
		}
		_, err := h.SetPassword(t.Context(), l.Secret, "short", fromWeb)
		refusedAs(t, err, fault.BadPassword, fault.Entity)
		if _, err := h.SetPassword(t.Context(), l.Secret, password, fromWeb); err != nil {
			t.Fatal(err)
		}
		h.admits("ann", password)
		h.useless(acme, l.Secret, "no such link")
		var made, used bool
		for _, r := range h.trail(acme) {
			made = made || r.Operation == "CreateSetPasswordLink" && r.Subject == string(ann) && r.Actor.ID == admin.ID
			used = used || r.Operation == "UseSetPasswordLink" && r.Subject == string(ann) && r.Outcome == audit.Done && r.Actor.ID == string(ann)
			if strings.Contains(r.Detail+r.Subject, l.Secret) {
				t.Errorf("the trail tells the secret: %+v", r)
			}
		}
		if !made || !used {
			t.Errorf("the trail is %+v", h.trail(acme))
		}
		h.sound()
	})
}

func TestALinkKeepsNothingOfItsSecret(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.bare(acme, "ann")
		l := h.link(acme, "ann", week)
		err := h.db.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
			var mac []byte
			if err := tx.QueryRow(ctx, `SELECT mac FROM set_password_link`).Scan(&mac); err != nil {
				return err
			}
			if len(mac) != 32 || strings.Contains(string(mac), l.Secret[:8]) {
				t.Errorf("what is kept is %x", mac)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Whatever else gives the user a password, or takes the mailbox, ends a link; so does the next link, and its time.
func TestWhatEndsALink(t *testing.T) {
	onBoth(t, identity.Limits{AddressFailures: 1000}, func(h *house) {
		acme := h.organization("acme")
		ann := h.bare(acme, "ann")
		first := h.link(acme, "ann", week)
		second := h.link(acme, "ann", identity.MinLinkLife)
		h.useless(acme, first.Secret, "no such link")
		h.clock.Advance(identity.MinLinkLife - time.Microsecond)
		if _, err := h.PasswordLink(t.Context(), second.Secret, fromWeb); err != nil {
			t.Errorf("at its last moment: %v", err)
		}
		h.clock.Advance(time.Microsecond)
		h.useless(acme, second.Secret, "the link has expired")

		third := h.link(acme, "ann", week)
		if err := h.directory.SetPassword(t.Context(), admin, acme.ID, "ann", password, directory.Narrow{}); err != nil {
			t.Fatal(err)
		}
		h.useless(acme, third.Secret, "the password was set after the link was made")

		fourth := h.link(acme, "ann", week) // for one who has a password, and may have forgotten it
		open := h.admits("ann", password)
		if _, err := h.SetPassword(t.Context(), fourth.Secret, "another Pa$$w0rd", fromWeb); err != nil {
			t.Fatal(err)
		}
		h.ends(open)
		h.refuses("ann", password)
		h.admits("ann", "another Pa$$w0rd")

		fifth := h.link(acme, "ann", week)
		h.disable(acme, ann)
		h.useless(acme, fifth.Secret, "not enabled")
		h.clock.Advance(time.Second)
		h.enable(acme, ann, "ann")
		h.useless(acme, fifth.Secret, "the user was disabled after the link was made")

		sixth := h.link(acme, "ann", week)
		h.disable(acme, ann)
		h.write(func(ctx context.Context, tx *db.Tx) error {
			e, err := h.directory.FindForTx(ctx, tx, acme, string(ann), directory.Narrow{})
			if err != nil {
				return err
			}
			return h.directory.DeleteTx(ctx, tx, acme, e)
		})
		h.useless(acme, sixth.Secret, "not enabled")
		h.sound()
		h.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := h.center.ForgetTx(ctx, tx, sixth.User.Key, 100)
			return err
		})
		h.useless(acme, sixth.Secret, "no such link")
		for _, junk := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("é", 43), sixth.Secret + "=", sixth.Secret + "\n", "%"} {
			h.useless(acme, junk, "no such link")
		}
	})
}

func TestWhoGetsNoLink(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, other := h.organization("acme"), h.organization("other")
		h.user(acme, "off", "")
		h.bare(other, "eve")
		for _, c := range []struct {
			user    string
			life    time.Duration
			kind    fault.Kind
			subject fault.Subject
		}{
			{"off", week, fault.State, fault.Entity},
			{"nobody", week, fault.NotFound, fault.Entity},
			{"eve", week, fault.NotFound, fault.Entity},
			{"eve", identity.MinLinkLife - 1, fault.Invalid, fault.None},
			{"eve", identity.MaxLinkLife + 1, fault.Invalid, fault.None},
		} {
			_, err := h.center.CreatePasswordLink(t.Context(), admin, acme.ID, c.user, c.life)
			refusedAs(t, err, c.kind, c.subject)
		}
		outside := h.organization("outside")
		h.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE organization SET directory_type = 'ADConnector', directory_id = 'd-1234567890' WHERE id = $1`, string(outside.ID))
			return err
		})
		_, err := h.center.CreatePasswordLink(t.Context(), admin, outside.ID, "ann", week)
		refusedAs(t, err, fault.Unsupported, fault.Directory)
	})
}

// Of many who use one link at once one sets the password, and it is the one that opens the door.
func TestARaceForALinkHasOneWinner(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.bare(acme, "ann")
		for range 3 {
			l := h.link(acme, "ann", week)
			passwords := []string{"first Pa$$w0rd", "second Pa$$w0rd", "third Pa$$w0rd", "fourth Pa$$w0rd"}
			set := make([]bool, len(passwords))
			var racers sync.WaitGroup
			for i, p := range passwords {
				racers.Go(func() {
					_, err := h.SetPassword(t.Context(), l.Secret, p, fromWeb)
					if err != nil && fault.KindOf(err) != fault.Unauthenticated {
						t.Error(err)
					}
					set[i] = err == nil
				})
			}
			racers.Wait()
			winner := slices.Index(set, true)
			if winner < 0 || slices.Contains(set[winner+1:], true) {
				t.Fatalf("who set the password: %v", set)
			}
			h.admits("ann", passwords[winner])
		}
	})
}

func TestGuessingLinksIsLimited(t *testing.T) {
	onBoth(t, identity.Limits{AddressFailures: 4}, func(h *house) {
		acme := h.organization("acme")
		h.bare(acme, "ann")
		l := h.link(acme, "ann", week)
		h.useless(acme, strings.Repeat("A", 43), "no such link") // two tries
		h.useless(acme, strings.Repeat("B", 43), "no such link")
		_, err := h.PasswordLink(t.Context(), l.Secret, fromWeb)
		refusedAs(t, err, fault.Temporary, fault.None)
		_, err = h.SetPassword(t.Context(), l.Secret, password, fromWeb)
		refusedAs(t, err, fault.Temporary, fault.None)
		h.refuses("ann", password) // the limit is the door's: an address that guesses links guesses no passwords either
		h.clock.Advance(time.Minute)
		if _, err := h.SetPassword(t.Context(), l.Secret, password, fromWeb); err != nil {
			t.Error(err)
		}
	})
}
