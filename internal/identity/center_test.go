package identity_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	instance      = "arn:aws:sso:::instance/ssoins-0123456789abcdef"
	otherInstance = "arn:aws:sso:::instance/ssoins-fedcba9876543210"
	annsIdentity  = "01234567-89ab-cdef-0123-456789abcdef"
	bobsIdentity  = "11234567-89ab-cdef-0123-456789abcdef"
	store         = "d-0123456789"
)

// fromWeb is how somebody comes to the sign-in page.
var fromWeb = identity.Circumstances{Protocol: "WebMail", Address: fromHome.Address}

func (h *house) application() string {
	h.t.Helper()
	arn, err := h.center.CreateApplication(h.t.Context(), admin, "mail", instance, "")
	if err != nil {
		h.t.Fatal(err)
	}
	return arn
}

// provider lets an organisation sign in by a provider, with a change of the usual configuration.
func (h *house) provider(o *directory.Organization, change func(*identity.Provider)) {
	h.t.Helper()
	v, err := h.center.Provider(h.t.Context(), admin, o.ID)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		v, err = identity.Provider{Instance: instance, Application: h.application(), TokensActive: true}, nil
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if change != nil {
		change(&v)
	}
	if err := h.center.PutProvider(h.t.Context(), admin, o.ID, v); err != nil {
		h.t.Fatal(err)
	}
}

func who(id, name string) identity.Identity {
	return identity.Identity{Instance: instance, Link: directory.Link{UserID: id, StoreID: store, Name: name}}
}

// vouched signs in by the provider.
func (h *house) vouched(o *directory.Organization, id, name string) *identity.Session {
	h.t.Helper()
	s, err := h.AdmitIdentity(h.t.Context(), o.ID, who(id, name), fromWeb)
	if err != nil {
		h.t.Fatalf("%s was refused: %v", name, err)
	}
	h.t.Cleanup(s.Close)
	return s
}

func (h *house) token(s *identity.Session, scopes ...string) (identity.Token, string) {
	h.t.Helper()
	t, text, err := h.center.CreateToken(h.t.Context(), s.Principal, "phone", scopes)
	if err != nil {
		h.t.Fatal(err)
	}
	return t, text
}

func (h *house) goesOn(sessions ...*identity.Session) {
	h.t.Helper()
	for _, s := range sessions {
		select {
		case <-s.Done():
			h.t.Errorf("a session of %s by %s ended", s.Principal.Name, s.Principal.Protocol)
		default:
		}
	}
}

