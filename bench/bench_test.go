package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
)

func TestLoadsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, l := range loads() {
		if seen[l.name] || l.name == "" || l.run == nil {
			t.Errorf("load %q is not usable, or there twice", l.name)
		}
		seen[l.name] = true
	}
}

func TestSelected(t *testing.T) {
	for pattern, want := range map[string]string{
		"^list$":        "deliver-c16-one-mailbox list",
		"^append":       "append append-c16",
		"^start|select": "start deliver-c16-one-mailbox select",
		"one-mailbox":   "deliver-c16-one-mailbox",
		"nothing":       "",
	} {
		b := &bench{options: options{only: regexp.MustCompile(pattern)}}
		var names []string
		for _, l := range b.selected() {
			names = append(names, l.name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("-run %s selects %q, want %q", pattern, got, want)
		}
	}
}

// The aims must be held against figures that are measured, or they would never be missed.
func TestAimsAreOfLoadsThereAre(t *testing.T) {
	for _, engine := range []db.Engine{db.SQLite, db.PostgreSQL} {
		names := []string{""} // of a plain number
		for _, n := range []int{1, 16} {
			names = append(names, commitName(engine, n), durableName(engine, n))
		}
		for _, l := range loads() {
			names = append(names, l.name)
		}
		for _, a := range aims("ours", engine) {
			if !slices.Contains(names, a.Figure.Load) || !slices.Contains(names, a.Of.Load) {
				t.Errorf("nothing measures %+v", a)
			}
		}
	}
}

func TestScatteredVisitsEachMessageOnce(t *testing.T) {
	for _, n := range []int{full.mailbox, quick.mailbox, 1000} {
		seen := make([]bool, n+1)
		for i := range n {
			m := scattered(i, n)
			if m < 1 || m > n || seen[m] {
				t.Fatalf("of %d messages, visit %d is to %d again", n, i, m)
			}
			seen[m] = true
		}
	}
}

func TestMadeIsWhatAShellTakes(t *testing.T) {
	for want, args := range map[string][]string{
		"made by `make bench`": nil,
		"made by `scripts/bench -quick -rounds 3 -engines sqlite,postgres`":    {"-quick", "-rounds", "3", "-engines", "sqlite,postgres"},
		"made by `scripts/bench -run '^(list|it'\\''s)$' -peers '' -o docs/x`": {"-run", "^(list|it's)$", "-peers", "", "-o", "docs/x"},
	} {
		if got := made(args); got != want {
			t.Errorf("made(%q) = %s, want %s", args, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-quick", "-rounds", "2", "-peers", "maddy", "-run", "^fetch"})
	if err != nil || o.scale.rounds != 2 || o.scale.mailbox != quick.mailbox || !slices.Equal(o.peers, []string{"maddy"}) || !o.only.MatchString("fetch-one") {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse([]string{"-peers", ""}); err != nil || len(o.peers) != 0 || o.scale.rounds != full.rounds {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err := parse([]string{"-engines", "postgres"}); err != nil || !slices.Equal(o.engines, []db.Engine{db.PostgreSQL}) {
		t.Errorf("%+v, %v", o, err)
	}
	for _, wrong := range [][]string{{"-run", "("}, {"-engines", "oracle"}, {"-engines", "sqlite,sqlite"}, {"extra"}, {"-rounds", "many"}} {
		if _, err := parse(wrong); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

func TestCountSyncs(t *testing.T) {
	text := `17 fdatasync(8 <unfinished ...>
18 fsync(9) = 0
17 <... fdatasync resumed>) = 0
19 +++ exited with 0 +++
`
	if n := countSyncs([]byte(text)); n != 2 {
		t.Errorf("%d syncs, want 2", n)
	}
}
