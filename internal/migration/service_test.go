package migration_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// refusedFor returns the reason for which an item was refused.
func refusedFor(t testing.TB, r *migration.Report, kind migration.Kind, id string) string {
	t.Helper()
	for _, one := range r.Refused {
		if one.Kind == kind && one.ID == id {
			return one.Reason
		}
	}
	t.Errorf("%s %s was not refused: %v", kind, id, r.Refused)
	return ""
}

// TestWhatTheSourceHidesStays: it tells no members of a group that is disabled there, which may have them all the same.
func TestWhatTheSourceHidesStays(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		o := newOffice()
		o.begin()
		o.user("user-1", "ann", "")
		o.add(migration.KindGroup, "group-1", migration.Group{Name: "staff"})
		o.registration("group-1", "")
		without := o.inventory()
		o.add(migration.KindMember, migration.Pair("group-1", "user-1"), migration.Nothing{})
		w.importAll(o.inventory())
		member := "member " + migration.Pair("group-1", "user-1")
		without.Hidden = []migration.Ref{{Kind: migration.KindMember, ID: "group-1"}}
		for _, want := range []bool{true, false} {
			w.importAll(without)
			if all := w.all(o.id); slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, member) }) != want {
				w.t.Errorf("the member is there, unless hidden: %q", all)
			}
			without.Hidden = nil
		}
	})
}

// TestWhatIsHereByHandStays: entities, rules and addresses that an administrator made here are left alone and named, and what would
// collide with them is refused with the reason, while the rest is made.
func TestWhatIsHereByHandStays(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		o := newOffice()
		o.begin()
		w.importAll(o.inventory())
		org := directory.OrgID(o.id)
		hand, err := w.directory.CreateUser(w.ctx, theOperator, org, directory.NewUser{Name: "hand", DisplayName: "Made by hand"})
		w.ok(err)
		w.ok(w.organizations.Register(w.ctx, theOperator, org, string(hand), "hand@"+o.domain))
		w.ok(w.policy.PutAccessRule(w.ctx, theOperator, org, policy.AccessRule{Name: "by-hand", Allow: true, Description: "x"}))

		o.user("user-1", "hand", "")
		o.user("user-2", "other", "hand@"+o.domain)
		o.user("user-3", "third", "third@"+o.domain)
		r := w.importAll(o.inventory())
		if why := refusedFor(w.t, r, migration.KindUser, "user-1"); !strings.Contains(why, `"hand" is taken`) {
			w.t.Errorf("a taken name is refused because %s", why)
		}
		if why := refusedFor(w.t, r, migration.KindRegistration, "user-2"); !strings.Contains(why, "taken by another") {
			w.t.Errorf("a taken address is refused because %s", why)
		}
		if r.Good() {
			w.t.Error("a report with refusals is good")
		}
		only := fmt.Sprint(r.OnlyHere)
		if !strings.Contains(only, "user "+string(hand)) || !strings.Contains(only, "access-rule by-hand") {
			w.t.Errorf("only here: %v", r.OnlyHere)
		}
		for id, state := range map[string]directory.State{"user-2": directory.Disabled, "user-3": directory.Enabled, string(hand): directory.Enabled} {
			u, err := w.directory.DescribeUser(w.ctx, theOperator, org, id)
			w.ok(err)
			if u.State != state {
				w.t.Errorf("user %s is %s", id, u.State)
			}
		}
		var text bytes.Buffer
		w.ok(r.Write(&text))
		for _, says := range []string{"Refused (4)", "Only here, left alone (2)", "NOT COMPLETE"} {
			if !strings.Contains(text.String(), says) {
				w.t.Errorf("the report does not say %q:\n%s", says, &text)
			}
		}
	})
}

