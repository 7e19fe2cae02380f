package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// Inventory is what an organisation is at its source.
type Inventory struct {
	Organization string
	// Source says for the report where it was read.
	Source string
	Items  []Item
	// Hidden are the kinds of items of an entity, by its id, that the source does not tell: those that are here stay.
	Hidden []Ref
	// Untold are what the source can't tell, or what is not taken over, in sentences.
	Untold []string
}

// Target is where an inventory goes: the service, perhaps in another process.
type Target interface {
	Here(ctx context.Context, organization, after string) (Page, error)
	Apply(ctx context.Context, b Batch) ([]Refusal, error)
}

// passes is how often what is to be done is looked for anew: an address may go from one to another who can have it only then.
const passes = 4

// Options say how to import.
type Options struct {
	// Dry changes nothing and tells what would be done.
	Dry bool
	// AcceptLoss goes on where more is lost than is likely.
	AcceptLoss bool
}

// The most that an import may disable or delete by itself of the users, groups and resources that are enabled here: more than this
// share of them, and more than the number, is likelier a source that is being taken down than one whose people left.
const (
	lossShare  = 2 // half
	lossNumber = 20
)

// Import makes t have what inv says, or only tells what it would do. The report is complete where err is nil. Faults: those of the
// target; Conflict (Organization) for a loss that was not accepted.
func Import(ctx context.Context, inv Inventory, t Target, options Options) (*Report, error) {
	dry := options.Dry
	before, err := here(ctx, t, inv.Organization)
	if err != nil {
		return nil, err
	}
	todo := newPlan(inv, before)
	r := newReport(inv, dry)
	r.plan(todo)
	if lost, of := losses(inv.Items, before); lost > lossNumber && lost > of/lossShare {
		why := fmt.Sprintf("%d of the %d users, groups and resources that are enabled here would be disabled or deleted, as they are at the source: "+
			"is it being taken down? Give --accept-loss if that is wanted", lost, of)
		if !dry && !options.AcceptLoss {
			return nil, fault.New(fault.Conflict, fault.Organization, "%s", why)
		}
		r.Untold = append(r.Untold, why)
	}
	if dry {
		refused, err := tryOut(ctx, inv, t, todo)
		r.refused(refused)
		r.compare(inv.Items, before)
		return r, err
	}
	now := before
	var refused []Refusal
	for pass := 0; pass < passes && !todo.empty(); pass++ {
		if refused, err = carryOut(ctx, inv, t, todo); err != nil {
			return r, err
		}
		if now, err = here(ctx, t, inv.Organization); err != nil {
			return r, err
		}
		left := newPlan(inv, now)
		if left.same(todo) {
			break
		}
		todo = left
	}
	r.refused(todo.still(refused))
	r.compare(inv.Items, now)
	return r, nil
}

// losses counts the entities that an import brought and that are enabled here, and those of them that are not so there.
func losses(there, here []Item) (lost, of int) {
	want := index(there)
	for _, item := range here {
		var v Registration
		if item.Kind != KindRegistration || !item.Brought || !enabled(item, &v) {
			continue
		}
		of++
		if other, is := want[item.Ref]; !is || !enabled(other, &v) {
			lost++
		}
	}
	return lost, of
}

func enabled(item Item, v *Registration) bool {
	return json.Unmarshal(item.Value, v) == nil && v.State == directory.Enabled.String()
}

// here reads all that an organisation is at the target, with its ledger.
func here(ctx context.Context, t Target, org string) (items []Item, err error) {
	var ledger map[Ref]bool
	for after := ""; ; {
		page, err := t.Here(ctx, org, after)
		if err != nil {
			return nil, err
		}
		if ledger == nil {
			ledger = make(map[Ref]bool, len(page.Brought))
			for _, ref := range page.Brought {
				ledger[ref] = true
			}
		}
		for _, item := range page.Items {
			item.Brought = ledger[item.Ref]
			items = append(items, item)
		}
		if after = page.Next; after == "" {
			return items, nil
		}
	}
}

// plan is what makes the one side like the other.
type plan struct {
	remove []Item // in the order in which they go
	make   []Item // in the order in which they come
	isNew  map[Ref]bool
	adopt  map[Ref]bool // here, and as it shall be, but not known as brought
}

