package domain

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/signing"
)

// texts looks up the TXT records of a finding; ok is false where there is nothing to judge, and the finding is filled in.
func (c *check) texts(ctx context.Context, f *Finding) (texts []string, ok bool) {
	texts, err := c.Resolver.LookupTXT(ctx, f.Name)
	if err != nil {
		f.failed(err)
		return nil, false
	}
	return texts, true
}

// versioned looks up the only TXT record of a finding that begins with a version, such as "v=spf1".
func (c *check) versioned(ctx context.Context, f *Finding, version, kind string) (text string, ok bool) {
	texts, ok := c.texts(ctx, f)
	if !ok {
		return "", false
	}
	for _, text := range texts {
		head, _, _ := strings.Cut(text, ";")
		head, _, _ = strings.Cut(head, " ")
		if strings.EqualFold(strings.TrimSpace(head), version) {
			f.Found = append(f.Found, text)
		}
	}
	switch len(f.Found) {
	case 0:
		f.is(Missing, "")
		return "", false
	case 1:
		return f.Found[0], true
	}
	f.is(Inconsistent, fmt.Sprintf("there are %d %s records, and so others heed none", len(f.Found), kind))
	return "", false
}

func (c *check) ownership(ctx context.Context, f *Finding) {
	if texts, ok := c.texts(ctx, f); ok {
		f.Found = texts
		// Other organisations and servers have records of their own there.
		if f.Status = Missing; slices.Contains(texts, f.Value) {
			f.Status = Right
		}
	}
	if f.Status == Missing && c.d.Vouched {
		f.is(Right, "it is not there, and need not be: an operator vouched for the domain")
	}
}