// TestWhatCannotBeMade: each of what the rules of this server forbid is refused with its reason.
func TestWhatCannotBeMade(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		other := newOffice()
		other.begin()
		w.importAll(other.inventory())
		o := newOffice()
		o.begin()
		o.add(migration.KindDomain, other.domain, migration.Domain{Verified: true})
		o.add(migration.KindTag, "aws:x", migration.Text{Text: "1"})
		o.user("user-1", "one", "one@"+o.domain)
		o.add(migration.KindAlias, "one@"+other.domain, migration.Alias{Address: "one@" + other.domain, Entity: "user-1"})
		o.add(migration.KindUser, "user-2", migration.User{Name: "administrator", Role: "USER"})
		o.add(migration.KindUser, "user-3", migration.User{Name: "Administrator", Role: "SYSTEM_USER"})
		o.registration("user-3", "")
		o.add(migration.KindUser, "user-4", migration.User{Name: "far", Role: "REMOTE_USER"})
		o.registration("user-4", "far@"+o.domain)
		o.add(migration.KindQuota, "user-3", migration.Quota{Megabytes: 1})
		o.add(migration.KindQuota, "user-4", migration.Quota{Megabytes: 1 << 30})
		o.add(migration.KindMember, "nobody/user-1", migration.Nothing{})
		o.add(migration.KindMonitoring, "", migration.Monitoring{LogGroup: "arn:aws:logs:eu-west-1:1:log-group:none:*"})
		o.add(migration.KindProvider, "", migration.Provider{Instance: strings.Replace(instance, "0", "9", 1), Application: "x"})
		o.add(migration.KindAvailability, "ews.example", migration.Availability{Endpoint: "https://ews.example/", Username: "u"})
		o.add(migration.KindOverride, "user-1/dev ice", migration.Override{User: "user-1", Device: "dev ice"})
		for i := range 11 {
			o.add(migration.KindAccessRule, fmt.Sprintf("rule-%02d", i), migration.AccessRule{Allow: true, Description: "x"})
		}
		o.add(migration.KindRole, "role 1", migration.Role{Name: "x"})
		o.add(migration.KindRetention, "policy", migration.Retention{Name: "p", Folders: []migration.RetentionFolder{{Folder: "OUTBOX", Action: "DELETE", Days: 1}}})
		o.items = append(o.items, migration.Item{Ref: migration.Ref{Kind: migration.KindMobileRule, ID: "m"}, Value: []byte(`{"name":7}`)})
		r := w.importAll(o.inventory())
		for _, c := range []struct {
			kind migration.Kind
			id   string
			why  string
		}{
			{migration.KindDomain, other.domain, "used by another organization"},
			{migration.KindTag, "aws:x", "reserved"},
			{migration.KindAlias, "one@" + other.domain, "not registered in this organization"},
			{migration.KindUser, "user-2", "reserved"},
			{migration.KindRegistration, "user-4", "is on another server"},
			{migration.KindQuota, "user-3", "no mailbox to use"},
			{migration.KindQuota, "user-4", "not between 1 and"},
			{migration.KindMember, "nobody/user-1", "does not exist"},
			{migration.KindMonitoring, "", "no log group"},
			{migration.KindProvider, "", "not mapped"},
			{migration.KindAvailability, "ews.example", "password"},
			{migration.KindOverride, "user-1/dev ice", "can't be"},
			{migration.KindAccessRule, "rule-10", "the most it can have"},
			{migration.KindRole, "role 1", "not the id"},
			{migration.KindRetention, "policy", "OUTBOX"},
			{migration.KindMobileRule, "m", "not understood"},
		} {
			if why := refusedFor(w.t, r, c.kind, c.id); !strings.Contains(why, c.why) {
				w.t.Errorf("%s %s is refused because %q, want %q", c.kind, c.id, why, c.why)
			}
		}
		if len(r.Refused) != 16 {
			w.t.Errorf("refused: %v", r.Refused)
		}
		if u, err := w.directory.DescribeUser(w.ctx, theOperator, directory.OrgID(o.id), "user-3"); err != nil || u.Role != directory.RoleSystem {
			w.t.Errorf("the directory's administrator is %+v, %v", u, err)
		}
	})
}

