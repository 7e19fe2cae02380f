package policy

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// TestDecideDevice compares the decision, which GetMobileDeviceAccessEffect tells, with the sentences of the documentation.
func TestDecideDevice(t *testing.T) {
	text := rapid.SampledFrom([]string{"i", "iP", "IPHONE", "iPhone", "iPhone 8", "Android", "é", "$NONE", "$none"})
	values := rapid.SliceOfN(text, 0, 2)
	property := rapid.OneOf(rapid.Just(""), text)
	rapid.Check(t, func(t *rapid.T) {
		var rules []MobileRule
		for i := range rapid.IntRange(0, 4).Draw(t, "rules") {
			rules = append(rules, MobileRule{ID: fmt.Sprint(i), Allow: rapid.Bool().Draw(t, "allow"), Conditions: MobileConditions{
				Types: values.Draw(t, "types"), NotTypes: values.Draw(t, "not types"),
				Models: values.Draw(t, "models"), NotModels: values.Draw(t, "not models"),
				OperatingSystems: values.Draw(t, "systems"), NotOperatingSystems: values.Draw(t, "not systems"),
				UserAgents: values.Draw(t, "agents"), NotUserAgents: values.Draw(t, "not agents"),
			}})
		}
		d := Device{
			Type: property.Draw(t, "type"), Model: property.Draw(t, "model"),
			OperatingSystem: property.Draw(t, "system"), UserAgent: property.Draw(t, "agent"),
		}
		allow, ids := naiveDecision(rules, d)
		got := decideDevice(rules, d)
		var gotIDs []string
		for _, r := range got.Rules {
			gotIDs = append(gotIDs, r.ID)
		}
		if got.Allow != allow || !slices.Equal(gotIDs, ids) || got.Override {
			t.Fatalf("decided %t by %v, want %t by %v", got.Allow, gotIDs, allow, ids)
		}
	})
}

func naiveDecision(rules []MobileRule, d Device) (allow bool, by []string) {
	matched := map[bool][]string{}
	for _, r := range rules {
		c, holds := reflect.ValueOf(r.Conditions), true
		for i, reported := range []string{d.Type, d.Model, d.OperatingSystem, d.UserAgent} {
			wanted, unwanted := c.Field(2*i).Interface().([]string), c.Field(2*i+1).Interface().([]string)
			if len(wanted) > 0 {
				found := false
				for _, v := range wanted {
					if reported == "" {
						found = found || v == "$NONE"
					} else {
						found = found || len(reported) >= len(v) && strings.EqualFold(reported[:len(v)], v)
					}
				}
				holds = holds && found
			}
			if len(unwanted) > 0 {
				holds = holds && reported != ""
				for _, v := range unwanted {
					holds = holds && !(len(reported) >= len(v) && strings.EqualFold(reported[:len(v)], v))
				}
			}
		}
		if holds {
			matched[r.Allow] = append(matched[r.Allow], r.ID)
		}
	}
	if len(matched[false]) > 0 {
		return false, matched[false]
	}
	return len(matched[true]) > 0, matched[true]
}