func (h *house) sound() {
	h.t.Helper()
	err := h.db.Read(h.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		faults, err := h.center.Check(ctx, tx)
		if len(faults) > 0 {
			h.t.Errorf("the check finds %q", faults)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func refusedAs(t *testing.T, err error, kind fault.Kind, subject fault.Subject) {
	t.Helper()
	if !fault.Is(err, kind, subject) {
		t.Errorf("got %v, want %s of %q", err, kind, subject)
	}
}

// PutIdentityProviderConfiguration and DeleteIdentityProviderConfiguration act on open sessions and new sign-ins alike.
func TestBothAuthenticationModes(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, other := h.organization("acme"), h.organization("other")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(other, "eve", "eve@other.awsapps.com")
		before := h.admits("ann", password)
		eve := h.admits("eve", password)

		h.provider(acme, nil) // both
		web := h.vouched(acme, annsIdentity, "ANN")
		_, text := h.token(web, "IMAP", "SMTP")
		byToken := h.admits("ann@acme.awsapps.com", text)
		byPassword := h.admits("ann", password)

		h.provider(acme, func(v *identity.Provider) { v.Only = true })
		h.ends(before)
		h.ends(byPassword)
		h.refuses("ann", password) // remembered, and right
		h.refuses("ann", "wrong Pa$$w0rd")
		h.admits("ann", text)
		h.goesOn(web, byToken, eve)
		h.admits("eve", password)

		h.provider(acme, func(v *identity.Provider) { v.Only = false })
		h.admits("ann", password)

		h.provider(acme, func(v *identity.Provider) { v.Only = true })
		if err := h.center.DeleteProvider(t.Context(), admin, acme.ID); err != nil {
			t.Fatal(err)
		}
		h.ends(byToken)
		h.ends(web)
		h.refuses("ann", text)
		h.admits("ann", password)
		h.sound()
	})
}

func TestApplicationsAndConfigurations(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, ctx := h.organization("acme"), t.Context()
		one, err := h.center.CreateApplication(ctx, admin, "mail", instance, "token")
		again, errAgain := h.center.CreateApplication(ctx, admin, "mail", instance, "token")
		if err != nil || errAgain != nil || one != again || !strings.HasPrefix(one, "arn:aws:sso::000000000000:application/ssoins-0123456789abcdef/apl-") {
			t.Fatalf("made %s, %v, and again %s, %v", one, err, again, errAgain)
		}
		_, err = h.center.CreateApplication(ctx, admin, "other", instance, "token")
		refusedAs(t, err, fault.Invalid, fault.Token)
		_, err = h.center.CreateApplication(ctx, admin, "mail", otherInstance, "")
		refusedAs(t, err, fault.Invalid, fault.Resource)
		_, err = h.center.CreateApplication(ctx, principal.Principal{Kind: principal.User}, "mail", instance, "")
		refusedAs(t, err, fault.Denied, fault.None)
		refusedAs(t, h.center.DeleteApplication(ctx, principal.Principal{Kind: principal.User}, one), fault.Denied, fault.None)

		_, err = h.center.Provider(ctx, admin, acme.ID)
		refusedAs(t, err, fault.NotFound, fault.Resource)
		good := identity.Provider{Instance: instance, Application: one, LifetimeDays: 7, Only: true}
		for _, bad := range []struct {
			change  func(*identity.Provider)
			kind    fault.Kind
			subject fault.Subject
		}{
			{func(v *identity.Provider) { v.Application += "x" }, fault.NotFound, fault.Resource},
			{func(v *identity.Provider) { v.Instance = otherInstance }, fault.Invalid, fault.Resource},
			{func(v *identity.Provider) { v.LifetimeDays = 3654 }, fault.Invalid, fault.Resource},
			{func(v *identity.Provider) { v.LifetimeDays = -1 }, fault.Invalid, fault.Resource},
		} {
			v := good
			bad.change(&v)
			refusedAs(t, h.center.PutProvider(ctx, admin, acme.ID, v), bad.kind, bad.subject)
		}
		if err := h.center.PutProvider(ctx, admin, acme.ID, good); err != nil {
			t.Fatal(err)
		}
		if v, err := h.center.Provider(ctx, admin, acme.ID); err != nil || v != good {
			t.Errorf("the configuration is %+v, %v", v, err)
		}
		refusedAs(t, h.center.DeleteApplication(ctx, admin, one), fault.InUse, fault.Organization)
		for range 2 {
			if err := h.center.DeleteProvider(ctx, admin, acme.ID); err != nil {
				t.Error(err)
			}
			if err := h.center.DeleteApplication(ctx, admin, one); err != nil {
				t.Error(err)
			}
		}
		h.sound()
	})
}

func TestAnIdentityIsLinkedOnce(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, ctx := h.organization("acme"), t.Context()
		ann := h.user(acme, "Ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.user(acme, "dora", "") // never enabled
		_, err := h.AdmitIdentity(ctx, acme.ID, who(annsIdentity, "ann"), fromWeb)
		refusedAs(t, err, fault.NotFound, fault.Resource) // no provider yet
		h.provider(acme, nil)

		web := h.vouched(acme, strings.ToUpper(annsIdentity), "ann")
		u, err := h.directory.DescribeUser(ctx, admin, acme.ID, "ann")
		if err != nil || u.ID != ann || u.IdentityProviderUserID != annsIdentity || u.IdentityProviderStoreID != store {
			t.Errorf("the user is linked as %+v, %v", u, err)
		}
		h.vouched(acme, annsIdentity, "renamed at the provider")

		refuse := func(i identity.Identity, kind fault.Kind, subject fault.Subject) {
			t.Helper()
			_, err := h.AdmitIdentity(ctx, acme.ID, i, fromWeb)
			refusedAs(t, err, kind, subject)
		}
		refuse(who(bobsIdentity, "ann"), fault.Exists, fault.Entity)
		refuse(who(bobsIdentity, "nobody"), fault.NotFound, fault.Entity)
		refuse(who(bobsIdentity, string(ann)), fault.NotFound, fault.Entity) // an id is no name
		refuse(who(bobsIdentity, "ann@acme.awsapps.com"), fault.NotFound, fault.Entity)
		refuse(who(bobsIdentity, "dora"), fault.State, fault.Entity)
		refuse(who("auth0|1", "bob"), fault.Invalid, fault.Entity)
		foreign := who(bobsIdentity, "bob")
		foreign.Instance = otherInstance
		refuse(foreign, fault.Invalid, fault.Resource)

		// What an administrator filled in is the link, whatever the name is.
		change := func(user, id string) {
			t.Helper()
			if err := h.directory.UpdateUser(ctx, admin, acme.ID, user, directory.UserChange{IdentityProviderUserID: &id}); err != nil {
				t.Fatal(err)
			}
		}
		change("bob", bobsIdentity)
		if s := h.vouched(acme, bobsIdentity, "somebody"); s.Principal.Name != "bob" {
			t.Errorf("bob's identity signs in as %s", s.Principal.Name)
		}
		change("ann", bobsIdentity)
		h.ends(web)
		refuse(who(bobsIdentity, "bob"), fault.Exists, fault.Entity) // two have it

		var trail []string
		for _, r := range h.trail(acme) {
			if r.Operation == "LinkIdentity" {
				trail = append(trail, r.Subject+" "+r.Detail)
			}
		}
		if len(trail) != 2 || trail[0] != string(ann)+" "+annsIdentity { // bob's store was filled in
			t.Errorf("the audit trail of links is %q", trail)
		}
	})
}

