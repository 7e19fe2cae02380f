package migration

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Report says how an import went, or with Dry how it would go.
type Report struct {
	Organization string       `json:"organization"`
	Source       string       `json:"source"`
	Dry          bool         `json:"dry_run"`
	Kinds        []KindReport `json:"kinds"`
	// Refused could not be made or removed.
	Refused []Refusal `json:"refused"`
	// Different are items that are not here as they are there, after the import.
	Different []Difference `json:"different"`
	// OnlyHere were made here by hand, or by this server, and are left alone.
	OnlyHere []Named `json:"only_here"`
	// Untold are what the source can't tell, or what is not taken over.
	Untold []string `json:"untold"`
}

// KindReport counts the items of a kind.
type KindReport struct {
	Kind  Kind `json:"kind"`
	There int  `json:"there"` // at the source
	Here  int  `json:"here"`  // after the import, read back; in a dry run, now
	// What was, or would be, done. Of what is made, changed and removed, some may be refused.
	Made    int `json:"made"`
	Changed int `json:"changed"`
	Removed int `json:"removed"`
	Refused int `json:"refused"`
}

// Named is an item with what people call it, where it has a name beside its id.
type Named struct {
	Ref
	Name string `json:"name,omitempty"`
}

func (n Named) String() string {
	if n.Name == "" {
		return n.Ref.String()
	}
	return fmt.Sprintf("%s (%s)", n.Ref, n.Name)
}

func named(item Item) Named {
	var v struct{ Name, Email string }
	_ = json.Unmarshal(item.Value, &v) // what has no such member has no name
	return Named{item.Ref, cmp.Or(v.Name, v.Email)}
}

// Difference says how an item here is not what it is there.
type Difference struct {
	Named
	How string `json:"how"`
}

func newReport(inv Inventory, dry bool) *Report {
	r := &Report{
		Organization: inv.Organization, Source: inv.Source, Dry: dry,
		Refused: []Refusal{}, Different: []Difference{}, OnlyHere: []Named{}, Untold: append([]string{}, inv.Untold...),
	}
	for _, kind := range Kinds() {
		r.Kinds = append(r.Kinds, KindReport{Kind: kind})
	}
	return r
}

func (r *Report) kind(k Kind) *KindReport {
	for i := range r.Kinds {
		if r.Kinds[i].Kind == k {
			return &r.Kinds[i]
		}
	}
	r.Kinds = append(r.Kinds, KindReport{Kind: k})
	return &r.Kinds[len(r.Kinds)-1]
}

// plan counts what is to be done.
func (r *Report) plan(p *plan) {
	for _, item := range p.make {
		switch {
		case p.isNew[item.Ref]:
			r.kind(item.Kind).Made++
		case !p.adopt[item.Ref]:
			r.kind(item.Kind).Changed++
		}
	}
	for _, item := range p.remove {
		r.kind(item.Kind).Removed++
	}
}

func (r *Report) refused(refused []Refusal) {
	for _, one := range refused {
		r.Refused = append(r.Refused, one)
		r.kind(one.Kind).Refused++
	}
}

// compare compares both sides, item by item.
func (r *Report) compare(there, here []Item) {
	have, want := index(here), index(there)
	gone := deletedIn(here)
	for _, item := range there {
		r.kind(item.Kind).There++
		old, is := have[item.Ref]
		switch {
		case r.Dry:
		case !is:
			r.Different = append(r.Different, Difference{named(item), "is not here"})
		case !alike(item, old):
			r.Different = append(r.Different, Difference{named(item), difference(item, old)})
		}
	}
	for _, item := range here {
		_, is := want[item.Ref]
		if !is && gone[item.Ref] {
			continue // its id keeps its meaning for a while, no more
		}
		r.kind(item.Kind).Here++
		switch {
		case is:
		case item.Kind == KindRegistration || item.Kind == KindQuota || item.Kind == KindBooking: // its entity is told of
		case !item.Brought:
			r.OnlyHere = append(r.OnlyHere, named(item))
		case !r.Dry:
			r.Different = append(r.Different, Difference{named(item), "is not there any more"})
		}
	}
	slices.SortFunc(r.OnlyHere, func(a, b Named) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID)) })
}

// deletedIn names what is left of deleted entities.
func deletedIn(items []Item) map[Ref]bool {
	gone := map[Ref]bool{}
	for _, item := range items {
		var v struct{ Deleted bool }
		switch item.Kind {
		case KindUser, KindGroup, KindResource:
			if json.Unmarshal(item.Value, &v) == nil && v.Deleted {
				gone[item.Ref], gone[Ref{KindRegistration, item.ID}] = true, true
			}
		}
	}
	return gone
}

// Good reports whether both sides are alike but for what Untold and OnlyHere name; of a dry run, whether nothing would be refused.
func (r *Report) Good() bool { return len(r.Refused) == 0 && len(r.Different) == 0 }

// Write writes the report for a person.
func (r *Report) Write(out io.Writer) error {
	title := "Import"
	if r.Dry {
		title = "Dry run, nothing was changed: import"
	}
	fmt.Fprintf(out, "%s of organization %s from %s\n\n", title, r.Organization, r.Source)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "KIND\tTHERE\tHERE\tMADE\tCHANGED\tREMOVED\tREFUSED\t")
	for _, k := range r.Kinds {
		if k == (KindReport{Kind: k.Kind}) {
			continue
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", k.Kind, k.There, k.Here, k.Made, k.Changed, k.Removed, k.Refused)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	r.list(out, "Refused", len(r.Refused), func(i int) string {
		return r.Refused[i].Action + " " + r.Refused[i].sentence()
	})
	r.list(out, "Different", len(r.Different), func(i int) string { return r.Different[i].String() + ": " + r.Different[i].How })
	r.list(out, "Only here, left alone", len(r.OnlyHere), func(i int) string { return r.OnlyHere[i].String() })
	r.list(out, "Not told by the source, or not taken over", len(r.Untold), func(i int) string { return r.Untold[i] })
	verdict := "Both sides are alike."
	switch {
	case r.Dry && r.Good():
		verdict = "Nothing would be refused."
	case r.Dry:
		verdict = fmt.Sprintf("%d items would be refused.", len(r.Refused))
	case !r.Good():
		verdict = fmt.Sprintf("NOT COMPLETE: %d items were refused, %d are different.", len(r.Refused), len(r.Different))
	}
	_, err := fmt.Fprintf(out, "\n%s\n", verdict)
	return err
}

func (r *Report) list(out io.Writer, title string, n int, line func(int) string) {
	if n == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s (%d):\n", title, n)
	for i := range n {
		fmt.Fprintln(out, "  "+line(i))
	}
}
