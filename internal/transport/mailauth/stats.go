package mailauth

import (
	"errors"
	"slices"
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// methods are the checks, and results what may become of them, as Stats counts them.
var (
	methods = [...]string{"iprev", "spf", "dkim", "dmarc", "arc"}
	results = [...]dkim.Result{dkim.None, dkim.Pass, dkim.Fail, dkim.Policy, dkim.Neutral, SoftFail, dkim.TempError, dkim.PermError}
)

// Count is how many messages had a result of a method.
type Count struct {
	Method string
	Result dkim.Result
	N      uint64
}

type stats [len(methods)][len(results)]atomic.Uint64

func (s *stats) count(v *Verdict) {
	for i, r := range [...]dkim.Result{v.IPRev.Result, v.SPF.Result, v.Signed(), v.DMARC.Result, v.ARC.Result} {
		s[i][max(0, slices.Index(results[:], r))].Add(1)
	}
}

// Stats returns what became of all messages since the start. A method that had no such result is there with 0.
func (k *Checker) Stats() []Count {
	var all []Count
	for i := range k.stats {
		for j := range k.stats[i] {
			all = append(all, Count{methods[i], results[j], k.stats[i][j].Load()})
		}
	}
	return all
}

// Signed returns the best that became of the message's signatures.
func (v *Verdict) Signed() dkim.Result {
	best := []dkim.Result{dkim.Pass, dkim.TempError, dkim.Fail, dkim.Policy, dkim.Neutral, dkim.PermError}
	for _, r := range best {
		if slices.ContainsFunc(v.DKIM, func(s dkim.Signature) bool { return s.Result == r }) {
			return r
		}
	}
	return dkim.None
}

func isNotFound(err error) bool { return errors.Is(err, dns.ErrNotFound) }