// TestOrganizationsThatCannotBeTaken: one that is here by itself, whose alias or directory is taken, or that somebody else deleted
// here, is told in one sentence, and nothing is made.
func TestOrganizationsThatCannotBeTaken(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		taken := newOffice()
		taken.begin()
		w.importAll(taken.inventory())
		for name, change := range map[string]func(o *office, v *migration.Organization){
			"alias":     func(_ *office, v *migration.Organization) { v.Alias = strings.ToUpper(taken.alias) },
			"directory": func(_ *office, v *migration.Organization) { v.DirectoryID = "d-" + taken.id[24:] },
			"id":        func(o *office, _ *migration.Organization) { o.id = "m-0" },
			"account":   func(_ *office, v *migration.Organization) { v.Account = "" },
		} {
			o := newOffice()
			v := migration.Organization{Alias: o.alias, Account: "1", Region: "eu-west-1"}
			change(o, &v)
			o.add(migration.KindOrganization, o.id, v)
			o.add(migration.KindDMARC, "", migration.DMARC{})
			_, err := migration.Import(w.ctx, o.inventory(), &port{w: w, left: -1}, migration.Options{})
			if fault.As(err) == nil || !strings.Contains(err.Error(), name) {
				w.t.Errorf("a bad %s: %v", name, err)
			}
			if page, err := w.Service.Here(w.ctx, theOperator, o.id, ""); err != nil || page.Exists {
				w.t.Errorf("a bad %s made %v, %v", name, page, err)
			}
		}
		// What a later import says of alias, account and region is refused: they are part of names.
		taken.items[0] = migration.NewItem(migration.KindOrganization, taken.id, migration.Organization{Alias: "another", Account: "1", Region: "r"})
		if r := w.importAll(taken.inventory()); len(r.Refused) != 1 || len(r.Different) != 1 {
			w.t.Errorf("another alias: %+v", r)
		}
		own, err := w.organizations.Create(w.ctx, theOperator, organization.Request{Alias: "own"})
		w.ok(err)
		for _, p := range []principal.Principal{{Kind: principal.User}, {Kind: principal.Role}} {
			if _, err := w.Service.Here(w.ctx, p, taken.id, ""); fault.KindOf(err) != fault.Denied {
				w.t.Errorf("a user reads an import: %v", err)
			}
			if _, err := w.Service.Apply(w.ctx, p, migration.Batch{Organization: taken.id}); fault.KindOf(err) != fault.Denied {
				w.t.Errorf("a user imports: %v", err)
			}
		}
		if _, err := w.Service.Here(w.ctx, theOperator, string(own), ""); fault.KindOf(err) != fault.State {
			w.t.Errorf("an organization that is being made is read: %v", err)
		}
	})
}

// TestImportsAreAuditedAndErased: the audit trail tells each thing that was made and removed, and with its organisation the ledger
// goes.
func TestImportsAreAuditedAndErased(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		o := newOffice()
		o.begin()
		o.user("user-1", "one", "one@"+o.domain)
		w.importAll(o.inventory())
		o.begin()
		w.importAll(o.inventory())
		records, err := w.audit.Read(w.ctx, audit.Query{Organization: o.id})
		w.ok(err)
		told := map[string]bool{}
		for _, r := range records {
			told[r.Operation+" "+r.Subject] = r.Actor.Name == "operator" || r.Actor.Kind == principal.System
		}
		for _, want := range []string{"CreateOrganization " + o.id, "ImportItem user user-1", "ImportItem registration user-1", "ImportRemoval user user-1"} {
			if !told[want] {
				w.t.Errorf("the audit trail lacks %q: %v", want, told)
			}
		}
		runner := job.NewRunner(w.db, clock.NewFake(soon), nil)
		w.organizations.Handle(runner)
		_, err = w.organizations.Delete(w.ctx, theOperator, directory.OrgID(o.id), organization.Deletion{Force: true})
		w.ok(err)
		ctx, stop := context.WithCancel(w.ctx)
		ended := make(chan error, 1)
		go func() { ended <- runner.Run(ctx) }()
		for gone := false; !gone; {
			d, err := w.directory.DescribeOrganization(w.ctx, theOperator, directory.OrgID(o.id))
			w.ok(err)
			gone = d.State == directory.OrgDeleted
		}
		stop()
		<-ended
		// It can't be brought here again: its id is known.
		if _, err := migration.Import(w.ctx, o.inventory(), &port{w: w, left: -1}, migration.Options{}); fault.KindOf(err) != fault.State {
			w.t.Errorf("import of an organization that was deleted here: %v", err)
		}
	})
}

