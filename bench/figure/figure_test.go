package figure_test

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/bench/figure"
)

var (
	rate   = figure.Figure{Section: "IMAP", Load: "select", Name: "per second"}
	slow   = figure.Figure{Section: "IMAP", Load: "list", Name: "per second"}
	memory = figure.Figure{Section: "Idle", Load: "idle", Name: "MB", LowerIsBetter: true}
)

func TestOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, "–"},
		{[]float64{7}, "7.00"},
		{[]float64{3, 1, 2}, "2.00 (1.00–3.00)"},
		{[]float64{4, 1, 3, 2}, "2.50 (1.00–4.00)"},
		{[]float64{12345.6, 0.5, 99.94}, "99.9 (0.50–12346)"},
		{[]float64{0}, "0"},
		{[]float64{0.00123}, "0.0012"},
	} {
		if got := figure.Of(c.values).String(); got != c.want {
			t.Errorf("Of(%v) = %s, want %s", c.values, got, c.want)
		}
	}
}

// A slow round must slow both sides of a ratio: the ratio of the medians would not show that.
func TestRatioIsTakenWithinARound(t *testing.T) {
	var r figure.Results
	for round, v := range []float64{100, 10, 1000} {
		r.Add(round, "ours", rate, 2*v)
		r.Add(round, "theirs", rate, v)
	}
	r.Add(3, "ours", rate, 1) // theirs has no such round
	if got := r.Ratio("ours", "theirs", rate); got != (figure.Spread{Median: 2, Min: 2, Max: 2, Rounds: 3}) {
		t.Errorf("ratio %+v", got)
	}
}

func TestRatioAboveOneIsAhead(t *testing.T) {
	var r figure.Results
	r.Add(0, "ours", memory, 10)
	r.Add(0, "theirs", memory, 40)
	if got := r.Ratio("ours", "theirs", memory).Median; got != 4 {
		t.Errorf("a quarter of the memory is %v times better, want 4", got)
	}
}

func TestPercentile(t *testing.T) {
	v := []int{5, 1, 4, 2, 3}
	for p, want := range map[float64]int{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := figure.Percentile(v, p); got != want {
			t.Errorf("percentile %v = %d, want %d", p, got, want)
		}
	}
	if v[0] != 5 {
		t.Error("the caller's values were sorted")
	}
	if got := figure.Percentile([]int(nil), 0.5); got != 0 {
		t.Errorf("percentile of nothing = %d", got)
	}
}

func TestMarkdown(t *testing.T) {
	limit := figure.Figure{Section: "Limits", Load: "commit-c1", Name: "per second"}
	results := &figure.Results{}
	results.Add(0, "machine", limit, 1000)
	results.Add(0, "ours", rate, 800)
	results.Add(0, "ours-too", rate, 100)
	results.Add(0, "theirs", rate, 200)
	results.Add(0, "ours", slow, 50)
	results.Add(0, "theirs", slow, 100)
	results.Add(0, "theirs", memory, 7)
	results.Fail(0, "theirs", "append", errString("database is locked"))
	report := figure.Report{
		Title: "Bench", Machine: []string{"2 cores"}, Servers: []string{"ours", "ours-too", "theirs", "absent"}, Ours: 2, Limits: "machine", Order: []string{"Nothing", "Limits", "Idle"},
		Notes: map[string]string{"IMAP": "Over TLS."},
		Aims: []figure.Aim{
			{Server: "ours", Figure: rate, Of: limit, AtLeast: 0.7},
			{Server: "ours", Figure: rate, AtLeast: 5000},
			{Server: "ours", Figure: memory, AtLeast: 1},
			{Server: "machine", Figure: limit, Note: "the limit"},
		},
		Results: results,
	}
	var b strings.Builder
	if err := report.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Bench\n\n- 2 cores\n",
		"## Limits\n\n| load | figure | machine |\n| --- | --- | ---: |\n| commit-c1 | per second | 1000 |\n",
		"## IMAP\n\nOver TLS.\n\n| load | figure | ours | ours-too | theirs | ÷ theirs |\n",
		"| select | per second | 800 | 100 | 200 | 4.00 |\n",
		"| list | per second | 50.0 | – | 100 | 0.50 |\n",
		"## Idle\n\n| load | figure | theirs |\n| --- | --- | ---: |\n| idle | MB | 7.00 |\n",
		"| ours | select, per second of commit-c1 | 0.70 | 0.80 | reached |\n",
		"| ours | select, per second | 5000 | 800 | missed |\n",
		"| machine | commit-c1, per second | – | 1000 | the limit |\n",
		"## Standing\n\n- ours is ahead of theirs in 1 of 2 figures, behind in: list, per second (0.50).\n" +
			"- ours-too is ahead of theirs in 0 of 1 figures, behind in: select, per second (0.50).\n",
		"- theirs, append, round 0: database is locked\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, b.String())
		}
	}
	if text := b.String(); strings.Index(text, "## Limits") > strings.Index(text, "## Idle") || strings.Index(text, "## Idle") > strings.Index(text, "## IMAP") {
		t.Errorf("the sections are not in order:\n%s", text)
	}
	if strings.Contains(b.String(), "absent") || strings.Contains(b.String(), "Nothing") {
		t.Errorf("a server or section without a figure is shown:\n%s", b.String())
	}
}

type errString string

func (e errString) Error() string { return string(e) }