// TestMobileRules shows what CreateMobileDeviceAccessRule, UpdateMobileDeviceAccessRule and DeleteMobileDeviceAccessRule do to
// the decision.
func TestMobileRules(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.begin()
		effect := func(d Device) (bool, string) {
			e, err := f.DeviceEffect(f.ctx, admin, f.org.ID, d)
			f.ok(err)
			var names []string
			for _, r := range e.Rules {
				names = append(names, r.Name)
			}
			return e.Allow, strings.Join(names, ",")
		}
		create := func(r MobileRule, token string) string {
			id, err := f.CreateMobileRule(f.ctx, admin, f.org.ID, r, token)
			f.ok(err)
			return id
		}
		phone := Device{Type: "iPhone", OperatingSystem: "iOS 12.3.1 16F203"}
		if allow, by := effect(phone); !allow || by != DefaultRuleName {
			f.t.Errorf("at first: %t by %s", allow, by)
		}
		old := MobileRule{Name: "old", Description: "Too old", Conditions: MobileConditions{OperatingSystems: []string{"ios 12."}}}
		oldID := create(old, "t")
		if again := create(old, "t"); again != oldID {
			f.t.Errorf("the same token made %s and %s", oldID, again)
		}
		_, err := f.CreateMobileRule(f.ctx, admin, f.org.ID, MobileRule{Name: "other"}, "t")
		f.wantFault(err, fault.Invalid, fault.Token)
		if allow, by := effect(phone); allow || by != "old" {
			f.t.Errorf("with an old system: %t by %s", allow, by)
		}
		old.ID, old.Conditions, old.Description = oldID, MobileConditions{Types: []string{"$NONE"}, NotModels: []string{"x"}}, ""
		f.ok(f.UpdateMobileRule(f.ctx, admin, f.org.ID, old))
		f.wantFault(f.UpdateMobileRule(f.ctx, admin, f.org.ID, MobileRule{ID: "nothing", Name: "x"}), fault.NotFound, fault.Entity)
		if allow, by := effect(Device{Model: "y"}); allow || by != "old" {
			f.t.Errorf("without a type: %t by %s", allow, by)
		}
		if allow, _ := effect(Device{}); !allow {
			f.t.Error("a Not condition matched a device that reports nothing")
		}
		for range mobileRuleLimit - 2 {
			create(MobileRule{Name: "same", Allow: true}, "")
		}
		_, err = f.CreateMobileRule(f.ctx, admin, f.org.ID, MobileRule{Name: "more"}, "")
		f.wantFault(err, fault.Limit, fault.Resource)
		if again := create(MobileRule{Name: "old", Description: "Too old", Conditions: MobileConditions{OperatingSystems: []string{"ios 12."}}}, "t"); again != oldID {
			f.t.Errorf("the first answer again, at the limit: %s", again)
		}
		rules, err := f.MobileRules(f.ctx, admin, f.org.ID)
		f.ok(err)
		if len(rules) != mobileRuleLimit {
			f.t.Errorf("%d rules", len(rules))
		}
		for _, r := range rules {
			f.ok(f.DeleteMobileRule(f.ctx, admin, f.org.ID, r.ID))
		}
		f.ok(f.DeleteMobileRule(f.ctx, admin, f.org.ID, oldID))
		if allow, by := effect(phone); allow || by != "" {
			f.t.Errorf("without rules: %t by %s", allow, by)
		}
	})
}