// TestCheckFindsALedgerWithoutItsOrganization: the ledger of a deleted organisation is told.
func TestCheckFindsALedgerWithoutItsOrganization(t *testing.T) {
	dbtest.Run(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newHarbour(t, d)
		o := newOffice()
		o.begin()
		w.importAll(o.inventory())
		w.ok(d.Write(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE organization SET state = 'Deleted' WHERE id = $1`, o.id)
			return err
		}))
		w.ok(d.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
			faults, err := w.Check(ctx, tx)
			if len(faults) != 1 || !strings.Contains(faults[0], o.id) {
				t.Errorf("check says %v", faults)
			}
			return err
		}))
	})
}

// TestASourceThatIsTakenDown: a run that would take away most of what is here does nothing, unless it is told to.
func TestASourceThatIsTakenDown(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		o := newOffice()
		fill := func(enabled int) migration.Inventory {
			o.begin()
			for i := range 45 {
				id, address := fmt.Sprintf("user-%d", i), ""
				if i < enabled {
					address = fmt.Sprintf("%s@%s", id, o.domain)
				}
				if i < enabled || i < 40 {
					o.user(id, id, address)
				}
			}
			o.items = slices.DeleteFunc(o.items, func(i migration.Item) bool {
				return i.Kind == migration.KindQuota && enabled < 45
			})
			return o.inventory()
		}
		w.importAll(fill(45))
		before := w.all(o.id)
		down := fill(22)
		_, err := migration.Import(w.ctx, down, &port{w: w, left: -1}, migration.Options{})
		if fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "23 of the 45") {
			w.t.Errorf("a source that is taken down: %v", err)
		}
		r, err := migration.Import(w.ctx, down, &port{w: w, left: -1}, migration.Options{Dry: true})
		w.ok(err)
		if !strings.Contains(strings.Join(r.Untold, "\n"), "--accept-loss") || !slices.Equal(before, w.all(o.id)) {
			w.t.Errorf("a dry run does not tell of the loss, or brings it about: %v", r.Untold)
		}
		if r := w.importAll(fill(23)); len(r.Refused) > 0 { // not more than half
			w.t.Errorf("the departure of 22: %v", r.Refused)
		}
		if r, err = migration.Import(w.ctx, fill(1), &port{w: w, left: -1}, migration.Options{AcceptLoss: true}); err != nil || len(r.Refused) > 0 {
			w.t.Errorf("a loss that is accepted: %v", err)
		}
	})
}

// TestManyEntitiesAreRead: what is here is read in pages.
func TestManyEntitiesAreRead(t *testing.T) {
	onBothStores(t, func(w *harbour) {
		o := newOffice()
		o.begin()
		o.add(migration.KindGroup, "group", migration.Group{Name: "all"})
		o.registration("group", "")
		for i := range 450 {
			id := fmt.Sprintf("user-%04d", i)
			o.user(id, id, "")
			o.add(migration.KindMember, migration.Pair("group", id), migration.Nothing{})
		}
		if r := w.importAll(o.inventory()); !r.Good() || len(r.OnlyHere) > 0 {
			w.t.Errorf("refused %v, different %v", r.Refused, r.Different)
		}
	})
}

// BenchmarkImport brings organisations of 1,000 users, each with an alias and a quota, in ten groups.
func BenchmarkImport(b *testing.B) {
	for name, open := range map[string]func(testing.TB, []db.Migration) *db.DB{"sqlite": dbtest.SQLite, "postgres": dbtest.Postgres} {
		b.Run(name, func(b *testing.B) {
			w := newHarbour(b, open(b, migrations()))
			for b.Loop() {
				o := newOffice()
				o.begin()
				for i := range 10 {
					id := fmt.Sprintf("group-%d", i)
					o.add(migration.KindGroup, id, migration.Group{Name: id})
					o.registration(id, fmt.Sprintf("%s@%s", id, o.domain))
				}
				for i := range 1000 {
					id := fmt.Sprintf("user-%04d", i)
					o.user(id, id, fmt.Sprintf("%s@%s", id, o.domain))
					alias := fmt.Sprintf("alias-%d@%s", i, o.domain)
					o.add(migration.KindAlias, alias, migration.Alias{Address: alias, Entity: id})
					o.add(migration.KindMember, migration.Pair(fmt.Sprintf("group-%d", i%10), id), migration.Nothing{})
				}
				if r := w.importAll(o.inventory()); !r.Good() {
					b.Fatal(r.Refused, r.Different)
				}
			}
			b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "users/s")
		})
	}
}
