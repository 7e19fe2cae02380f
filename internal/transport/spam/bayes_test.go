package spam

import (
	"math"
	"testing"
	"testing/quick"
)

// TestProbabilityIsSane holds what users count on, whatever the counts are.
func TestProbabilityIsSane(t *testing.T) {
	sane := func(spam, ham uint8, of []struct{ Spam, Ham uint8 }) bool {
		corpus := counts{int64(spam) + 1, int64(ham) + 1}
		var tokens, mirrored []counts
		for _, c := range of {
			k := counts{min(int64(c.Spam), corpus.spam), min(int64(c.Ham), corpus.ham)}
			tokens, mirrored = append(tokens, k), append(mirrored, counts{k.ham, k.spam})
		}
		p, _ := probability(corpus, tokens)
		q, _ := probability(counts{corpus.ham, corpus.spam}, mirrored)
		return p >= 0 && p <= 1 && math.Abs(p+q-1) < 1e-9
	}
	if err := quick.Check(sane, nil); err != nil {
		t.Error(err)
	}
	if p, n := probability(counts{20, 20}, nil); p != 0.5 || n != 0 {
		t.Errorf("nothing known is %v by %d", p, n)
	}
	for _, c := range []struct {
		token counts
		n     int
		spam  bool
	}{{counts{20, 0}, 10, true}, {counts{0, 20}, 10, false}} {
		var tokens []counts
		for range c.n {
			tokens = append(tokens, c.token)
		}
		if p, _ := probability(counts{20, 20}, tokens); p > 0.5 != c.spam || math.Abs(p-0.5) < 0.49 {
			t.Errorf("%d times %+v is %v", c.n, c.token, p)
		}
	}
}

// TestChiSquare compares with a table of the distribution.
func TestChiSquare(t *testing.T) {
	for _, c := range []struct {
		x       float64
		degrees int
		want    float64
	}{{0, 2, 1}, {5.991, 2, 0.05}, {9.488, 4, 0.05}, {18.307, 10, 0.05}, {23.209, 10, 0.01}, {124.342, 100, 0.05}, {4000, 300, 0}} {
		if got := chiSquare(c.x, c.degrees); math.Abs(got-c.want) > 0.0001 {
			t.Errorf("chiSquare(%v, %d) = %v, want %v", c.x, c.degrees, got, c.want)
		}
	}
}
