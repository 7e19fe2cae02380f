package e2e

import (
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestPython runs the tests in test/python, which drive the API by boto3 and mail by Python's own smtplib and imaplib,
// against the binary on both engines.
func TestPython(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		t.Parallel()
		names := dnstest.New(t)
		names.Fail("dead.invalid.", dns.TypeMX, dns.RcodeServerFailure)
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--dns-resolver", names.Address}})
		r := harness.Run(t, harness.Command{
			Name: harness.Tool(t, "python"), Args: []string{"-m", "unittest", "discover", "-b"},
			Dir: filepath.Join(harness.Root(), "test", "python"),
			Env: append(s.Exports(), "PYTHONDONTWRITEBYTECODE=1", "PENNYPOST="+harness.Binary(t), "PENNYPOST_DIR="+s.Dir),
		})
		ran := regexp.MustCompile(`(?m)^Ran (\d+) tests`).FindStringSubmatch(r.Stderr)
		if r.Status != 0 || ran == nil {
			t.Fatalf("python -m unittest: %s", r)
		}
		if n, _ := strconv.Atoi(ran[1]); n < 20 || regexp.MustCompile(`skipped`).MatchString(r.Stderr) {
			t.Errorf("%d tests ran, or some were skipped: %s", n, r)
		}
	})
}

// TestPublishedExamples gives the AWS CLI the examples that it is published with (in a process of their own: the CLI brings another botocore).
func TestPublishedExamples(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	r := harness.Run(t, harness.Command{
		Name: harness.Tool(t, "python"), Args: []string{"-m", "unittest", "examples"}, Dir: filepath.Join(harness.Root(), "test", "python"),
		Env: append(s.Exports(), "PYTHONDONTWRITEBYTECODE=1"),
	})
	if r.Status != 0 || !regexp.MustCompile(`(?m)^Ran 1 test `).MatchString(r.Stderr) {
		t.Errorf("python -m unittest examples: %s", r)
	}
}
