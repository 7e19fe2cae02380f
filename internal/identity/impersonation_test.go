package identity_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// stage is an organisation with the enabled users ann and bob, the disabled dis, and one role for all but bob.
type stage struct {
	*house
	*identity.Impersonation
	acme     *directory.Organization
	ann, bob directory.EntityID
	role     policy.RoleID
}

// importer is what the role is at first (CreateImpersonationRole) and after a change (UpdateImpersonationRole).
func importer(readOnly bool, targets ...string) policy.NewRole {
	return policy.NewRole{Name: "importer", ReadOnly: readOnly, Rules: []policy.NewRoleRule{{ID: "most", Allow: true, Targets: targets}, {ID: "not-bob", Targets: []string{"bob"}}}}
}

func (h *house) stage(root *secret.Key) *stage {
	h.t.Helper()
	s := &stage{house: h, Impersonation: identity.NewImpersonation(h.policy, h.audit, root, h.clock, nil), acme: h.organization("acme")}
	s.ann, s.bob = h.user(s.acme, "ann", "ann@acme.awsapps.com"), h.user(s.acme, "bob", "bob@acme.awsapps.com")
	h.user(s.acme, "dis", "")
	var err error
	if s.role, err = h.policy.CreateRole(h.t.Context(), admin, s.acme.ID, importer(false), ""); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// assume is AssumeImpersonationRole.
func (s *stage) assume() string {
	s.t.Helper()
	token, err := s.Assume(s.t.Context(), admin, s.acme.ID, s.role)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

var fromImporter = identity.Circumstances{Protocol: "EWS", Address: netip.MustParseAddr("192.0.2.7"), RequestID: "r-1"}

// may acts and reports the kind of the refusal, Internal for none, and what the audit record says.
func (s *stage) may(i *identity.Impersonation, token, user string, write bool) (kind fault.Kind, detail string) {
	s.t.Helper()
	acting, err := i.Act(s.t.Context(), token, user, write, fromImporter)
	if err == nil && (acting.User.Email != user && string(acting.User.ID) != user || acting.Principal.Kind != principal.Role || acting.Principal.ID != string(s.role)) {
		s.t.Errorf("acting for %s: %+v", user, acting)
	}
	trail := s.trail(s.acme)
	last := trail[len(trail)-1]
	if last.Operation != "Impersonate" || last.Actor.Address != fromImporter.Address || last.Actor.Protocol != "EWS" || last.Actor.RequestID != "r-1" ||
		(err == nil) != (last.Outcome == "done") || strings.Contains(last.Detail, token) {
		s.t.Errorf("acting for %s is recorded as %+v", user, last)
	}
	return fault.KindOf(err), last.Detail
}

func (s *stage) want(token, user string, write bool, kind fault.Kind, detail string) {
	s.t.Helper()
	if gotKind, gotDetail := s.may(s.Impersonation, token, user, write); gotKind != kind || gotDetail != detail {
		s.t.Errorf("acting for %s, writing %t: %v, %q; want %v, %q", user, write, gotKind, gotDetail, kind, detail)
	}
}

const allowed = fault.Internal // what KindOf says of no fault

func TestWhatATokenMay(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		s := h.stage(secret.Ephemeral())
		token := s.assume()
		if len(token) > 256 || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("the token %q", token)
		}
		s.want(token, "ann@acme.awsapps.com", false, allowed, "read")
		s.want(token, string(s.ann), true, allowed, "write")
		s.want(token, "bob@acme.awsapps.com", false, fault.Denied, "denied by impersonation rule not-bob")
		s.want(token, "nobody@acme.awsapps.com", false, fault.Denied, "no enabled user")
		s.want(token, "dis", false, fault.Denied, "no enabled user")

		change := func(n policy.NewRole) {
			if err := h.policy.UpdateRole(t.Context(), admin, s.acme.ID, s.role, n); err != nil {
				t.Fatal(err)
			}
		}
		change(importer(true))
		s.want(token, "ann@acme.awsapps.com", false, allowed, "read")
		s.want(token, "ann@acme.awsapps.com", true, fault.Denied, "the role is READ_ONLY")
		change(importer(false, "bob"))
		s.want(token, "ann@acme.awsapps.com", false, fault.Denied, "no impersonation rule allows it")
		change(importer(false))

		h.rule(s.acme, "no-importer", false, policy.AccessConditions{Roles: []policy.RoleID{s.role}, IPRanges: []string{"192.0.2.0/24"}})
		s.want(token, "ann@acme.awsapps.com", false, fault.Denied, "denied by access rule no-importer")
		h.rule(s.acme, "no-importer", false, policy.AccessConditions{Roles: []policy.RoleID{s.role}, NotIPRanges: []string{"192.0.2.0/24"}})
		h.rule(s.acme, "no-ann", false, policy.AccessConditions{Users: []directory.EntityID{s.ann}}) // speaks of users, not of roles
		s.want(token, "ann@acme.awsapps.com", true, allowed, "write")
		h.disable(s.acme, s.ann)
		s.want(token, string(s.ann), false, fault.Denied, "no enabled user")

		if err := h.policy.DeleteRole(t.Context(), admin, s.acme.ID, s.role); err != nil { // DeleteImpersonationRole
			t.Fatal(err)
		}
		s.want(token, "ann@acme.awsapps.com", false, fault.Unauthenticated, "the role or its organization is gone")
		if _, err := s.Assume(t.Context(), admin, s.acme.ID, s.role); !fault.Is(err, fault.NotFound, fault.Resource) {
			t.Errorf("assume a deleted role: %v", err)
		}
	})
}

