package domain

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// spf asks what others will: whether mail of the domain may come from the server's addresses.
func (c *check) spf(ctx context.Context, f *Finding) {
	text, ok := c.versioned(ctx, f, "v=spf1", "SPF")
	if !ok {
		return
	}
	var wrong []string
	for _, a := range c.probes() {
		o := mailauth.SPF(ctx, c.Resolver, mailauth.Client{Address: a, Hello: c.Host, From: message.Address{Local: "postmaster", Domain: c.d.Name}})
		switch o.Result {
		case dkim.TempError:
			f.is(Unknown, "DNS could not tell: "+o.Reason)
			return
		case dkim.PermError:
			f.is(Inconsistent, "others take the record for broken: "+o.Reason)
			return
		case dkim.Pass:
		default:
			wrong = append(wrong, fmt.Sprintf("%s (%s)", a, o.Result))
		}
	}
	switch {
	case c.Way == Gateway:
		f.is(Right, "mail leaves by a gateway: see that the record includes its addresses")
	case c.Way == Nowhere:
		f.is(Right, "no mail leaves this server (setting outbound)")
	case len(c.addresses) == 0 && text == f.Value:
		f.is(Right, "")
	case len(c.addresses) == 0:
		f.is(Unknown, "whether the record includes this server can't be told while the server's name has no address")
	case len(wrong) > 0:
		f.is(Inconsistent, "the record does not include this server: "+strings.Join(wrong, ", "))
	default:
		f.is(Right, "")
	}
}

// probes are the addresses to try: the server's, or, to see at least whether the record holds, any.
func (c *check) probes() []netip.Addr {
	if c.Way == Direct && len(c.addresses) > 0 {
		return c.addresses
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 1})} // for documentation (RFC 5737)
}