func (c *check) mx(ctx context.Context, f *Finding) {
	answer, err := c.Resolver.LookupMX(ctx, f.Name)
	if err != nil {
		f.failed(err)
		return
	}
	hosts := answer.Records
	slices.SortFunc(hosts, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	ours := slices.IndexFunc(hosts, func(h dns.MX) bool { return h.Host == c.Host })
	for _, h := range hosts {
		f.Found = append(f.Found, fmt.Sprintf("%d %s", h.Preference, orRoot(h.Host)))
	}
	switch {
	case ours < 0:
		f.is(Inconsistent, "mail for the domain goes elsewhere")
	case hosts[0].Preference < hosts[ours].Preference:
		f.is(Right, "others are asked before this server: right while mail still goes there first and what is not there is passed on to here")
	case len(hosts) > 1:
		f.is(Right, "others take mail too: right while the domain is served at both places, if they pass on to here what they have no mailbox for")
	default:
		f.is(Right, "")
	}
}

// dkim compares the key, not the tags that say no more than their defaults.
func (c *check) dkim(ctx context.Context, f *Finding) {
	texts, ok := c.texts(ctx, f)
	if !ok {
		return
	}
	f.Found = texts
	i := slices.IndexFunc(c.d.keys, func(k signing.Key) bool { return k.Name == f.Name })
	found, _ := tags(texts[0])
	switch {
	case len(texts) > 1:
		f.is(Inconsistent, "there are several records, of which a verifier takes any")
	case c.d.keys[i].In(texts):
		f.is(Right, "")
		if slices.Contains(strings.Split(found["t"], ":"), "y") {
			f.Note = "t=y says that signatures are being tested: others may treat the mail as unsigned"
		}
	case found["p"] == "":
		f.is(Inconsistent, "the record holds no key")
	default:
		f.is(Inconsistent, "the record holds another key, or says that it is not for mail")
	}
}

// tags reads a list of tags, "a=1; b=2" (RFC 6376 section 3.2), without the white space in values. It is not valid where one is none
// or stands twice.
func tags(text string) (tags map[string]string, valid bool) {
	tags, valid = map[string]string{}, true
	for part := range strings.SplitSeq(text, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		key = strings.TrimSpace(key)
		if _, twice := tags[key]; !ok || key == "" || twice {
			valid = false
			continue
		}
		tags[key] = strings.Join(strings.Fields(value), "")
	}
	return tags, valid
}

func (c *check) dmarc(ctx context.Context, f *Finding) {
	text, ok := c.versioned(ctx, f, "v=DMARC1", "DMARC")
	if !ok {
		return
	}
	r, valid := mailauth.ParseRecord(text)
	t, clean := tags(text)
	written := func(tag string, without mailauth.Policy) mailauth.Policy {
		if p := t[tag]; p != "" {
			return mailauth.Policy(strings.ToLower(p))
		}
		return without
	}
	switch {
	case !valid || r.Policy != written("p", "") || r.Subdomains != written("sp", r.Policy):
		f.is(Inconsistent, "p, and sp if it is there, must be none, quarantine or reject")
		return
	case !clean:
		f.is(Inconsistent, "the record has a tag that is none, or one twice")
		return
	case r.Policy == mailauth.PolicyNone:
		f.is(Right, "p=none asks for reports alone: mail that fails is delivered all the same")
	case r.Policy == mailauth.PolicyQuarantine:
		f.is(Right, "p=quarantine: mail that fails is put aside")
	default:
		f.is(Right, "p=reject: mail that fails is refused")
	}
	if !mailsTo(r.Aggregate, intake.DMARCReports+"@"+c.d.Name) {
		f.Note += "; reports of others go elsewhere or nowhere (rua)"
	}
}

// mailsTo reports whether an address is among URIs.
func mailsTo(uris []string, address string) bool {
	return slices.ContainsFunc(uris, func(uri string) bool {
		uri, _, _ = strings.Cut(strings.TrimSpace(uri), "!") // a size may follow
		return strings.EqualFold(uri, "mailto:"+address)
	})
}

func (c *check) tlsReports(ctx context.Context, f *Finding) {
	text, ok := c.versioned(ctx, f, "v=TLSRPTv1", "TLS-RPT")
	if !ok {
		return
	}
	t, valid := tags(text)
	switch {
	case !valid || t["rua"] == "":
		f.is(Inconsistent, "the record does not say where reports go (rua)")
	case !mailsTo(strings.Split(t["rua"], ","), intake.TLSReports+"@"+c.d.Name):
		f.is(Right, "reports of others go elsewhere (rua)")
	default:
		f.is(Right, "")
	}
}

// alias is right where the name leads to the server, by an alias or by the server's addresses.
func (c *check) alias(ctx context.Context, f *Finding) {
	if a, err := c.Resolver.LookupCNAME(ctx, f.Name); err == nil {
		f.Found = a.Records
		if slices.Contains(a.Records, c.Host) {
			f.is(Right, "")
			return
		}
	} else if !errors.Is(err, dns.ErrNotFound) {
		f.failed(err)
		return
	}
	a, err := c.Resolver.LookupAddresses(ctx, f.Name)
	switch {
	case err != nil && len(f.Found) > 0 && errors.Is(err, dns.ErrNotFound):
		f.is(Inconsistent, "it is an alias of a name without an address")
	case err != nil:
		f.failed(err)
	case a.Name == c.Host:
		f.is(Right, "")
	case c.trouble != nil && !errors.Is(c.trouble, dns.ErrNotFound):
		f.failed(c.trouble)
	case len(c.addresses) > 0 && !slices.ContainsFunc(a.Records, func(a netip.Addr) bool { return !slices.Contains(c.addresses, a) }):
		f.is(Right, "it leads to the server's addresses: an alias (CNAME) would follow when they change")
		f.Found = append(f.Found, words(a.Records)...)
	default:
		f.is(Inconsistent, "it leads to another server")
		f.Found = append(f.Found, words(a.Records)...)
	}
}

func words(addresses []netip.Addr) []string {
	var out []string
	for _, a := range addresses {
		out = append(out, a.String())
	}
	return out
}

// stsID judges the record of MTA-STS; the finding's Value is empty where the server's policy is none.
func (c *check) stsID(ctx context.Context, f *Finding) {
	if _, ok := c.versioned(ctx, f, "v=STSv1", "MTA-STS"); !ok {
		if f.Value == "" && f.Status == Missing {
			f.is(Right, "no policy is offered (setting mta_sts)")
		}
		return
	}
	wanted, _ := route.ParseSTSRecord([]string{c.stsRecord()})
	switch id, ok := route.ParseSTSRecord(f.Found); {
	case !ok:
		f.is(Inconsistent, "the record has no id, or one that is not of letters and digits")
	case id == wanted && f.Value == "":
		f.is(Right, "the policy is withdrawn: remove the record when the time is over for which senders kept the former one")
	case id == wanted:
		f.is(Right, "")
	case f.Value == "":
		f.is(Inconsistent, "the policy is withdrawn (setting mta_sts), which senders learn by a new record alone: publish "+c.stsRecord()+
			", and remove it when the time is over for which they kept the former one")
	default:
		f.is(Inconsistent, "the id is not the policy's: senders that know another policy do not fetch this one")
	}
}

func (c *check) service(ctx context.Context, f *Finding) {
	answer, err := c.Resolver.LookupSRV(ctx, f.Name)
	if err != nil {
		f.failed(err)
		return
	}
	right := false
	for _, r := range answer.Records {
		f.Found = append(f.Found, fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, orRoot(r.Target)))
		// Priority and weight mean something among several alone.
		right = right || strings.HasSuffix(f.Value, fmt.Sprintf(" %d %s", r.Port, orRoot(r.Target)))
	}
	switch {
	case !right:
		f.is(Inconsistent, "programs are led elsewhere")
	case len(answer.Records) > 1:
		f.is(Right, "programs may be led elsewhere too")
	default:
		f.is(Right, "")
	}
}

