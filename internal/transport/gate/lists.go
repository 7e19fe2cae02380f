package gate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns"
)

const (
	// lookUpTime bounds the look-ups of a client in all lists.
	lookUpTime = 5 * time.Second
	// lookUpKept is how long their answers are remembered.
	lookUpKept = 5 * time.Minute
	// maxExplanation is how many bytes of a list's own words are passed on.
	maxExplanation = 200
)

// List is a DNS list of addresses that mail is not wanted from (RFC 5782).
type List struct {
	Zone   string // "zen.spamhaus.org"
	Refuse bool   // its clients' recipients; otherwise it only tells
}

// Resolver is a *dns.Resolver.
type Resolver interface {
	LookupIPv4(ctx context.Context, name string) (dns.Answer[netip.Addr], error)
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// hit is a list that has a client.
type hit struct {
	list *List
	says string // its TXT record, if it refuses
}

// listings are what lists said of an address.
type listings struct {
	asked time.Time
	hits  []hit
}

// answer is what the client is told.
func (h *hit) answer(from netip.Addr) string {
	text := fmt.Sprintf("%s is on the list %s", from, h.list.Zone)
	if h.says != "" {
		text += ": " + h.says
	}
	return text
}

// lookUp asks all lists, side by side. One that does not answer in time has nobody.
func (g *Gate) lookUp(ctx context.Context, v *Visit) []hit {
	if len(g.Lists) == 0 || v.from.IsPrivate() { // of which no list knows
		return nil
	}
	g.mu.Lock()
	known, now := g.clients.get(v.client).listings, g.Clock.Now()
	g.mu.Unlock()
	if !known.asked.IsZero() && now.Sub(known.asked) < lookUpKept && v.from.Is4() { // others of a /64 are others
		return known.hits
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTime)
	defer cancel()
	found, failed := make([]*hit, len(g.Lists)), make([]error, len(g.Lists))
	var wait sync.WaitGroup
	for i := range g.Lists {
		wait.Go(func() { found[i], failed[i] = g.ask(ctx, &g.Lists[i], v.from) })
	}
	wait.Wait()
	known = listings{asked: now}
	for i, h := range found {
		switch count := &g.stats.lists[i]; {
		case failed[i] != nil:
			count.failed.Add(1)
			g.Log.Debug("a DNS list does not answer", "list", g.Lists[i].Zone, "remote", v.from, "error", failed[i])
			known.asked = time.Time{} // the next connection asks again
		case h == nil:
			count.passed.Add(1)
		default:
			count.listed.Add(1)
			known.hits = append(known.hits, *h)
			g.Log.Info("listed", "remote", v.from, "list", h.list.Zone, "refused", h.list.Refuse, "says", h.says)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clients.get(v.client).listings = known
	return known.hits
}

// ask asks one list; nil where it has not the address.
func (g *Gate) ask(ctx context.Context, l *List, a netip.Addr) (*hit, error) {
	name, err := listName(a, l.Zone)
	if err != nil {
		return nil, err
	}
	codes, err := g.Resolver.LookupIPv4(ctx, name)
	switch {
	case errors.Is(err, dns.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	listed := false
	for _, code := range codes.Records {
		on, err := isListed(code)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, code)
		}
		listed = listed || on
	}
	if !listed {
		return nil, nil
	}
	h := &hit{list: l}
	if l.Refuse {
		if says, err := g.Resolver.LookupTXT(ctx, name); err == nil && len(says) > 0 { // it is listed without, too
			h.says = says[0][:min(len(says[0]), maxExplanation)]
		}
	}
	return h, nil
}

// errRefused says that the list does not want to answer us: too many questions, or through a public resolver.
var errRefused = errors.New("the list refuses to answer")

// isListed reads an answer. Lists answer within 127.0.0.0/8 (RFC 5782 section 2.1); anything else is a resolver or a registrar that
// answers for names that don't exist. Of 127.255.255.0/24 and 127.0.0.1 big lists make errors.
func isListed(code netip.Addr) (bool, error) {
	b := code.As4()
	switch {
	case b[0] != 127:
		return false, nil
	case b == [4]byte{127, 0, 0, 1}, b[1] == 255 && b[2] == 255:
		return false, errRefused
	}
	return true, nil
}

// listName is the name of an address in a list (RFC 5782 sections 2.1 and 2.4).
func listName(a netip.Addr, zone string) (string, error) {
	reverse, err := mdns.ReverseAddr(a.String())
	if err != nil {
		return "", err
	}
	for _, suffix := range []string{".in-addr.arpa.", ".ip6.arpa."} {
		reverse = strings.TrimSuffix(reverse, suffix)
	}
	return reverse + "." + zone, nil
}