// DeletePersonalAccessToken and the status INACTIVE end what a token opened.
func TestTokensOpenWhatTheyAreFor(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, ctx := h.organization("acme"), t.Context()
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.provider(acme, func(v *identity.Provider) { v.LifetimeDays = 1 })
		web, bob := h.vouched(acme, annsIdentity, "ann"), h.vouched(acme, bobsIdentity, "bob")
		imap, imapText := h.token(web, "IMAP")
		smtp, smtpText := h.token(web, "SMTP", "SMTP")
		if len(imapText) != 61 || !strings.HasPrefix(imapText, "ppat_"+imap.ID) {
			t.Errorf("the token is %q of %s", imapText, imap.ID)
		}
		s := h.admits("ann", imapText)
		if s.Token != imap.ID || s.Principal.ID != string(ann) {
			t.Errorf("the session is %+v", s.Principal)
		}
		h.refuses("ann", smtpText) // at the door of IMAP
		for text, opens := range map[string]bool{imapText: true, smtpText: false} {
			s, err := h.Authenticate(ctx, identity.Credentials{Username: "ann", Password: text},
				identity.Circumstances{Protocol: identity.ManageSieve, Address: netip.MustParseAddr("198.51.100.1")})
			if (err == nil) != opens {
				t.Errorf("a token opens ManageSieve: %v, want %v", err, opens)
			}
			if err == nil {
				s.Close()
			}
		}
		h.refuses("bob", imapText)
		h.refuses("ann", imapText[:len(imapText)-1]+"!")
		h.refuses("ann", strings.Replace(imapText, imap.ID, smtp.ID, 1))

		// Used: an hour's uses are one write.
		used := func() time.Time {
			t.Helper()
			got, err := h.center.Token(ctx, admin, acme.ID, imap.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Used
		}
		if !used().Equal(newYear) {
			t.Errorf("used at %v", used())
		}
		h.clock.Advance(59 * time.Minute)
		h.admits("ann", imapText)
		if !used().Equal(newYear) {
			t.Errorf("used at %v, written twice in an hour", used())
		}
		h.clock.Advance(time.Minute)
		h.admits("ann", imapText)
		if !used().Equal(newYear.Add(time.Hour)) {
			t.Errorf("used at %v", used())
		}

		// The password's change is not the token's.
		if err := h.directory.SetPassword(ctx, admin, acme.ID, string(ann), "another Pa$$w0rd", directory.Narrow{}); err != nil {
			t.Fatal(err)
		}
		h.admits("ann", "another Pa$$w0rd")
		h.admits("ann", imapText)

		// INACTIVE blocks making, listing, deleting and using.
		live := h.admits("ann", imapText)
		h.provider(acme, func(v *identity.Provider) { v.TokensActive = false })
		h.ends(live)
		h.refuses("ann", imapText)
		_, _, err := h.center.CreateToken(ctx, web.Principal, "x", []string{"IMAP"})
		refusedAs(t, err, fault.Invalid, fault.Resource)
		_, err = h.center.OwnTokens(ctx, web.Principal)
		refusedAs(t, err, fault.Invalid, fault.Resource)
		refusedAs(t, h.center.DeleteOwnToken(ctx, web.Principal, imap.ID), fault.Invalid, fault.Resource)
		_, _, err = h.center.ListTokens(ctx, admin, acme.ID, "", directory.Page{})
		refusedAs(t, err, fault.Invalid, fault.Resource)
		refusedAs(t, h.center.DeleteToken(ctx, admin, acme.ID, imap.ID), fault.Invalid, fault.Resource)
		h.provider(acme, func(v *identity.Provider) { v.TokensActive = true })
		live = h.admits("ann", imapText)

		// Somebody else's token can't be deleted; one's own ends its sessions.
		if err := h.center.DeleteOwnToken(ctx, bob.Principal, imap.ID); err != nil {
			t.Error(err)
		}
		h.goesOn(live)
		if err := h.center.DeleteOwnToken(ctx, web.Principal, imap.ID); err != nil {
			t.Error(err)
		}
		h.ends(live)
		h.refuses("ann", imapText)
		h.goesOn(web)

		// Without the link no token is good.
		_, bobsText := h.token(bob, "IMAP")
		live = h.admits("bob", bobsText)
		none := ""
		if err := h.directory.UpdateUser(ctx, admin, acme.ID, "bob", directory.UserChange{IdentityProviderUserID: &none}); err != nil {
			t.Fatal(err)
		}
		h.ends(live)
		h.refuses("bob", bobsText)
		_, _, err = h.center.CreateToken(ctx, bob.Principal, "x", []string{"IMAP"})
		refusedAs(t, err, fault.Denied, fault.Entity)
		h.sound()
	})
}

