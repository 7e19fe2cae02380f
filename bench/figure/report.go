package figure

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Report is what is said at the end.
type Report struct {
	Title   string            `json:"title"`
	Machine []string          `json:"machine"` // facts about where it was measured, one a line
	Servers []string          `json:"servers"` // ours first; ratios are of the first
	Ours    int               `json:"ours"`    // how many of them are ours
	Notes   map[string]string `json:"notes"`   // by section
	Order   []string          `json:"-"`       // of the sections; those it does not name come behind
	Limits  string            `json:"-"`       // the name under which the machine's own limits were recorded
	Aims    []Aim             `json:"aims"`
	*Results
}

// Aim is what a figure is held against.
type Aim struct {
	Server string `json:"server"` // whose figure it is: one of ours, or the machine's limits
	Figure Figure `json:"figure"`
	// Of is the limit the figure is a share of; the zero Figure when AtLeast is a plain number.
	Of Figure `json:"of"`
	// AtLeast is 0 where the figure only stands beside an aim; Note then says what it is.
	AtLeast float64 `json:"at_least,omitempty"`
	Note    string  `json:"note,omitempty"`
}

// Markdown writes the report as tables.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.Title)
	for _, line := range r.Machine {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\nCells are median (min–max) over the rounds. A ratio is of " + r.Servers[0] + ", taken within each round; above 1 it is ahead,\n" +
		"of rates and of times and sizes alike.\n")
	for _, section := range r.sections() {
		r.table(&b, section)
	}
	r.standing(&b)
	r.aims(&b)
	r.failures(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) sections() []string {
	var list []string
	for _, section := range r.Order {
		if len(r.Figures(section)) > 0 {
			list = append(list, section)
		}
	}
	for _, s := range r.Samples {
		if !slices.Contains(list, s.Section) {
			list = append(list, s.Section)
		}
	}
	return list
}

// table writes a section with a column for each server that has a figure in it and, behind them, the ratios.
func (r *Report) table(b *strings.Builder, section string) {
	figures := r.Figures(section)
	columns := r.measured(figures)
	fmt.Fprintf(b, "\n## %s\n\n", section)
	if note := r.Notes[section]; note != "" {
		fmt.Fprintf(b, "%s\n\n", note)
	}
	head, rule := "| load | figure |", "| --- | --- |"
	for _, server := range columns {
		head, rule = head+" "+server+" |", rule+" ---: |"
	}
	peers := r.peersOf(columns)
	for _, peer := range peers {
		head, rule = head+" ÷ "+peer+" |", rule+" ---: |"
	}
	fmt.Fprintf(b, "%s\n%s\n", head, rule)
	for _, f := range figures {
		fmt.Fprintf(b, "| %s | %s |", f.Load, f.Name)
		for _, server := range columns {
			fmt.Fprintf(b, " %s |", r.Spread(server, f))
		}
		for _, peer := range peers {
			fmt.Fprintf(b, " %s |", r.Ratio(r.Servers[0], peer, f))
		}
		b.WriteString("\n")
	}
}

// measured are the servers, limits included, that have a sample of one of the figures.
func (r *Report) measured(figures []Figure) []string {
	var list []string
	for _, server := range append(r.Servers[:len(r.Servers):len(r.Servers)], r.Limits) {
		for _, f := range figures {
			if r.Spread(server, f).Rounds > 0 {
				list = append(list, server)
				break
			}
		}
	}
	return list
}

// peersOf are the columns the first server's ratio is taken to, when it is there: others' servers, and where none is ours
// every other one.
func (r *Report) peersOf(columns []string) []string {
	if !slices.Contains(columns, r.Servers[0]) {
		return nil
	}
	var list []string
	for _, server := range r.Servers[max(r.Ours, 1):] {
		if slices.Contains(columns, server) {
			list = append(list, server)
		}
	}
	return list
}

// standing says in one line for each of ours and each peer how often ours is ahead, and where it is not.
func (r *Report) standing(b *strings.Builder) {
	var lines []string
	first := max(r.Ours, 1)
	for _, own := range r.Servers[:first] {
		for _, peer := range r.Servers[first:] {
			if line := r.beside(own, peer); line != "" {
				lines = append(lines, line)
			}
		}
	}
	if len(lines) > 0 {
		b.WriteString("\n## Standing\n\n" + strings.Join(lines, ""))
	}
}

func (r *Report) beside(own, peer string) string {
	ahead, all := 0, 0
	var behind []string
	for _, section := range r.sections() {
		for _, f := range r.Figures(section) {
			ratio := r.Ratio(own, peer, f)
			if ratio.Rounds == 0 {
				continue
			}
			all++
			if ratio.Median >= 1 {
				ahead++
				continue
			}
			behind = append(behind, fmt.Sprintf("%s, %s (%s)", f.Load, f.Name, number(ratio.Median)))
		}
	}
	if all == 0 {
		return ""
	}
	line := fmt.Sprintf("- %s is ahead of %s in %d of %d figures", own, peer, ahead, all)
	if len(behind) > 0 {
		line += ", behind in: " + strings.Join(behind, "; ")
	}
	return line + ".\n"
}

func (r *Report) aims(b *strings.Builder) {
	var lines []string
	for _, aim := range r.Aims {
		got, what := r.Spread(aim.Server, aim.Figure), ""
		if aim.Of != (Figure{}) {
			got, what = r.Against(aim.Server, aim.Figure, r.Limits, aim.Of), " of "+aim.Of.Load
		}
		if got.Rounds == 0 {
			continue
		}
		least, verdict := "–", aim.Note
		switch {
		case aim.AtLeast == 0:
		case got.Median < aim.AtLeast:
			least, verdict = number(aim.AtLeast), "missed"
		default:
			least, verdict = number(aim.AtLeast), "reached"
		}
		lines = append(lines, fmt.Sprintf("| %s | %s, %s%s | %s | %s | %s |\n",
			aim.Server, aim.Figure.Load, aim.Figure.Name, what, least, got, verdict))
	}
	if len(lines) > 0 {
		b.WriteString("\n## Aims\n\n| server | figure | at least | measured | |\n| --- | --- | ---: | ---: | --- |\n" + strings.Join(lines, ""))
	}
}

func (r *Report) failures(b *strings.Builder) {
	if len(r.Failures) == 0 {
		return
	}
	b.WriteString("\n## What failed\n\n")
	for _, f := range r.Failures {
		fmt.Fprintf(b, "- %s, %s, round %d: %s\n", f.Server, f.Load, f.Round, f.Text)
	}
}

// String is the median, with the range if there was more than one round; a dash if there was none.
func (s Spread) String() string {
	switch s.Rounds {
	case 0:
		return "–"
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Min), number(s.Max))
}

// number gives three significant digits, and all digits of what is 100 or more.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.01:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.2g", v)
}
