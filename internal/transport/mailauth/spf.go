package mailauth

import (
	"context"
	"errors"
	"net"
	"strings"

	"blitiri.com.ar/go/spf"

	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// SPF checks the reverse-path of mail that a client would hand in.
func SPF(ctx context.Context, r Resolver, c Client) Outcome {
	return newLookups(r, c.Address.Unmap()).checkSPF(ctx, c.Hello, c.From)
}

// checkSPF checks a sender's domain (RFC 7208): who may send for it, by the word of its owner.
func (l *lookups) checkSPF(ctx context.Context, hello string, sender message.Address) Outcome {
	domain := message.FoldDomain(sender.Domain)
	if !isDomain(domain) {
		return Outcome{Result: dkim.None, Domain: domain, Reason: "no domain to look up"}
	}
	// A quoted local part can hold what package spf takes for the address's own "@".
	local := strings.ReplaceAll(sender.Local, "@", "=")
	result, err := spf.CheckHostWithSender(net.IP(l.client.AsSlice()), message.FoldDomain(hello), local+"@"+domain,
		spf.WithContext(ctx), spf.WithResolver(forSPF{l}))
	o := Outcome{Result: dkim.Result(result), Domain: domain}
	switch {
	case o.Result == dkim.TempError:
		o.Reason = reasonOf(ctx, err)
	case o.Result == dkim.PermError && err != nil:
		o.Reason = err.Error()
	}
	return o
}

// checkHello checks how the client calls itself.
func (l *lookups) checkHello(ctx context.Context, hello string) Outcome {
	return l.checkSPF(ctx, hello, message.Address{Local: "postmaster", Domain: hello})
}

// checkName looks for a name of the client that leads back to it (RFC 8601 section 3).
func (l *lookups) checkName(ctx context.Context) Outcome {
	switch names, err := l.confirmed(ctx); {
	case err == nil:
		return Outcome{Result: dkim.Pass, Domain: names[0]}
	case errors.Is(err, errNotConfirmed):
		return Outcome{Result: dkim.Fail, Reason: err.Error()}
	case errors.Is(err, dns.ErrNotFound):
		return Outcome{Result: dkim.PermError, Reason: "the address has no name"}
	default:
		return Outcome{Result: dkim.TempError, Reason: reasonOf(ctx, err)}
	}
}

// reasonOf words a look-up that failed: what exactly is for nobody outside.
func reasonOf(ctx context.Context, err error) string {
	if ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded) {
		return "DNS took too long"
	}
	return "DNS failed"
}

// isDomain reports whether a name can be looked up: ASCII, of more than one label, and no address literal.
func isDomain(name string) bool {
	for i := range len(name) {
		if name[i] >= 128 {
			return false
		}
	}
	return strings.Contains(name, ".") && message.CheckDomain(name) == nil
}