func TestATokenExpiresWithItsSessions(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.provider(acme, func(v *identity.Provider) { v.LifetimeDays = 1 })
		web := h.vouched(acme, annsIdentity, "ann")
		short, text := h.token(web, "IMAP")
		h.provider(acme, func(v *identity.Provider) { v.LifetimeDays = 0 })
		forever, foreverText := h.token(web, "IMAP")
		if !short.Expires.Equal(newYear.Add(24*time.Hour)) || !forever.Expires.IsZero() {
			t.Errorf("they expire at %v and %v", short.Expires, forever.Expires)
		}
		h.clock.Advance(24*time.Hour - time.Microsecond)
		s, lasting := h.admits("ann", text), h.admits("ann", foreverText)
		h.clock.Advance(time.Microsecond)
		h.refuses("ann", text)
		for over := false; !over; {
			h.clock.Advance(10 * time.Second) // the door looks at its next tick, whenever that was set
			select {
			case <-s.Done():
				over = true
			default:
			}
		}
		h.goesOn(lasting)
		last := ""
		for _, r := range h.trail(acme) {
			if r.Operation == "SignIn" && r.Outcome != "done" {
				last = r.Detail
			}
		}
		if last != "the personal access token has expired: "+short.ID {
			t.Errorf("the refusal is recorded as %q", last)
		}
	})
}

func TestWhatIsMadeOfTokensIsChecked(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme, other, ctx := h.organization("acme"), h.organization("other"), t.Context()
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.provider(acme, nil)
		web := h.vouched(acme, annsIdentity, "ann")
		for name, scopes := range map[string][]string{
			"": {"IMAP"}, strings.Repeat("x", 65): {"IMAP"}, "a<b": {"IMAP"}, "a\x00": {"IMAP"}, "\xff": {"IMAP"}, "none": nil, "wrong": {"IMAP", "imap"},
		} {
			_, _, err := h.center.CreateToken(ctx, web.Principal, name, scopes)
			refusedAs(t, err, fault.Invalid, fault.Resource)
		}
		_, _, err := h.center.CreateToken(ctx, admin, "x", []string{"IMAP"})
		refusedAs(t, err, fault.Denied, fault.None)
		var last identity.Token
		for range 100 {
			last, _ = h.token(web, "IMAP")
		}
		_, _, err = h.center.CreateToken(ctx, web.Principal, "one more", []string{"IMAP"})
		refusedAs(t, err, fault.Limit, fault.Resource)
		own, err := h.center.OwnTokens(ctx, web.Principal)
		if err != nil || len(own) != 100 {
			t.Errorf("%d of one's own, %v", len(own), err)
		}

		all := map[string]bool{}
		for page := (directory.Page{Limit: 33}); ; {
			tokens, next, err := h.center.ListTokens(ctx, admin, acme.ID, "ann@acme.awsapps.com", page)
			if err != nil {
				t.Fatal(err)
			}
			for _, tok := range tokens {
				all[tok.ID] = true
			}
			if page.After = next; next == "" {
				break
			}
		}
		if len(all) != 100 {
			t.Errorf("the pages hold %d", len(all))
		}
		if tokens, _, err := h.center.ListTokens(ctx, admin, acme.ID, "bob", directory.Page{}); err != nil || len(tokens) != 0 {
			t.Errorf("bob has %v, %v", tokens, err)
		}
		_, _, err = h.center.ListTokens(ctx, admin, acme.ID, "nobody", directory.Page{})
		refusedAs(t, err, fault.NotFound, fault.Entity)
		_, err = h.center.Token(ctx, admin, other.ID, last.ID)
		refusedAs(t, err, fault.NotFound, fault.Resource)
		if err := h.center.DeleteToken(ctx, admin, other.ID, last.ID); err != nil {
			t.Error(err)
		}
		if _, err := h.center.Token(ctx, admin, acme.ID, last.ID); err != nil {
			t.Errorf("another organisation deleted it: %v", err)
		}
		if err := h.center.DeleteToken(ctx, admin, acme.ID, last.ID); err != nil {
			t.Error(err)
		}
		_, err = h.center.Token(ctx, admin, acme.ID, last.ID)
		refusedAs(t, err, fault.NotFound, fault.Resource)
	})
}

