package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/certificate"
	"github.com/pennypost/pennypost/internal/server"
)

// fewCertificates answers with what it has, and remembers what it was asked.
type fewCertificates struct {
	list  []certificate.Report
	asked server.CertificateRetry
	err   error
}

func (f *fewCertificates) Certificates(context.Context) ([]certificate.Report, error) {
	return f.list, f.err
}

func (f *fewCertificates) RetryCertificates(_ context.Context, r server.CertificateRetry) (int, error) {
	f.asked = r
	return 2, f.err
}

func TestCertificateVerbs(t *testing.T) {
	f := &fewCertificates{}
	run := func(args ...string) (string, error) {
		cmd := certificateCommand(func(_ context.Context, fn func(certificates) error) error { return fn(f) })
		var out bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	until := time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)
	good := certificate.Report{Name: "a.example", NotAfter: until, Standing: certificate.Wanted}
	away := certificate.Report{Name: "c.example", Attempts: 3, Standing: certificate.Elsewhere}
	f.list = []certificate.Report{good, away}
	if out, err := run("list"); err != nil || !strings.Contains(out, "a.example  wanted     2027-03-01T00:00:00Z") {
		t.Errorf("%s, %v", out, err)
	}
	f.list = []certificate.Report{good, {Name: "b.example", Standing: certificate.Wanted, Attempts: 3, Error: "no\x1b[2J"}}
	if out, err := run("list"); !errors.Is(err, statusFaulty) || !strings.Contains(out, "3         no\uFFFD[2J") {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := run("list", "--json"); !errors.Is(err, statusFaulty) || !strings.Contains(out, `{"name":"a.example",`) {
		t.Errorf("%s, %v", out, err)
	}
	for args, want := range map[string]server.CertificateRetry{"retry": {}, "retry a.example": {Name: "a.example"}, "renew a.example": {Name: "a.example", Replace: true}} {
		if out, err := run(strings.Fields(args)...); err != nil || out != "2 due now\n" || f.asked != want {
			t.Errorf("%s: %s, %v, asked %+v", args, out, err, f.asked)
		}
	}
	f.err = errors.New("no server")
	for _, verb := range []string{"list", "retry"} {
		if _, err := run(verb); !errors.Is(err, statusNoAnswer) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}