// orRoot is a name as a zone file has it: the root is a dot.
func orRoot(name string) string {
	if name == "" {
		return "."
	}
	return name
}

// maxLines is how many lines of a policy are shown.
const maxLines = 10

// policyFile fetches the policy as a sender does.
func (c *check) policyFile(ctx context.Context, f *Finding) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, p, err := c.Policies.Fetch(ctx, c.d.Name)
	var status route.STSStatus
	var lookup *net.DNSError
	switch {
	case err == nil:
		f.Found = strings.Split(strings.TrimSpace(body), "\n")
		f.Found = f.Found[:min(len(f.Found), maxLines)]
		c.judgePolicy(f, body, p)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		f.is(Missing, "the name leads nowhere yet")
	case errors.As(err, &lookup):
		f.is(Unknown, "DNS could not tell: "+err.Error())
	case errors.Is(err, route.ErrInvalidSTS), errors.As(err, &status), dial.IsRefused(err), isCertificate(err):
		f.is(Inconsistent, err.Error())
	default:
		f.is(Unknown, "it could not be fetched from here: "+err.Error())
	}
}

func (c *check) judgePolicy(f *Finding, body string, p *route.STSPolicy) {
	var strangers []string
	for _, h := range c.exchanges {
		if h.Host != "" && p.Mode() != route.STSNone && !p.Matches(h.Host) {
			strangers = append(strangers, h.Host)
		}
	}
	switch {
	case !p.Matches(c.Host) && p.Mode() != route.STSNone:
		f.is(Inconsistent, "the policy does not name this server")
	case len(strangers) > 0 && p.Mode() == route.STSEnforce:
		f.is(Inconsistent, "the policy does not name "+strings.Join(strangers, ", ")+", to which mail for the domain may go: others keep it back")
	case len(strangers) > 0:
		f.is(Right, "the policy does not name "+strings.Join(strangers, ", ")+", to which mail for the domain may go: right while it is only tested")
	case p.Mode() != c.STS.Mode:
		f.is(Right, fmt.Sprintf("it is served by another server, in mode %s", p.Mode()))
	case body != c.stsPolicy():
		f.is(Right, "it is served by another server")
	case p.Mode() == route.STSTesting:
		f.is(Right, "mode testing: failures are reported, and mail is sent all the same")
	default:
		f.is(Right, "")
	}
}

// host judges the server's own name.
func (c *check) host(f *Finding) {
	f.Found = words(c.addresses)
	switch {
	case c.trouble != nil:
		f.failed(c.trouble)
		if f.Status == Missing {
			f.Note = "the server's name (setting hostname) has no address, so nobody finds it"
		}
	case slices.ContainsFunc(c.addresses, func(a netip.Addr) bool { return !dial.Public(a) }):
		f.is(Right, "not all of the addresses can be reached from the internet")
	default:
		f.is(Right, "")
	}
}

func (c *check) reverse(ctx context.Context, f *Finding) {
	addr, err := netip.ParseAddr(f.Name)
	if err != nil {
		f.failed(err) // it is an address of the server's name
		return
	}
	answer, err := c.Resolver.LookupPTR(ctx, addr)
	if err != nil {
		f.failed(err)
		if f.Status == Missing {
			f.Note = "many servers take no mail from an address without a name: whoever gave you the address sets it"
		}
		return
	}
	f.Found = answer.Records
	if slices.Contains(answer.Records, directory.Fold(c.Host)) {
		f.is(Right, "")
		return
	}
	f.is(Inconsistent, "the address leads back to another name than the server's own")
}

func isCertificate(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate)
}
