package spam

import (
	"cmp"
	"math"
	"slices"
)

// counts are in how many messages of either kind something was.
type counts struct{ spam, ham int64 }

// The numbers of Robinson's and Fisher's methods, as SpamBayes found them good.
const (
	// MinTrained is how many messages of spam and how many of ham a user's tokens must be of to say anything.
	MinTrained = 20

	unknown     = 0.5  // the probability of a token that was never seen
	strength    = 0.45 // how many messages it weighs as
	leastBias   = 0.1  // tokens closer to 0.5 than this say nothing
	significant = 150  // tokens that are combined
)

func (c counts) enough() bool { return c.spam >= MinTrained && c.ham >= MinTrained }

// probability returns how sure it is that a message with these tokens is spam: 0 ham, 1 spam, 0.5 for no idea. n is how many tokens
// that is by.
func probability(corpus counts, tokens []counts) (p float64, n int) {
	var bias []float64
	for _, t := range tokens {
		spam, ham := float64(t.spam)/float64(max(corpus.spam, 1)), float64(t.ham)/float64(max(corpus.ham, 1))
		if spam+ham == 0 {
			continue
		}
		seen := float64(t.spam + t.ham)
		f := (strength*unknown + seen*(spam/(spam+ham))) / (strength + seen)
		if math.Abs(f-0.5) >= leastBias {
			bias = append(bias, f)
		}
	}
	slices.SortFunc(bias, func(a, b float64) int { return cmp.Compare(math.Abs(b-0.5), math.Abs(a-0.5)) })
	bias = bias[:min(len(bias), significant)]
	if len(bias) == 0 {
		return 0.5, 0
	}
	var asSpam, asHam float64
	for _, f := range bias {
		f = min(max(f, 1e-6), 1-1e-6)
		asHam += math.Log(f)
		asSpam += math.Log(1 - f)
	}
	degrees := 2 * len(bias)
	h, s := chiSquare(-2*asHam, degrees), chiSquare(-2*asSpam, degrees)
	return (1 + h - s) / 2, len(bias)
}

// chiSquare returns the probability that a sum of chi-square distribution with an even number of degrees is at least x.
func chiSquare(x float64, degrees int) float64 {
	m := x / 2
	term := math.Exp(-m)
	sum := term
	for i := 1; i < degrees/2; i++ {
		term *= m / float64(i)
		sum += term
	}
	return min(sum, 1)
}
