package tlsrpt

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/mailreport"
	"github.com/pennypost/pennypost/internal/message/tlsreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/route"
)

// maxPolicy is how many bytes of a policy are kept.
const maxPolicy = 8 << 10

// Options are what a Reporter needs.
type Options struct {
	DB       *db.DB
	Clock    clock.Clock
	Log      *slog.Logger
	Resolver *dns.Resolver
	Dialer   *dial.Dialer // for reports that are wanted over HTTPS
	Roots    *x509.CertPool
	Mailer   dayreport.Mailer
	// Organization is who reports, in words; Contact an address for questions; From the address that sends reports, whose domain is
	// the submitter.
	Organization, Contact, From string
	// Random is below n, and spreads the reports of a day (math/rand/v2.Int64N).
	Random func(n int64) int64
}

// Reporter counts sessions and reports them. It is safe for concurrent use. Its owner calls Handle, Start and Run.
type Reporter struct {
	*dayreport.Reporter
	Options
	client *http.Client
}

// New returns a Reporter.
func New(o Options) *Reporter {
	r := &Reporter{Options: o, client: postClient(o.Dialer, o.Roots)}
	r.Reporter = dayreport.New(dayreport.Options{
		DB: o.DB, Clock: o.Clock, Log: o.Log, Kind: "tls", Build: r.build, Deliver: r.deliver, Random: o.Random,
	})
	return r
}

// Session counts a session. It does not wait; what it counts is durable about a minute later. A session without a policy's type, or
// to an address literal, is nothing that anybody wants to hear of.
func (r *Reporter) Session(_ context.Context, s route.Session) {
	if s.Policy.Type == "" || s.Domain == "" || strings.HasPrefix(s.Domain, "[") {
		return
	}
	policy := encode(tlsreport.Policy{Type: s.Policy.Type, Strings: shorten(s.Policy.Strings), Domain: s.Policy.Domain, MX: shorten(s.Policy.MX)})
	failure := ""
	if s.Result != route.Succeeded {
		failure = encode(tlsreport.Failure{
			Result: string(s.Result), Local: address(s.Local), Host: mailreport.Text(s.Host), Helo: mailreport.Text(s.Helo), Address: address(s.Address),
			Info: mailreport.Text(s.Info), Reason: mailreport.Text(s.Reason),
		})
	}
	r.Count(s.Domain, policy, failure)
	if s.Policy.Type == route.PolicyTLSA && s.Policy.Domain != s.Domain {
		r.Count(s.Policy.Domain, policy, failure)
	}
}

// Run makes what was counted durable until ctx ends, and what is left then. It returns nil then.
func (r *Reporter) Run(ctx context.Context) error {
	defer r.client.CloseIdleConnections()
	return r.Reporter.Run(ctx)
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // texts and numbers always encode
	}
	return string(b)
}

func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().WithZone("").String()
}

// shorten leaves out the last of the strings where together they are too long.
func shorten(list []string) []string {
	size := 0
	for i, s := range list {
		if size += len(s); size > maxPolicy {
			return list[:i]
		}
	}
	return list
}
