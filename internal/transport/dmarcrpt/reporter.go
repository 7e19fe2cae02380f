package dmarcrpt

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/message/dmarcreport"
	"github.com/pennypost/pennypost/internal/message/mailreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// Options are what a Reporter needs.
type Options struct {
	DB       *db.DB
	Clock    clock.Clock
	Log      *slog.Logger
	Resolver *dns.Resolver
	Mailer   dayreport.Mailer
	// Organizational returns the organisational domain of a domain.
	Organizational func(ctx context.Context, domain string) (string, error)
	// Organization is who reports, in words; From the address that sends reports and takes questions, whose domain is the submitter.
	Organization, From string
	// Generator is the name and version of the program.
	Generator string
	// Random is below n, and spreads the reports of a day (math/rand/v2.Int64N).
	Random func(n int64) int64
}

// Reporter counts messages and reports them. It is safe for concurrent use. Its owner calls Handle, Start and Run.
type Reporter struct {
	*dayreport.Reporter
	Options
}

// New returns a Reporter.
func New(o Options) *Reporter {
	r := &Reporter{Options: o}
	r.Reporter = dayreport.New(dayreport.Options{
		DB: o.DB, Clock: o.Clock, Log: o.Log, Kind: "dmarc", Build: r.build, Deliver: r.deliver, Random: o.Random,
	})
	return r
}

// published is a policy as it is counted: with where reports are wanted.
type published struct {
	dmarcreport.Policy
	Aggregate []string `json:"rua"`
}

// maxSignatures is how many signatures of a message are counted apart.
const maxSignatures = 10

// Judged counts a message that was checked, with what was done to it, once tx is committed. It is transport.Options.Judged. Where the domain
// wants no reports, or its record was not found out, or the client is this machine, nothing is counted.
func (r *Reporter) Judged(_ context.Context, tx *db.Tx, v *mailauth.Verdict, done mailauth.Disposition) error {
	d := &v.DMARC
	if done.Applied == "" {
		done.Applied = mailauth.PolicyNone
	}
	decided := d.Result == dkim.Pass || d.Result == dkim.Fail
	if !decided || d.Record == nil || len(d.Record.Aggregate) == 0 || d.Domain == "" || v.Local || !v.Client.Address.IsValid() {
		return nil
	}
	policy, detail := encode(policyOf(d)), encode(recordOf(v, done))
	tx.OnCommit(func() { r.Count(d.Domain, policy, detail) })
	return nil
}

func policyOf(d *mailauth.DMARC) published {
	r := d.Record
	p := published{
		Policy: dmarcreport.Policy{
			Domain: d.Domain, Policy: string(r.Policy), Subdomains: string(r.Subdomains), NonExistent: string(r.NonExistent),
			DKIM: alignment(r.StrictDKIM), SPF: alignment(r.StrictSPF), FailureOptions: mailreport.Text(r.FailureOptions), Testing: "n",
		},
		Aggregate: r.Aggregate[:min(len(r.Aggregate), maxAsked)],
	}
	if r.Testing {
		p.Testing = "y"
	}
	return p
}

func alignment(strict bool) string {
	if strict {
		return "s"
	}
	return "r"
}

func recordOf(v *mailauth.Verdict, done mailauth.Disposition) dmarcreport.Record {
	d := &v.DMARC
	out := dmarcreport.Record{
		Source: v.Client.Address.Unmap().WithZone("").String(), Disposition: string(done.Applied), DKIM: passed(d.DKIMAligned), SPF: passed(d.SPFAligned),
		HeaderFrom: mailreport.Text(d.From), EnvelopeFrom: mailreport.Text(v.Client.From.Domain),
	}
	switch {
	case d.Result == dkim.Pass && d.Policy != mailauth.PolicyNone:
		out.Disposition = "pass"
	case done.Override != "":
		out.Reasons = []dmarcreport.Reason{{Type: done.Override, Comment: mailreport.Text(done.Comment)}}
	}
	// Signatures that pass come first (RFC 9990 section 3.1.3).
	for _, pass := range []bool{true, false} {
		for _, s := range v.DKIM {
			if (s.Result == dkim.Pass) == pass && s.Result != dkim.None && len(out.DKIMResults) < maxSignatures {
				out.DKIMResults = append(out.DKIMResults, dmarcreport.DKIMResult{
					Domain: mailreport.Text(s.Domain), Selector: mailreport.Text(s.Selector), Result: string(s.Result),
				})
			}
		}
	}
	if v.SPF.Result != "" {
		out.SPFResults = []dmarcreport.SPFResult{{Domain: mailreport.Text(v.SPF.Domain), Scope: "mfrom", Result: string(v.SPF.Result)}}
	}
	return out
}

func passed(aligned bool) string {
	if aligned {
		return "pass"
	}
	return "fail"
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // texts and numbers always encode
	}
	return string(b)
}
