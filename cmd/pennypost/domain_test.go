package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/server"
	"github.com/pennypost/pennypost/internal/transport/domain"
)

// told answers the verbs of domains from lists, and remembers what it was asked.
type told struct {
	records  []domain.Record
	findings []domain.Finding
	fails    error
	asked    server.DomainRef
}

func (d *told) DomainRecords(_ context.Context, r server.DomainRef) ([]domain.Record, error) {
	d.asked = r
	return d.records, d.fails
}

func (d *told) CheckDomain(_ context.Context, r server.DomainRef) ([]domain.Finding, error) {
	d.asked = r
	return d.findings, d.fails
}

func TestDomainVerbs(t *testing.T) {
	mx := domain.Record{Purpose: domain.MX, Type: "MX", Name: "shop.example", Value: "10 m.example"}
	key := domain.Record{Purpose: domain.DKIM, Type: "TXT", Name: "a._domainkey.shop.example", Value: "p=A", Detail: "rsa, current"}
	next := domain.Record{Purpose: domain.DKIM, Type: "TXT", Name: "b._domainkey.shop.example", Value: "p=B", Detail: "rsa, next"}
	right := domain.Finding{Record: mx, Status: domain.Right, Found: []string{"10 m.example"}}
	missing := domain.Finding{Record: key, Status: domain.Missing, Found: []string{}}
	other := domain.Finding{Record: mx, Status: domain.Inconsistent, Found: []string{"5 x.\x1b[31m"}, Note: "mail goes elsewhere"}
	unknown := domain.Finding{Record: mx, Status: domain.Unknown, Note: "DNS could not tell"}
	for name, c := range map[string]struct {
		args   string
		told   told
		status exitStatus
		asked  server.DomainRef
		out    []string // lines
		err    string
	}{
		"records": {
			"records shop.example",
			told{records: []domain.Record{mx, key, next}},
			0,
			server.DomainRef{Domain: "shop.example"},
			[]string{
				"; mx: brings the domain's mail here", "shop.example. 3600 IN MX 10 m.example.",
				"; dkim: the keys that the domain's mail is signed by, and those that will be next", `a._domainkey.shop.example. 3600 IN TXT "p=A" ; rsa, current`,
				`b._domainkey.shop.example. 3600 IN TXT "p=B" ; rsa, next`,
			},
			"",
		},
		"records as JSON": {
			"records shop.example --json --organization m-1",
			told{records: []domain.Record{mx, key}},
			0,
			server.DomainRef{Organization: "m-1", Domain: "shop.example"},
			[]string{
				`{"purpose":"mx","type":"MX","name":"shop.example","value":"10 m.example"}`,
				`{"purpose":"dkim","type":"TXT","name":"a._domainkey.shop.example","value":"p=A","detail":"rsa, current"}`,
			},
			"",
		},
		"records that lead nowhere": {
			"records shop.example",
			told{records: []domain.Record{{Purpose: domain.MX, Type: "MX", Name: "shop.example", Value: "10 vm"}}},
			0,
			server.DomainRef{Domain: "shop.example"},
			[]string{
				"; mx: brings the domain's mail here",
				"; nobody elsewhere can look up this server's name: set hostname to one that they can, then publish", "shop.example. 3600 IN MX 10 vm.",
			},
			"",
		},
		"records of a test domain": {"records x.awsapps.com", told{}, 0, server.DomainRef{Domain: "x.awsapps.com"}, []string{noRecords}, ""},
		"records that fail":        {"records x.example", told{fails: errors.New("no such domain")}, 2, server.DomainRef{Domain: "x.example"}, nil, "no such domain"},
		"records of none":          {"records", told{}, 2, server.DomainRef{}, nil, "arg"},
		"all right":                {"check shop.example", told{findings: []domain.Finding{right}}, 0, server.DomainRef{Domain: "shop.example"}, []string{"right         mx              MX      shop.example"}, ""},
		"not all right": {
			"check shop.example --organization m-1",
			told{findings: []domain.Finding{right, missing, other, unknown}},
			1,
			server.DomainRef{Organization: "m-1", Domain: "shop.example"},
			[]string{
				"right         mx              MX      shop.example", "missing       dkim            TXT     a._domainkey.shop.example", "              wanted  p=A",
				"inconsistent  mx              MX      shop.example", "              wanted  10 m.example", "              found   5 x.\uFFFD[31m", "              mail goes elsewhere",
				"unknown       mx              MX      shop.example", "              wanted  10 m.example", "              DNS could not tell",
			},
			"",
		},
		"not all known": {
			"check shop.example --json",
			told{findings: []domain.Finding{right, unknown}},
			2,
			server.DomainRef{Domain: "shop.example"},
			[]string{
				`{"purpose":"mx","type":"MX","name":"shop.example","value":"10 m.example","status":"right","found":["10 m.example"],"note":""}`,
				`{"purpose":"mx","type":"MX","name":"shop.example","value":"10 m.example","status":"unknown","found":null,"note":"DNS could not tell"}`,
			},
			"1 of 2 could not be looked up",
		},
		"a check that fails":     {"check x.example", told{fails: errors.New("no such domain")}, 2, server.DomainRef{Domain: "x.example"}, nil, "no such domain"},
		"nobody to publish with": {"publish x.example", told{}, 2, server.DomainRef{}, nil, "[dns_provider.NAME]"},
	} {
		load := func() (*config.Config, error) { return config.Load(config.Sources{}) }
		cmd := domainCommand(load, func(_ context.Context, fn func(mailDomains) error) error { return fn(&c.told) })
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		var out, complaint bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&complaint)
		cmd.SetArgs(strings.Fields(c.args))
		err := cmd.ExecuteContext(t.Context())
		status := exitStatus(0)
		if err != nil {
			status = 1
			errors.As(err, &status)
			if !status.silent() {
				fmt.Fprint(&complaint, err)
			}
		}
		if status != c.status || c.told.asked != c.asked {
			t.Errorf("%s: status %d (%v), asked for %+v; want %d and %+v", name, status, err, c.told.asked, c.status, c.asked)
		}
		if got, want := strings.TrimSuffix(out.String(), "\n"), strings.Join(c.out, "\n"); got != want {
			t.Errorf("%s prints\n%s\nwant\n%s", name, got, want)
		}
		if !strings.Contains(complaint.String(), c.err) || c.err == "" && complaint.Len() > 0 {
			t.Errorf("%s complains %q, want %q", name, complaint.String(), c.err)
		}
	}
}