// A secret that has a token's form and is none is asked for as any password is.
func TestAPasswordMayLookLikeAToken(t *testing.T) {
	onBoth(t, identity.Limits{AccountFailures: 3, AccountRefill: time.Hour}, func(h *house) {
		acme := h.organization("acme")
		ann := h.user(acme, "ann", "ann@acme.awsapps.com")
		h.provider(acme, nil)
		web := h.vouched(acme, annsIdentity, "ann")
		token, text := h.token(web, "IMAP")
		for _, like := range []string{"ppat_" + strings.Repeat("a", 13) + strings.Repeat("Z", 43), "ppat_" + token.ID + strings.Repeat("Z", 43), "ppat_x_Z"} {
			if err := h.directory.SetPassword(t.Context(), admin, acme.ID, string(ann), like, directory.Narrow{}); err != nil {
				t.Fatal(err)
			}
			h.admits("ann", like)
		}
		for range 3 { // guesses at a token are guesses
			h.refuses("ann", "ppat_"+token.ID+strings.Repeat("Y", 43))
		}
		h.tally()
		records := h.trail(acme)
		h.refuses("ann", "ppat_"+token.ID+strings.Repeat("X", 43))
		h.tally()
		if last := h.trail(acme)[len(records)]; !strings.HasPrefix(last.Detail, "too many failures for the account") {
			t.Errorf("the fourth guess is refused for %q", last.Detail)
		}
		h.admits("ann", text) // whom a stranger can't lock out
		if last := h.trail(acme)[len(records)+1]; last.Detail != "personal access token "+token.ID {
			t.Errorf("the sign-in is recorded as %q", last.Detail)
		}
	})
}

// The database alone tells nobody's token.
func TestTokensAreNotKept(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.provider(acme, nil)
		_, text := h.token(h.vouched(acme, annsIdentity, "ann"), "IMAP")
		h.admits("ann", text)
		h.write(func(ctx context.Context, tx *db.Tx) error {
			rows, err := tx.Query(ctx, `SELECT name || scopes || id, mac FROM personal_access_token`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var words string
				var mac []byte
				if err := rows.Scan(&words, &mac); err != nil {
					return err
				}
				if strings.Contains(words+string(mac), text[len(text)-43:]) || len(mac) != 32 {
					t.Errorf("the row holds %q and %x", words, mac)
				}
			}
			return rows.Err()
		})
	})
}

// What an access rule forbids no token and no identity provider opens.
func TestAccessRulesGuardEveryProof(t *testing.T) {
	onBoth(t, identity.Limits{AddressFailures: 5, AddressRefill: time.Hour}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.provider(acme, nil)
		web := h.vouched(acme, annsIdentity, "ann")
		_, text := h.token(web, "IMAP")
		s := h.admits("ann", text)
		h.rule(acme, "no-imap", false, policy.AccessConditions{Actions: []string{"IMAP"}})
		h.ends(s)
		h.goesOn(web)
		h.refuses("ann", text)
		if got := h.lastReason(acme); got != "denied by access rule no-imap" {
			t.Errorf("the record says %q", got)
		}
		h.rule(acme, "no-imap", false, policy.AccessConditions{Actions: []string{"WebMail"}})
		h.ends(web)
		h.admits("ann", text)
		_, err := h.AdmitIdentity(t.Context(), acme.ID, who(annsIdentity, "ann"), fromWeb)
		refusedAs(t, err, fault.Unauthenticated, fault.None)
	})
}