// TestRolesAreTold holds the records of ACCESS_CONTROL_LOGS with the scope ImpersonationAccessControl.
func TestRolesAreTold(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		s := h.stage(secret.Ephemeral())
		token := s.assume()
		s.want(token, "ann@acme.awsapps.com", true, allowed, "write")
		s.want(token, "bob@acme.awsapps.com", false, fault.Denied, "denied by impersonation rule not-bob")
		s.want(token, "nobody@acme.awsapps.com", false, fault.Denied, "no enabled user") // no rule was asked
		h.rule(s.acme, "no-importer", false, policy.AccessConditions{Roles: []policy.RoleID{s.role}})
		s.want(token, "ann@acme.awsapps.com", false, fault.Denied, "denied by access rule no-importer")
		if err := h.policy.UpdateRole(t.Context(), admin, s.acme.ID, s.role, importer(false, "bob")); err != nil {
			t.Fatal(err)
		}
		s.want(token, "ann@acme.awsapps.com", false, fault.Denied, "no impersonation rule allows it")
		told := func(user directory.EntityID, decided string) string {
			return `ACCESS_CONTROL_LOGS {"request_id":"r-1","user_id":"` + string(user) + `","impersonator_id":"` + string(s.role) +
				`","protocol":"EWS","source_ip":"192.0.2.7",` + decided + `}`
		}
		most := told(s.ann, `"scope":"ImpersonationAccessControl","rule_id":"most","access_granted":true`)
		want := []string{
			most, told(s.ann, `"scope":"AccessControl","rule_id":"default","access_granted":true`),
			told(s.bob, `"scope":"ImpersonationAccessControl","rule_id":"not-bob","access_granted":false`),
			most, told(s.ann, `"scope":"AccessControl","rule_id":"no-importer","access_granted":false`),
			told(s.ann, `"scope":"ImpersonationAccessControl","access_granted":false`),
		}
		if got := h.told(len(want)); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestATokenLivesFifteenMinutesAndOverARestart(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		file := filepath.Join(t.TempDir(), "secret.key")
		root, err := secret.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		s := h.stage(root)
		token := s.assume()
		if root, err = secret.Load(file); err != nil {
			t.Fatal(err)
		}
		another := identity.NewImpersonation(h.policy, h.audit, root, h.clock, nil)
		if kind, detail := s.may(another, token, "ann@acme.awsapps.com", true); kind != allowed {
			t.Errorf("on another server with the key: %v, %s", kind, detail)
		}
		stranger := identity.NewImpersonation(h.policy, h.audit, secret.Ephemeral(), h.clock, nil)
		if kind, _ := s.may(stranger, token, "ann@acme.awsapps.com", true); kind != fault.Unauthenticated {
			t.Errorf("on a server with another key: %v", kind)
		}
		h.clock.Advance(identity.TokenLife - time.Second)
		s.want(token, "ann@acme.awsapps.com", false, allowed, "read")
		h.clock.Advance(time.Second)
		s.want(token, "ann@acme.awsapps.com", false, fault.Unauthenticated, "the token has expired")
		s.want(s.assume(), "ann@acme.awsapps.com", false, allowed, "read")
	})
}

func TestNoOtherTextIsAToken(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		s := h.stage(secret.Ephemeral())
		token := s.assume()
		texts := []string{"", "x", token[:len(token)-2], token + "AA", token[:20], strings.Repeat("A", 256), token + "\n"}
		for i := range token {
			b := []byte(token)
			if b[i]++; b[i] == 'Z'+1 || b[i] == 'z'+1 || b[i] == '9'+1 {
				b[i] = '-'
			}
			texts = append(texts, string(b))
		}
		for _, text := range slices.Compact(texts) {
			acting, err := s.Act(t.Context(), text, "ann@acme.awsapps.com", false, fromImporter)
			if fault.KindOf(err) != fault.Unauthenticated {
				t.Fatalf("%q: %+v, %v", text, acting, err)
			}
		}
		// A role of another organisation is unknown, whatever its id.
		other := h.organization("other")
		if _, err := s.Assume(t.Context(), admin, other.ID, s.role); !fault.Is(err, fault.NotFound, fault.Resource) {
			t.Errorf("assume another organization's role: %v", err)
		}
		if _, err := s.Assume(t.Context(), principal.Principal{Kind: principal.Role, ID: string(s.role)}, s.acme.ID, s.role); !fault.Is(err, fault.Denied, fault.None) {
			t.Errorf("assume a role in a role: %v", err)
		}
	})
}
