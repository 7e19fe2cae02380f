package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/pennypost/pennypost/internal/transport/domain"
)

const zone = "example.com"

func wanted(purpose domain.Purpose, status domain.Status, kind, name, value string) domain.Finding {
	return domain.Finding{Record: domain.Record{Purpose: purpose, Type: kind, Name: name, Value: value}, Status: status}
}

// there is a record of the zone.
func there(name, kind, data string) Record {
	return Record{Name: name, TTL: 60, Type: kind, Data: data}
}

func TestPlan(t *testing.T) {
	const shop = "shop.example.com"
	spf := func(s domain.Status) domain.Finding {
		return wanted(domain.SPF, s, "TXT", shop, "v=spf1 a:m.example ~all")
	}
	mx := func(s domain.Status) domain.Finding { return wanted(domain.MX, s, "MX", shop, "10 m.example") }
	alias := func(s domain.Status) domain.Finding {
		return wanted(domain.Autoconfig, s, "CNAME", "autoconfig."+shop, "m.example")
	}
	const ourSPF, ourMX, ourAlias = `shop.example.com. 3600 IN TXT "v=spf1 a:m.example ~all"`, "shop.example.com. 3600 IN MX 10 m.example.", "autoconfig.shop.example.com. 3600 IN CNAME m.example."
	for name, c := range map[string]struct {
		finding domain.Finding
		records []Record
		// kept is what becomes of it, and replaced the same with leave to replace; empty for nothing, "left" for what is left.
		kept, replaced string
	}{
		"nothing there":           {spf(domain.Missing), nil, "+ " + ourSPF, "+ " + ourSPF},
		"all is right":            {spf(domain.Right), []Record{there(shop, "TXT", "v=spf1 include:x -all")}, "", ""},
		"others beside it":        {spf(domain.Missing), []Record{there(shop, "TXT", "other=1"), there(shop, "MX", "5 x.")}, "+ " + ourSPF, "+ " + ourSPF},
		"not to be seen yet":      {spf(domain.Missing), []Record{there(shop, "TXT", "v=spf1 a:m.example ~all")}, "", ""},
		"another's":               {spf(domain.Inconsistent), []Record{there(shop, "TXT", "V=SPF1 include:x -all")}, "left", `- shop.example.com. 60 IN TXT "V=SPF1 include:x -all" + ` + ourSPF},
		"another's, not seen yet": {spf(domain.Missing), []Record{there(shop, "TXT", "v=spf1 include:x -all")}, "left", `- shop.example.com. 60 IN TXT "v=spf1 include:x -all" + ` + ourSPF},
		"ours and another's": {
			spf(domain.Inconsistent), []Record{there(shop, "TXT", "v=spf1 a:m.example ~all"), there(shop, "TXT", "v=spf1 -all")}, "left", `- shop.example.com. 60 IN TXT "v=spf1 -all"`,
		},
		"by a wildcard":           {spf(domain.Inconsistent), []Record{there("*.example.com", "TXT", "v=spf1 -all")}, "+ " + ourSPF, "+ " + ourSPF},
		"not known":               {spf(domain.Unknown), nil, "left", "left"},
		"mail elsewhere":          {mx(domain.Inconsistent), []Record{there(shop, "MX", "5 x.")}, "left", "- shop.example.com. 60 IN MX 5 x. + " + ourMX},
		"the same MX":             {mx(domain.Missing), []Record{there(shop, "MX", "10 M.Example.")}, "", ""},
		"an address for an alias": {alias(domain.Inconsistent), []Record{there("autoconfig."+shop, "A", "192.0.2.1")}, "left", "- autoconfig.shop.example.com. 60 IN A 192.0.2.1 + " + ourAlias},
		"another alias":           {alias(domain.Inconsistent), []Record{there("autoconfig."+shop, "CNAME", "x.")}, "left", "- autoconfig.shop.example.com. 60 IN CNAME x. + " + ourAlias},
		"an alias in the way": {
			wanted(domain.DMARC, domain.Missing, "TXT", "_dmarc."+shop, "v=DMARC1"),
			[]Record{there("_dmarc."+shop, "CNAME", "dmarc.x.")},
			"left",
			`- _dmarc.shop.example.com. 60 IN CNAME dmarc.x. + _dmarc.shop.example.com. 3600 IN TXT "v=DMARC1"`,
		},
		"another key": {
			wanted(domain.DKIM, domain.Inconsistent, "TXT", "s._domainkey."+shop, "p=A"),
			[]Record{there("s._domainkey."+shop, "TXT", "p=B")},
			"left",
			`- s._domainkey.shop.example.com. 60 IN TXT "p=B" + s._domainkey.shop.example.com. 3600 IN TXT "p=A"`,
		},
		"others' proofs": {
			wanted(domain.Ownership, domain.Missing, "TXT", "_pennypost."+shop, "A="),
			[]Record{there("_pennypost."+shop, "TXT", "B=")},
			`+ _pennypost.shop.example.com. 3600 IN TXT "A="`, `+ _pennypost.shop.example.com. 3600 IN TXT "A="`,
		},
		"a service": {
			wanted(domain.Services, domain.Inconsistent, "SRV", "_imap._tcp."+shop, "0 0 0 ."),
			[]Record{there("_imap._tcp."+shop, "SRV", "0 1 143 m.example.")},
			"left",
			"- _imap._tcp.shop.example.com. 60 IN SRV 0 1 143 m.example. + _imap._tcp.shop.example.com. 3600 IN SRV 0 0 0 .",
		},
		"no record": {wanted(domain.Reverse, domain.Missing, "PTR", "192.0.2.1", "m.example"), nil, "", ""},
	} {
		for replace, want := range map[bool]string{false: c.kept, true: c.replaced} {
			p, err := Make([]domain.Finding{c.finding}, zone, c.records, replace)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got := strings.Join(p.Lines(), " ")
			if len(p.Left) > 0 {
				got += "left"
			}
			if got != want {
				t.Errorf("%s, replace %t: %s\nwant %s", name, replace, got, want)
			}
		}
	}
	if _, err := Make([]domain.Finding{wanted(domain.MX, domain.Missing, "MX", "notexample.com", "10 m")}, zone, nil, false); err == nil {
		t.Error("a name in another zone was accepted")
	}
}

