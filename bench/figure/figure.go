// Package figure keeps what the benchmark measured, and says it: medians with their range, and ratios taken round by
// round, since servers that were measured in the same minute met the same machine.
package figure

import (
	"cmp"
	"slices"
)

// Figure says what a number means. Two samples belong together when their Figures are equal.
type Figure struct {
	Section string `json:"section"` // the table it stands in
	Load    string `json:"load"`    // what was done
	Name    string `json:"figure"`  // what was counted, with its unit
	// LowerIsBetter is true for times and sizes, false for rates.
	LowerIsBetter bool `json:"lower_is_better,omitempty"`
}

// Sample is one number: what one server did in one round.
type Sample struct {
	Figure
	Server string  `json:"server"`
	Round  int     `json:"round"`
	Value  float64 `json:"value"`
}

// Failure is a load that a server did not do, or not wholly. A benchmark that hid these would praise a server for
// refusing work.
type Failure struct {
	Load   string `json:"load"`
	Server string `json:"server"`
	Round  int    `json:"round"`
	Text   string `json:"text"`
}

// Results collects samples in the order they come. Not safe for concurrent use.
type Results struct {
	Samples  []Sample  `json:"samples"`
	Failures []Failure `json:"failures"`
}

// Add records a number.
func (r *Results) Add(round int, server string, f Figure, value float64) {
	r.Samples = append(r.Samples, Sample{Figure: f, Server: server, Round: round, Value: value})
}

// Fail records what a server did not do.
func (r *Results) Fail(round int, server, load string, err error) {
	r.Failures = append(r.Failures, Failure{Load: load, Server: server, Round: round, Text: err.Error()})
}

// Spread is a median with its range over the rounds.
type Spread struct {
	Median, Min, Max float64
	Rounds           int
}

// Of makes the spread of some numbers; of none it is the zero Spread. With an even count the median is the mean of the
// two in the middle.
func Of(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	v := slices.Clone(values)
	slices.Sort(v)
	half := len(v) / 2
	median := v[half]
	if len(v)%2 == 0 {
		median = (v[half-1] + v[half]) / 2
	}
	return Spread{Median: median, Min: v[0], Max: v[len(v)-1], Rounds: len(v)}
}

// Spread is what a server did over all rounds.
func (r *Results) Spread(server string, f Figure) Spread {
	var values []float64
	for _, v := range r.byRound(server, f) {
		values = append(values, v)
	}
	return Of(values)
}

// Ratio says how many times better ours did than theirs, round by round: ours/theirs of a rate, theirs/ours of what
// should be low, so that above 1 is always ahead. Rounds in which one of the two has no sample, or zero, do not count.
func (r *Results) Ratio(ours, theirs string, f Figure) Spread {
	return r.ratio(ours, f, theirs, f)
}

// Against is Ratio between different figures, such as a rate and the machine's limit of it. Both must be rates.
func (r *Results) Against(ours string, f Figure, limit string, of Figure) Spread {
	return r.ratio(ours, f, limit, of)
}

func (r *Results) ratio(ours string, f Figure, theirs string, g Figure) Spread {
	mine, others := r.byRound(ours, f), r.byRound(theirs, g)
	var values []float64
	for round, v := range mine {
		w, ok := others[round]
		if !ok || v <= 0 || w <= 0 {
			continue
		}
		if f.LowerIsBetter {
			v, w = w, v
		}
		values = append(values, v/w)
	}
	return Of(values)
}

func (r *Results) byRound(server string, f Figure) map[int]float64 {
	found := map[int]float64{}
	for _, s := range r.Samples {
		if s.Server == server && s.Figure == f {
			found[s.Round] = s.Value
		}
	}
	return found
}

// Figures are the figures of a section, in the order they were first measured.
func (r *Results) Figures(section string) []Figure {
	var list []Figure
	for _, s := range r.Samples {
		if s.Section == section && !slices.Contains(list, s.Figure) {
			list = append(list, s.Figure)
		}
	}
	return list
}

// Percentile is the value below which the share p (0 to 1) of the values lies; 0 of none.
func Percentile[T cmp.Ordered](values []T, p float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	v := slices.Clone(values)
	slices.Sort(v)
	return v[min(int(p*float64(len(v))), len(v)-1)]
}