// TestMobileOverrides shows what PutMobileDeviceAccessOverride and DeleteMobileDeviceAccessOverride do to the decision.
func TestMobileOverrides(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.begin()
		ann, ben := f.make(directory.KindUser, "ann"), f.makeOff(directory.KindUser, "ben")
		f.make(directory.KindGroup, "team")
		put := func(user, device string, allow bool) error {
			return f.PutMobileOverride(f.ctx, admin, f.org.ID, user, MobileOverride{Device: device, Allow: allow, Description: device})
		}
		decide := func(device string) (effect DeviceEffect) {
			f.read(func(ctx context.Context, tx *db.Tx) error {
				e, err := f.directory.ResolveTx(ctx, tx, f.org, string(ann), directory.Narrow{})
				if err != nil {
					return err
				}
				effect, err = f.DeviceEffectTx(ctx, tx, f.org, e, Device{ID: device})
				return err
			})
			return effect
		}
		f.ok(put("ann@acme.awsapps.com", "Dev1", false))
		if e := decide("dEV1"); e.Allow || !e.Override || e.Rules != nil {
			f.t.Errorf("with an override: %+v", e)
		}
		if e := decide("dev2"); !e.Allow || e.Override {
			f.t.Errorf("another device: %+v", e)
		}
		first, err := f.MobileOverride(f.ctx, admin, f.org.ID, "ann", "DEV1")
		f.ok(err)
		f.now.Advance(1e9)
		f.ok(put("ann", "DEV1", true))
		second, err := f.MobileOverride(f.ctx, admin, f.org.ID, string(ann), "dev1")
		f.ok(err)
		if first.User != ann || first.Allow || !second.Allow || second.Device != "DEV1" || second.Description != "DEV1" ||
			!second.Created.Equal(first.Created) || !second.Modified.After(first.Modified) {
			f.t.Errorf("first %+v, then %+v", first, second)
		}
		f.wantFault(put("nobody", "d", true), fault.NotFound, fault.Entity)
		f.wantFault(put("team", "d", true), fault.NotFound, fault.Entity)
		_, err = f.MobileOverride(f.ctx, admin, f.org.ID, "ann", "dev2")
		f.wantFault(err, fault.NotFound, fault.Resource)
		_, err = f.MobileOverride(f.ctx, admin, f.org.ID, "nobody", "dev2")
		f.wantFault(err, fault.NotFound, fault.Entity)

		f.ok(put("ben", "dev1", true))
		f.ok(put("ben", "dev0", true))
		list := func(user, device string) string {
			var got []string
			page := directory.Page{Limit: 1}
			for more := true; more; more = page.After != "" {
				overrides, next, err := f.ListMobileOverrides(f.ctx, admin, f.org.ID, user, device, page)
				f.ok(err)
				for _, v := range overrides {
					got = append(got, map[directory.EntityID]string{ann: "ann", ben: "ben"}[v.User]+" "+v.Device)
				}
				page.After = next
			}
			return strings.Join(got, ", ")
		}
		for want, filter := range map[string][2]string{
			"ben dev0, ann DEV1, ben dev1": {},
			"ben dev0, ben dev1":           {"ben"},
			"ann DEV1, ben dev1":           {"", "Dev1"},
			"ann DEV1":                     {string(ann), "dev1"},
			"":                             {"", "none"},
		} {
			if got := list(filter[0], filter[1]); got != want {
				f.t.Errorf("%q lists %q, want %q", filter, got, want)
			}
		}
		_, _, err = f.ListMobileOverrides(f.ctx, admin, f.org.ID, "nobody", "", directory.Page{})
		f.wantFault(err, fault.NotFound, fault.Entity)
		_, _, err = f.ListMobileOverrides(f.ctx, admin, f.org.ID, "", "", directory.Page{After: "x"})
		f.wantFault(err, fault.Invalid, fault.Token)

		f.ok(f.DeleteMobileOverride(f.ctx, admin, f.org.ID, "ann", "dev1"))
		f.ok(f.DeleteMobileOverride(f.ctx, admin, f.org.ID, "ann", "dev1"))
		f.wantFault(f.DeleteMobileOverride(f.ctx, admin, f.org.ID, "nobody", "dev1"), fault.NotFound, fault.Entity)
		if e := decide("dev1"); !e.Allow || e.Override {
			f.t.Errorf("without the override: %+v", e)
		}
		f.end(ben) // what is his is swept later
		if got := list("", ""); got != "" {
			f.t.Errorf("of a deleted user are listed %q", got)
		}
		f.wantFault(put(string(ben), "d", true), fault.State, fault.Entity)
		f.write(func(ctx context.Context, tx *db.Tx) error {
			e, err := f.directory.ResolveTx(ctx, tx, f.org, string(ben), directory.Narrow{})
			if err != nil {
				return err
			}
			for _, want := range []int{1, 1, 0} {
				if n, err := f.ForgetTx(ctx, tx, e.Key, 1); err != nil || n != want {
					f.t.Errorf("forgot %d overrides, %v; want %d", n, err, want)
				}
			}
			_, err = tx.Exec(ctx, upsertOverride, f.org.Key, 1, "d", "d", true, "", 1)
			return err
		})
		if found := f.check(); !strings.Contains(found, "no user") {
			f.t.Errorf("check found %q", found)
		}
		f.write(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM mobile_override`)
			return err
		})
	})
}