// lying says that it made changes.
type lying struct {
	records []Record
	err     error
}

func (l *lying) Records(context.Context, string) ([]Record, error)        { return l.records, nil }
func (l *lying) Change(context.Context, string, []Record, []Record) error { return l.err }

// TestApplyReadsBack believes nobody.
func TestApplyReadsBack(t *testing.T) {
	old, made := there("x.example.com", "MX", "5 x."), there("x.example.com", "MX", "10 m.")
	p := &Plan{Remove: []Record{old}, Add: []Record{made}}
	for words, zones := range map[string]*lying{
		"refused": {[]Record{old}, errors.New("refused")}, "does not have": {[]Record{old}, nil}, "still has": {[]Record{old, made}, nil}, "": {[]Record{made}, nil},
	} {
		if err := p.Apply(t.Context(), zones, zone); (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
			t.Errorf("%v, want %q", err, words)
		}
	}
}

// TestRoute53Batches makes changes of sets of changes of records.
func TestRoute53Batches(t *testing.T) {
	set := func(name string, kind types.RRType, values ...string) types.ResourceRecordSet {
		s := types.ResourceRecordSet{Name: aws.String(name), Type: kind, TTL: aws.Int64(60)}
		for _, v := range values {
			s.ResourceRecords = append(s.ResourceRecords, types.ResourceRecord{Value: aws.String(v)})
		}
		return s
	}
	alias := types.ResourceRecordSet{Name: aws.String("www.example.com."), Type: types.RRTypeA, AliasTarget: &types.AliasTarget{}}
	sets := []types.ResourceRecordSet{
		set("example.com.", "TXT", `"v=spf1 -all"`, `"oth" "er\"1"`), set("autoconfig.example.com.", "A", "192.0.2.1"), set(`\052.example.com.`, "MX", "5 x."), alias,
	}
	native := func(name, kind, data, native string) Record {
		return Record{Name: name, Type: kind, Data: data, native: native}
	}
	changes, err := batch(sets, []Record{
		native("example.com", "TXT", "v=spf1 -all", `"v=spf1 -all"`), native("autoconfig.example.com", "A", "192.0.2.1", "192.0.2.1"),
		native("*.example.com", "MX", "5 x.", "5 x."),
	}, []Record{there("example.com", "TXT", "v=spf1 a ~all"), there("autoconfig.example.com", "CNAME", "m.example"), there("new.example.com", "MX", "10 m")})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, c := range changes {
		line := string(c.Action) + " " + *c.ResourceRecordSet.Name + " " + string(c.ResourceRecordSet.Type)
		for _, r := range c.ResourceRecordSet.ResourceRecords {
			line += " " + *r.Value
		}
		lines = append(lines, line)
	}
	want := []string{
		"DELETE autoconfig.example.com. A 192.0.2.1", `DELETE \052.example.com. MX 5 x.`, `UPSERT example.com. TXT "oth" "er\"1" "v=spf1 a ~all"`,
		"UPSERT autoconfig.example.com. CNAME m.example.", "UPSERT new.example.com. MX 10 m.",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	// What was never read is known by its text, and may be gone.
	gone := []Record{there("example.com", "TXT", "v=spf1 -all"), there("never.example.com", "TXT", "x")}
	if changes, err := batch(sets, gone, nil); err != nil || len(changes) != 1 || len(changes[0].ResourceRecordSet.ResourceRecords) != 1 {
		t.Errorf("%v, %v", changes, err)
	}
	if len(sets[0].ResourceRecords) != 2 {
		t.Error("what was read is changed")
	}
	if _, err := batch(sets, nil, []Record{there("www.example.com", "A", "192.0.2.1")}); err == nil {
		t.Error("an alias of Amazon's was changed")
	}
	if got := unquote(`"oth" "er\"1"`); got != `other"1` {
		t.Errorf("unquoted: %s", got)
	}
}