func (p *plan) empty() bool { return len(p.remove) == 0 && len(p.make) == 0 }

func (p *plan) same(other *plan) bool {
	equal := func(a, b Item) bool { return a.Ref == b.Ref && string(a.Value) == string(b.Value) }
	return slices.EqualFunc(p.remove, other.remove, equal) && slices.EqualFunc(p.make, other.make, equal)
}

// still returns those refusals that are about what is yet to be done: a delegation that could not end has ended with its resource.
func (p *plan) still(refused []Refusal) (left []Refusal) {
	todo := index(slices.Concat(p.make, p.remove))
	for _, r := range refused {
		if _, is := todo[r.Ref]; is {
			left = append(left, r)
		}
	}
	return left
}

func newPlan(inv Inventory, here []Item) *plan {
	there := inv.Items
	p := &plan{isNew: map[Ref]bool{}, adopt: map[Ref]bool{}}
	have, want := index(here), index(there)
	for _, item := range there {
		old, is := have[item.Ref]
		switch {
		case !is:
			p.isNew[item.Ref] = true
		case alike(item, old) && old.Brought:
			continue
		case alike(item, old):
			p.adopt[item.Ref] = true
		case item.Kind == KindAlias && old.Brought: // it goes from one to another
			p.remove = append(p.remove, old)
		}
		p.make = append(p.make, item)
	}
	hidden := make(map[Ref]bool, len(inv.Hidden))
	for _, ref := range inv.Hidden {
		hidden[ref] = true
	}
	for _, item := range here {
		whole, _, _ := strings.Cut(item.ID, "/")
		if _, is := want[item.Ref]; !is && item.Brought && !hidden[Ref{item.Kind, whole}] {
			p.remove = append(p.remove, item)
		}
	}
	order := make(map[Kind]int)
	for i, kind := range Kinds() {
		order[kind] = i
	}
	place := func(item Item) int {
		if stepsDown(item, have[item.Ref]) { // an enabled user can't change its role
			return order[KindUser] - 1
		}
		return order[item.Kind]
	}
	slices.SortStableFunc(p.make, func(a, b Item) int { return place(a) - place(b) })
	slices.SortStableFunc(p.remove, func(a, b Item) int { return order[b.Kind] - order[a.Kind] })
	return p
}

// stepsDown reports whether an item disables an entity that is enabled here.
func stepsDown(there, here Item) bool {
	var t, h Registration
	return there.Kind == KindRegistration && enabled(here, &h) && !enabled(there, &t) && t.State == directory.Disabled.String()
}

func index(items []Item) map[Ref]Item {
	m := make(map[Ref]Item, len(items))
	for _, item := range items {
		m[item.Ref] = item
	}
	return m
}

// carryOut applies a plan in batches.
func carryOut(ctx context.Context, inv Inventory, t Target, p *plan) (refused []Refusal, err error) {
	for batch := range slices.Chunk(p.remove, BatchItems) {
		some, err := t.Apply(ctx, Batch{Organization: inv.Organization, Remove: batch})
		if err != nil {
			return nil, err
		}
		refused = append(refused, some...)
	}
	for batch := range slices.Chunk(p.make, BatchItems) {
		some, err := t.Apply(ctx, Batch{Organization: inv.Organization, Make: batch})
		if err != nil {
			return nil, err
		}
		refused = append(refused, some...)
	}
	return refused, nil
}

