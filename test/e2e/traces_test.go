package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestTraces shows a real collector the way of a message that goes through the queue, and of one that arrives: one trace each, under the id
// that the log has.
func TestTraces(t *testing.T) {
	t.Parallel()
	c := harness.NewCollector(t)
	c.Start()
	far := smtptest.Serve(t, nil, "S: 220 mx.far.example\nC: EHLO \nS: 250-mx.far.example\nS: 250 8BITMIME\nC: MAIL FROM:<ann@ours.example>\nS: 250 ok\nC: RCPT TO:<x@far.example>\nS: 250 ok\nC: DATA\nS: 354 go\nMESSAGE\nS: 250 ok\nC: QUIT\nS: 221\nEND")
	d := dnstest.New(t)
	d.Add("far.example. 60 IN MX 10 mx.far.example.", "mx.far.example. 60 IN A 127.0.0.1")
	s := harness.Start(t, harness.Options{Flags: append(outside(t, d, portOf(t, far.Addr)), "--traces", c.Base, "--hostname", "mail.ours.example")})
	company(t, s, "ours", "ours.example", "ann", "bob")
	if err := handIn(t, s, "ann@ours.example", "Subject: secret\r\n\r\nhello\r\n", "x@far.example", "bob@ours.example"); err != nil {
		t.Fatal(err)
	}
	if err := handOver(s.Addr("smtp"), "x@far.example", "bob@ours.example", "Subject: secret\r\n\r\nhello\r\n"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "it is sent", func() bool { return strings.Contains(s.Log(), "msg=sent ") })
	log := s.Log()
	s.Stop() // which sends what is left
	stored := regexp.MustCompile(`msg=stored .*?trace=(\S+)`).FindAllStringSubmatch(log, -1)
	if len(stored) != 2 {
		t.Fatalf("%d messages are stored", len(stored))
	}
	spans := func() map[string][]string {
		names := map[string][]string{}
		for _, m := range regexp.MustCompile(`Trace ID\s*: (\S+)\s+Parent ID\s*:[^\n]*\s+ID\s*:[^\n]*\s+Name\s*: (\S+)`).FindAllStringSubmatch(c.Printed(), -1) {
			names[m[1]] = append(names[m[1]], m[2])
		}
		for _, list := range names {
			slices.Sort(list)
		}
		return names
	}
	want := map[string]string{
		strings.ReplaceAll(stored[0][1], "-", ""): "attempt receive rules scan store", strings.ReplaceAll(stored[1][1], "-", ""): "authenticate receive rules scan spam store",
	}
	harness.Eventually(t, "the collector has both", func() bool {
		got := spans()
		for id, names := range want {
			if strings.Join(got[id], " ") != names {
				return false
			}
		}
		return true
	})
	for _, word := range []string{"secret", "ann@", "bob@", "x@"} {
		if strings.Contains(c.Printed(), word) {
			t.Errorf("the collector is told %q", word)
		}
	}
}
