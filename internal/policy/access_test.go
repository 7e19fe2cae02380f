package policy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

const (
	annID = directory.EntityID("11111111-1111-4111-8111-111111111111")
	benID = directory.EntityID("22222222-2222-4222-8222-222222222222")
)

// rule makes a rule; the text is its conditions, each a word before a colon and values with commas between them.
func rule(t testing.TB, name string, allow bool, text string) compiledRule {
	t.Helper()
	r := AccessRule{Name: name, Allow: allow}
	for condition := range strings.FieldsSeq(text) {
		word, values, _ := strings.Cut(condition, ":")
		for value := range strings.SplitSeq(values, ",") {
			switch word {
			case "ip":
				r.IPRanges = append(r.IPRanges, value)
			case "!ip":
				r.NotIPRanges = append(r.NotIPRanges, value)
			case "action":
				r.Actions = append(r.Actions, value)
			case "!action":
				r.NotActions = append(r.NotActions, value)
			case "user":
				r.Users = append(r.Users, directory.EntityID(value))
			case "!user":
				r.NotUsers = append(r.NotUsers, directory.EntityID(value))
			case "role":
				r.Roles = append(r.Roles, RoleID(value))
			case "!role":
				r.NotRoles = append(r.NotRoles, RoleID(value))
			default:
				t.Fatalf("no condition %q", word)
			}
		}
	}
	c, err := r.compile()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAccessConditions(t *testing.T) {
	at := netip.MustParseAddr
	user := Access{Action: "IMAP", Address: at("192.0.2.7"), User: "ann"}
	role := Access{Action: "EWS", Address: at("192.0.2.7"), Role: "importer"}
	with := func(a Access, address string) Access { a.Address = at(address); return a }
	for _, c := range []struct {
		conditions string
		access     Access
		matches    bool
	}{
		{"", user, true},
		{"", role, true},
		{"ip:192.0.2.0/24", user, true},
		{"ip:10.0.0.0/8,192.0.2.7/32", user, true},
		{"ip:192.0.3.0/24", user, false},
		{"ip:192.0.2.9/24", user, true}, // bits behind the prefix do not count
		{"ip:0.0.0.0/0", user, true},
		{"!ip:192.0.2.0/24", user, false},
		{"!ip:192.0.3.0/24", user, true},
		{"ip:192.0.2.0/24 !ip:192.0.2.7/32", user, false},
		{"ip:0.0.0.0/0", with(user, "2001:db8::1"), false},
		{"!ip:0.0.0.0/0", with(user, "2001:db8::1"), true},
		{"", with(user, "2001:db8::1"), true},
		{"ip:192.0.2.0/24", with(user, "::ffff:192.0.2.7"), true},
		{"ip:0.0.0.0/0", Access{Action: "IMAP", User: "ann"}, false},
		{"!ip:0.0.0.0/0", Access{Action: "IMAP", User: "ann"}, true},
		{"action:SMTP,IMAP", user, true},
		{"action:SMTP", user, false},
		{"!action:SMTP", user, true},
		{"!action:IMAP", user, false},
		{"user:ann,ben", user, true},
		{"user:ben", user, false},
		{"!user:ben", user, true},
		{"!user:ann", user, false},
		{"user:ann", role, false},
		{"!user:ben", role, false},
		{"role:importer", role, true},
		{"role:other", role, false},
		{"!role:other", role, true},
		{"!role:importer", role, false},
		{"role:importer", user, false},
		{"!role:other", user, false},
		{"user:ann role:importer", user, true},
		{"user:ann role:importer", role, true},
		{"user:ann role:other", role, false},
		{"ip:192.0.2.0/24 action:IMAP user:ann", user, true},
		{"ip:192.0.2.0/24 action:SMTP user:ann", user, false},
	} {
		if got := judge([]compiledRule{rule(t, "r", true, c.conditions)}, c.access).Allowed; got != c.matches {
			t.Errorf("%q and %+v: matches %t", c.conditions, c.access, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	access := Access{Action: "IMAP", Address: netip.MustParseAddr("192.0.2.7"), User: "ann"}
	all, office, noIMAP := rule(t, "all", true, ""), rule(t, "office", true, "ip:192.0.2.0/24"), rule(t, "no-imap", false, "action:IMAP")
	noAnn, noSMTP, elsewhere := rule(t, "no-ann", false, "user:ann"), rule(t, "no-smtp", false, "action:SMTP"), rule(t, "elsewhere", true, "ip:10.0.0.0/8")
	for what, c := range map[string]struct {
		rules []compiledRule
		want  Verdict
	}{
		"no rules at all":        {nil, Verdict{}},
		"one that allows":        {[]compiledRule{all}, Verdict{true, []string{"all"}}},
		"two that allow":         {[]compiledRule{all, elsewhere, office}, Verdict{true, []string{"all", "office"}}},
		"one that denies wins":   {[]compiledRule{all, noIMAP, office}, Verdict{false, []string{"no-imap"}}},
		"two that deny":          {[]compiledRule{noAnn, all, noIMAP}, Verdict{false, []string{"no-ann", "no-imap"}}},
		"a denial that is other": {[]compiledRule{all, noSMTP}, Verdict{true, []string{"all"}}},
		"none that matches":      {[]compiledRule{elsewhere, noSMTP}, Verdict{}},
	} {
		if got := judge(c.rules, access); got.Allowed != c.want.Allowed || !slices.Equal(got.Rules, c.want.Rules) {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
}

// begin gives the organisation the rules that a new one has.
func (f *fixture) begin() {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error { return f.BeginTx(ctx, tx, f.org) })
}

// erase takes them away, so that nothing is left behind.
func (f *fixture) erase() {
	f.t.Helper()
	f.write(func(ctx context.Context, tx *db.Tx) error { return f.EraseTx(ctx, tx, f.org) })
}

func TestAccessRules(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.begin()
		ann, team := f.make(directory.KindUser, "ann"), f.make(directory.KindGroup, "team")
		gone := f.makeOff(directory.KindUser, "gone")
		f.end(gone)
		put := func(r AccessRule) error { return f.PutAccessRule(f.ctx, admin, f.org.ID, r) }
		enter := func(action, address string) Verdict {
			f.t.Helper()
			v, err := f.AccessEffect(f.ctx, admin, f.org.ID, Access{Action: action, Address: netip.MustParseAddr(address), User: ann})
			f.ok(err)
			same, err := f.MayEnter(f.ctx, f.org.ID, Access{Action: action, Address: netip.MustParseAddr(address), User: ann})
			f.ok(err)
			if same.Allowed != v.Allowed || !slices.Equal(same.Rules, v.Rules) {
				f.t.Errorf("the effect is %+v, the sign-in's verdict %+v", v, same)
			}
			return v
		}
		rules, err := f.ListAccessRules(f.ctx, admin, f.org.ID)
		f.ok(err)
		if len(rules) != 1 || rules[0].Name != "default" || !rules[0].Allow || rules[0].Description != "Default WorkMail Rule" ||
			rules[0].Created != time.Unix(0, 0).UTC() || rules[0].Modified != time.Unix(0, 0).UTC() {
			f.t.Errorf("a new organization has %+v", rules)
		}
		if v := enter("IMAP", "192.0.2.7"); !v.Allowed || !slices.Equal(v.Rules, []string{"default"}) {
			f.t.Errorf("by the default rule: %+v", v)
		}
		full := AccessRule{Name: "full", Description: "Ä", AccessConditions: AccessConditions{
			IPRanges: []string{"192.0.2.1/24"}, NotIPRanges: []string{"192.0.2.9/32"}, Actions: []string{"IMAP"}, NotActions: []string{"EWS", "WebMail"},
			Users: []directory.EntityID{ann}, NotUsers: []directory.EntityID{ann},
		}}
		f.ok(put(full))
		full.NotUsers = nil
		f.ok(put(full)) // replaces
		rules, err = f.ListAccessRules(f.ctx, admin, f.org.ID)
		f.ok(err)
		if len(rules) != 2 || fmt.Sprint(rules[1].AccessConditions) != fmt.Sprint(full.AccessConditions) || rules[1].Created.IsZero() || rules[1].Allow {
			f.t.Errorf("the rules are %+v", rules)
		}
		if v := enter("IMAP", "192.0.2.7"); v.Allowed || !slices.Equal(v.Rules, []string{"full"}) {
			f.t.Errorf("by the rule that denies: %+v", v)
		}
		if v := enter("SMTP", "192.0.2.7"); !v.Allowed {
			f.t.Errorf("by another action: %+v", v)
		}

		long := func(n int) (ranges []string) {
			for range n {
				ranges = append(ranges, "10.0.0.0/8")
			}
			return ranges
		}
		f.ok(put(AccessRule{Name: "full", AccessConditions: AccessConditions{IPRanges: long(1024)}}))
		for what, c := range map[string]struct {
			rule    AccessRule
			kind    fault.Kind
			subject fault.Subject
		}{
			"a bad name":          {AccessRule{Name: "a b"}, fault.Invalid, fault.None},
			"no name":             {AccessRule{}, fault.Invalid, fault.None},
			"a long description":  {AccessRule{Name: "a", Description: strings.Repeat("ü", 256)}, fault.Invalid, fault.None},
			"a Greek description": {AccessRule{Name: "a", Description: "α"}, fault.Invalid, fault.None},
			"an unknown action":   {AccessRule{Name: "a", AccessConditions: AccessConditions{NotActions: []string{"imap"}}}, fault.Invalid, fault.None},
			"no range":            {AccessRule{Name: "a", AccessConditions: AccessConditions{IPRanges: []string{"192.0.2.1"}}}, fault.Invalid, fault.None},
			"IPv6":                {AccessRule{Name: "a", AccessConditions: AccessConditions{NotIPRanges: []string{"2001:db8::/32"}}}, fault.Invalid, fault.None},
			"too many ranges":     {AccessRule{Name: "a", AccessConditions: AccessConditions{IPRanges: long(1025)}}, fault.Invalid, fault.None},
			"too many users":      {AccessRule{Name: "a", AccessConditions: AccessConditions{Users: slices.Repeat([]directory.EntityID{ann}, 11)}}, fault.Invalid, fault.None},
			"an unknown user":     {AccessRule{Name: "a", AccessConditions: AccessConditions{Users: []directory.EntityID{benID}}}, fault.NotFound, fault.Entity},
			"a user by name":      {AccessRule{Name: "a", AccessConditions: AccessConditions{Users: []directory.EntityID{"ann"}}}, fault.NotFound, fault.Entity},
			"a group":             {AccessRule{Name: "a", AccessConditions: AccessConditions{NotUsers: []directory.EntityID{team}}}, fault.NotFound, fault.Entity},
			"a deleted user":      {AccessRule{Name: "a", AccessConditions: AccessConditions{Users: []directory.EntityID{gone}}}, fault.NotFound, fault.Entity},
			"an unknown role":     {AccessRule{Name: "a", AccessConditions: AccessConditions{NotRoles: []RoleID{"none"}}}, fault.NotFound, fault.Resource},
		} {
			if err := put(c.rule); !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		for i := range 8 {
			f.ok(put(AccessRule{Name: fmt.Sprint("rule-", i), AccessConditions: AccessConditions{Actions: []string{"WebMail"}}}))
		}
		f.wantFault(put(AccessRule{Name: "eleventh"}), fault.Limit, fault.Resource)
		f.ok(put(AccessRule{Name: "rule-7", Allow: true})) // a tenth may be replaced

		for what, c := range map[string]struct {
			access  Access
			kind    fault.Kind
			subject fault.Subject
		}{
			"an unknown action":    {Access{Action: "POP3", Address: netip.MustParseAddr("192.0.2.1"), User: ann}, fault.Invalid, fault.None},
			"IPv6":                 {Access{Action: "IMAP", Address: netip.MustParseAddr("2001:db8::1"), User: ann}, fault.Invalid, fault.None},
			"neither":              {Access{Action: "EWS", Address: netip.MustParseAddr("192.0.2.1")}, fault.Invalid, fault.None},
			"both":                 {Access{Action: "EWS", Address: netip.MustParseAddr("192.0.2.1"), User: ann, Role: "r"}, fault.Invalid, fault.None},
			"a role not by EWS":    {Access{Action: "IMAP", Address: netip.MustParseAddr("192.0.2.1"), Role: "r"}, fault.Invalid, fault.None},
			"an unknown user":      {Access{Action: "IMAP", Address: netip.MustParseAddr("192.0.2.1"), User: benID}, fault.NotFound, fault.Entity},
			"a deleted user":       {Access{Action: "IMAP", Address: netip.MustParseAddr("192.0.2.1"), User: gone}, fault.NotFound, fault.Entity},
			"an unknown role":      {Access{Action: "EWS", Address: netip.MustParseAddr("192.0.2.1"), Role: "r"}, fault.NotFound, fault.Resource},
			"a user's name, no id": {Access{Action: "IMAP", Address: netip.MustParseAddr("192.0.2.1"), User: "ann"}, fault.NotFound, fault.Entity},
		} {
			if _, err := f.AccessEffect(f.ctx, admin, f.org.ID, c.access); !fault.Is(err, c.kind, c.subject) {
				f.t.Errorf("%s: %v", what, err)
			}
		}
		rules, err = f.ListAccessRules(f.ctx, admin, f.org.ID)
		f.ok(err)
		for _, r := range rules {
			f.ok(f.DeleteAccessRule(f.ctx, admin, f.org.ID, r.Name))
			f.ok(f.DeleteAccessRule(f.ctx, admin, f.org.ID, r.Name))
		}
		if v := enter("IMAP", "192.0.2.7"); v.Allowed || len(v.Rules) > 0 {
			f.t.Errorf("without any rule: %+v", v)
		}
		if v, err := f.MayEnter(f.ctx, "m-00000000000000000000000000000000", Access{Action: "IMAP"}); err != nil || v.Allowed {
			f.t.Errorf("into no organization: %+v, %v", v, err)
		}
		f.erase()
	})
}

// A rule is read once and then remembered, until one changes; what a change overtakes is not.
func TestAccessRulesAreRemembered(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.begin()
		enter := func() bool {
			f.t.Helper()
			v, err := f.MayEnter(f.ctx, f.org.ID, Access{Action: "IMAP", User: annID})
			f.ok(err)
			return v.Allowed
		}
		if !enter() {
			f.t.Error("the default rule allows nothing")
		}
		f.write(func(ctx context.Context, tx *db.Tx) error { // behind the package's back
			_, err := tx.Exec(ctx, `UPDATE access_rule SET allow = FALSE`)
			return err
		})
		if !enter() {
			f.t.Error("the rules were read again")
		}
		_, _, generation := f.remembered.find(f.org.ID)
		f.ok(f.PutAccessRule(f.ctx, admin, f.org.ID, AccessRule{Name: "another", Allow: true}))
		f.remembered.keep(f.org.ID, nil, generation)
		if _, known, _ := f.remembered.find(f.org.ID); known {
			f.t.Error("rules from before a change are remembered")
		}
		if enter() {
			f.t.Error("the change was not read")
		}
		f.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE access_rule SET conditions = '{"ip_ranges":["x"]}' WHERE name = 'another'`)
			return err
		})
		if found := f.check(); !strings.Contains(found, "access rule another") {
			f.t.Errorf("check found %q", found)
		}
		f.erase()
	})
}

func BenchmarkAccessEffect(b *testing.B) {
	var rules []compiledRule
	for i := range 9 {
		rules = append(rules, rule(b, fmt.Sprint("office-", i), true, fmt.Sprintf("ip:10.%d.0.0/16,10.%d.0.0/16 action:IMAP,SMTP,EWS !user:%s", i, i+100, benID)))
	}
	rules = append(rules, rule(b, "no-webmail", false, "action:WebMail"))
	access := Access{Action: "IMAP", Address: netip.MustParseAddr("10.108.0.1"), User: annID}
	for b.Loop() {
		if v := judge(rules, access); !v.Allowed {
			b.Fatalf("%+v", v)
		}
	}
}