// tryOut asks the target what of a plan it would refuse. Each batch is tried by itself, on what it stands on.
func tryOut(ctx context.Context, inv Inventory, t Target, p *plan) (refused []Refusal, err error) {
	todo := index(p.make)
	var first, rest []Item // the organisation, its domains and its other settings are tried at once, they are few
	for _, item := range p.make {
		if ownedBy(item) == nil {
			first = append(first, item)
		} else {
			rest = append(rest, item)
		}
	}
	if len(p.make) > 0 {
		var remove []Item
		for _, item := range p.remove {
			if ownedBy(item) == nil {
				remove = append(remove, item)
			}
		}
		refused, err = t.Apply(ctx, Batch{Organization: inv.Organization, Dry: true, Remove: remove, Make: first})
		if err != nil {
			return nil, err
		}
	}
	if slices.ContainsFunc(refused, func(r Refusal) bool { return r.Kind == KindOrganization }) {
		return refused, nil // and all the rest with it
	}
	var ground []Item // what every entity stands on
	for _, item := range first {
		if item.Kind == KindOrganization || item.Kind == KindDomain {
			ground = append(ground, item)
		}
	}
	freed := freedBy(p.remove)
	for batch := range slices.Chunk(rest, BatchItems) {
		b := Batch{Organization: inv.Organization, Dry: true, Make: batch, Given: slices.Clone(ground)}
		inside := index(batch)
		for _, item := range batch {
			b.Given = append(b.Given, standsOn(item, todo, inside)...)
			for _, gone := range freed[uniqueOf(item)] {
				if !slices.ContainsFunc(b.Remove, func(i Item) bool { return i.Ref == gone.Ref }) {
					b.Remove = append(b.Remove, gone)
				}
			}
		}
		some, err := t.Apply(ctx, b)
		if err != nil {
			return nil, err
		}
		refused = append(refused, some...)
	}
	return refused, nil
}

// ownedBy returns the ids of the entities that an item is about, nil for a setting of the organisation.
func ownedBy(item Item) []string {
	switch item.Kind {
	case KindUser, KindGroup, KindResource, KindRegistration, KindQuota, KindBooking:
		return []string{item.ID}
	case KindMember, KindDelegate, KindPermission, KindOverride:
		a, b, _ := strings.Cut(item.ID, "/")
		return []string{a, b}
	case KindAlias:
		var v Alias
		if json.Unmarshal(item.Value, &v) == nil {
			return []string{v.Entity}
		}
	}
	return nil
}

// standsOn returns what of the plan an item needs, in the order in which it is made, but for what is inside of its own batch, into
// which it is taken then.
func standsOn(item Item, todo, inside map[Ref]Item) (given []Item) {
	kinds := []Kind{KindUser, KindGroup, KindResource}
	if item.Kind != KindUser && item.Kind != KindGroup && item.Kind != KindResource && item.Kind != KindRegistration {
		kinds = append(kinds, KindRegistration)
	}
	for _, kind := range kinds {
		for _, id := range ownedBy(item) {
			ref := Ref{kind, id}
			if _, in := inside[ref]; in || ref == item.Ref {
				continue
			}
			if needed, is := todo[ref]; is {
				inside[ref] = needed
				given = append(given, needed)
			}
		}
	}
	if item.Kind == KindBooking {
		for ref, needed := range todo {
			if _, in := inside[ref]; !in && ref.Kind == KindDelegate && strings.HasPrefix(ref.ID, item.ID+"/") {
				given = append(given, standsOn(needed, todo, inside)...)
				inside[ref] = needed
				given = append(given, needed)
			}
		}
	}
	return given
}

// uniqueOf is the name or address that nobody else can have beside an item, empty for none.
func uniqueOf(item Item) string {
	var v struct{ Name, Email, Address string }
	switch item.Kind {
	case KindUser, KindGroup, KindResource, KindRegistration, KindAlias:
		_ = json.Unmarshal(item.Value, &v) // an item that is not understood is refused where it is applied
	}
	switch {
	case v.Name != "":
		return "name " + directory.Fold(v.Name)
	case v.Email != "" || v.Address != "":
		return "address " + directory.Fold(v.Email+v.Address)
	}
	return ""
}

// freedBy says which removals free a name or an address.
func freedBy(remove []Item) map[string][]Item {
	freed := map[string][]Item{}
	entities := map[string]Item{}
	for _, item := range remove {
		if item.Kind == KindUser || item.Kind == KindGroup || item.Kind == KindResource {
			entities[item.ID] = item
		}
	}
	for _, item := range remove {
		unique := uniqueOf(item)
		if item.Kind == KindRegistration { // an address goes with its entity
			item = entities[item.ID]
		}
		if unique != "" && item.Kind != "" {
			freed[unique] = append(freed[unique], item)
		}
	}
	return freed
}

// sentence is a refusal in words.
func (r Refusal) sentence() string { return fmt.Sprintf("%s: %s", r.Ref, r.Reason) }
