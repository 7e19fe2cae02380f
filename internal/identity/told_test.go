package identity_test

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/audittest"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy"
)

// auditSink keeps what a log group is told.
type auditSink chan audit.LogRecord

// Send keeps the records.
func (s auditSink) Send(_ context.Context, records []audit.LogRecord) error {
	for _, r := range records {
		s <- r
	}
	return nil
}

// told sends what waits for the log group and returns n records as "stream json", without times.
func (h *house) told(n int) (lines []string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 30*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- h.audit.Run(ctx) }()
	at := regexp.MustCompile(`"event_timestamp":1767225600000,`)
	for len(lines) < n {
		select {
		case r := <-h.sink:
			if !at.Match(r.JSON) {
				h.t.Errorf("%s is not of the new year", r.JSON)
			}
			audittest.Record(h.t, r.Stream, r.JSON)
			lines = append(lines, string(r.Stream)+" "+at.ReplaceAllString(string(r.JSON), ""))
		case <-ctx.Done():
			h.t.Fatalf("told %q, want %d records", lines, n)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		h.t.Error(err)
	}
	if len(h.sink) > 0 || h.audit.Groups()[0].Waiting > 0 {
		h.t.Errorf("more than %d records were told", n)
	}
	return lines
}

// TestSignInsAreTold holds the records of AUTHENTICATION_LOGS and ACCESS_CONTROL_LOGS.
func TestSignInsAreTold(t *testing.T) {
	onBoth(t, identity.Limits{AccountFailures: 2, AccountRefill: time.Hour}, func(h *house) {
		acme := h.organization("acme")
		ann := string(h.user(acme, "ann", "ann@acme.awsapps.com"))
		come := func(protocol, username, password string) {
			s, err := h.Authenticate(t.Context(), identity.Credentials{Username: username, Password: password}, identity.Circumstances{
				Protocol: protocol, Address: netip.MustParseAddr("192.0.2.7"), RequestID: "r1", UserAgent: "x",
			})
			if err == nil {
				s.Close()
			}
		}
		h.rule(acme, "no-smtp", false, policy.AccessConditions{Actions: []string{"SMTP"}})
		come("IMAP", "Ann@acme.awsapps.com", password)
		come("SMTP", "ann@acme.awsapps.com", password)
		come("WebMail", "ann@acme.awsapps.com", password)
		come("IMAP", "nobody", password) // in no organisation: nobody is told
		come("IMAP", "ann@acme.awsapps.com", "wrong Pa$$w0rd")
		come("IMAP", "ann@acme.awsapps.com", "wrong Pa$$w0rd")
		for range 3 {
			come("IMAP", "ann@acme.awsapps.com", "wrong Pa$$w0rd")
		}
		h.tally()
		h.tally() // nothing more
		asked := `"request_id":"r1","user":"ann@acme.awsapps.com","user_id":"` + ann + `"`
		from := `,"source_ip":"192.0.2.7","user_agent":"x"`
		rules := `ACCESS_CONTROL_LOGS {"request_id":"r1","user_id":"` + ann + `"`
		want := []string{
			`AUTHENTICATION_LOGS {` + strings.Replace(asked, "ann@", "Ann@", 1) + `,"protocol":"IMAP"` + from + `,"method":"basic","auth_successful":true}`,
			rules + `,"protocol":"IMAP"` + from + `,"scope":"AccessControl","rule_id":"default","access_granted":true}`,
			`AUTHENTICATION_LOGS {` + asked + `,"protocol":"SMTP"` + from + `,"method":"basic","auth_successful":true}`,
			rules + `,"protocol":"SMTP"` + from + `,"scope":"AccessControl","rule_id":"no-smtp","access_granted":false}`,
			rules + `,"protocol":"WebMail"` + from + `,"scope":"AccessControl","rule_id":"default","access_granted":true}`,
			`AUTHENTICATION_LOGS {` + asked + `,"protocol":"IMAP"` + from + `,"method":"basic","auth_successful":false,"auth_failed_reason":"wrong password"}`,
			`AUTHENTICATION_LOGS {` + asked + `,"protocol":"IMAP"` + from + `,"method":"basic","auth_successful":false,"auth_failed_reason":"wrong password"}`,
			`AUTHENTICATION_LOGS {` + asked + `,"protocol":"IMAP"` + from + `,"method":"basic","auth_successful":false,"auth_failed_reason":"too many failures for the account","attempts":3}`,
		}
		if got := h.told(len(want)); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestTokensAreTold holds the records of WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS, and that a sign-in by a token names it.
func TestTokensAreTold(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		ann := string(h.user(acme, "ann", "ann@acme.awsapps.com"))
		h.provider(acme, func(v *identity.Provider) { v.LifetimeDays = 1 })
		how := fromWeb
		how.RequestID, how.UserAgent = "r1", "Firefox"
		web, err := h.AdmitIdentity(t.Context(), acme.ID, who(annsIdentity, "ann"), how)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(web.Close)
		one, text := h.token(web, "IMAP", "SMTP")
		h.provider(acme, func(v *identity.Provider) { v.LifetimeDays = 0 })
		forever, _ := h.token(web, "IMAP")
		h.admits("ann@acme.awsapps.com", text)
		if _, err := h.Authenticate(t.Context(), identity.Credentials{Username: "ann@acme.awsapps.com", Password: text}, identity.Circumstances{Protocol: "EWS"}); err == nil {
			t.Error("the token opened what it is not for")
		}
		if err := h.center.DeleteOwnToken(t.Context(), web.Principal, one.ID); err != nil {
			t.Fatal(err)
		}
		by := admin
		by.Protocol, by.RequestID = "API", "r2"
		for range 2 { // once nothing is deleted
			if err := h.center.DeleteToken(t.Context(), by, acme.ID, forever.ID); err != nil {
				t.Fatal(err)
			}
		}
		const at, from = `,"source_ip":"192.0.2.7"`, `,"user_agent":"Firefox"`
		tokens := func(request, rest string) string {
			return `WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS {"request_id":"` + request + `","user_id":"` + ann + `",` + rest
		}
		first := `,"personal_access_token_id":"` + one.ID + `","name":"phone","expires_time":1767312000000,"scopes":["IMAP","SMTP"]}`
		second := `,"personal_access_token_id":"` + forever.ID + `","name":"phone","scopes":["IMAP"]}`
		signIn := `AUTHENTICATION_LOGS {"user":%s,"user_id":"` + ann + `","protocol":%s,"method":"basic","auth_successful":%s,"personal_access_token_id":"` + one.ID + `"}`
		want := []string{
			`ACCESS_CONTROL_LOGS {"request_id":"r1","user_id":"` + ann + `","protocol":"WebMail"` + at + from + `,"scope":"AccessControl","rule_id":"default","access_granted":true}`,
			tokens("r1", `"user":"ann","protocol":"webapp"`+at+from+`,"action":"create"`+first),
			tokens("r1", `"user":"ann","protocol":"webapp"`+at+from+`,"action":"create"`+second),
			fmt.Sprintf(signIn, `"ann@acme.awsapps.com"`, `"IMAP"`+at, `true`),
			`ACCESS_CONTROL_LOGS {"user_id":"` + ann + `","protocol":"IMAP"` + at + `,"scope":"AccessControl","rule_id":"default","access_granted":true}`,
			fmt.Sprintf(signIn, `"ann@acme.awsapps.com"`, `"EWS"`, `false,"auth_failed_reason":"the personal access token is not for EWS: `+one.ID+`"`),
			tokens("r1", `"user":"ann","protocol":"webapp"`+at+from+`,"action":"delete"`+first),
			tokens("r2", `"protocol":"API","action":"delete"`+second),
		}
		if got := h.told(len(want)); !slices.Equal(got, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestFailedSignInsAreAggregated has a phone try an old password, by two protocols, and somebody guess from elsewhere.
func TestFailedSignInsAreAggregated(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		before := len(h.trail(acme))
		try := func(protocol, address string, times int) {
			for range times {
				_, err := h.Authenticate(t.Context(), identity.Credentials{Username: "ann", Password: "old Pa$$w0rd"}, identity.Circumstances{
					Protocol: protocol, Address: netip.MustParseAddr(address),
				})
				if err == nil {
					t.Fatal("an old password is good")
				}
			}
		}
		want := func(details ...string) {
			t.Helper()
			var got []string
			for _, r := range h.trail(acme)[before:] {
				got = append(got, r.Actor.Protocol+" "+r.Actor.Address.String()+" "+r.Detail)
			}
			if before += len(got); !slices.Equal(got, details) {
				t.Errorf("recorded %q, want %q", got, details)
			}
		}
		try("IMAP", "192.0.2.7", 9)
		try("SMTP", "192.0.2.7", 3)
		try("IMAP", "198.51.100.1", 1)
		want("IMAP 192.0.2.7 wrong password", "SMTP 192.0.2.7 wrong password", "IMAP 198.51.100.1 wrong password")
		h.tally()
		want("IMAP 192.0.2.7 wrong password: 8 more in a minute", "SMTP 192.0.2.7 wrong password: 2 more in a minute")
		try("IMAP", "192.0.2.7", 2)
		want("IMAP 192.0.2.7 wrong password")
		h.tally()
		want("IMAP 192.0.2.7 wrong password: 1 more in a minute")
		attempts := 0
		for _, line := range h.told(7) {
			if !strings.Contains(line, `"auth_successful":false,"auth_failed_reason":"wrong password"`) {
				t.Errorf("told %s", line)
			}
			n := 1
			if _, text, found := strings.Cut(line, `"attempts":`); found {
				if _, err := fmt.Sscanf(text, "%d}", &n); err != nil {
					t.Error(err)
				}
			}
			attempts += n
		}
		if attempts != 15 {
			t.Errorf("the log group is told of %d failures, want 15", attempts)
		}
	})
}

// A record costs a durable write, which shows in the time of the answer: one who guesses must not see by it that a password is right
// with which the user may not come in.
func TestRecordsDoNotTellThatAPasswordIsRight(t *testing.T) {
	onBoth(t, identity.Limits{}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "dis", "")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.rule(acme, "no-imap", false, policy.AccessConditions{Actions: []string{"IMAP"}})
		recorded := func(name, secret string) int {
			before := len(h.trail(acme))
			h.refuses(name, secret)
			return len(h.trail(acme)) - before
		}
		for _, name := range []string{`acme\dis`, "ann", `acme\nobody`} {
			first := recorded(name, "wrong Pa$$w0rd")
			if wrong, right := recorded(name, "wrong Pa$$w0rd"), recorded(name, password); first != 1 || wrong != 0 || right != 0 {
				t.Errorf("%s: %d records of the first wrong password, %d of the next, %d of the right one; want 1, 0, 0", name, first, wrong, right)
			}
		}
		h.tally()
		var told []string
		for _, r := range h.trail(acme) {
			told = append(told, r.Detail)
		}
		for _, want := range []string{"not enabled: 1 in a minute", "denied by access rule no-imap: 1 in a minute"} {
			if !slices.Contains(told, want) {
				t.Errorf("a right password is not told as %q", want)
			}
		}
	})
}

// TestBlockedSignInsAreCounted holds that one record tells of many, also of many names from one address.
func TestBlockedSignInsAreCounted(t *testing.T) {
	onBoth(t, identity.Limits{AddressFailures: 1, AddressRefill: time.Hour}, func(h *house) {
		acme := h.organization("acme")
		h.user(acme, "ann", "ann@acme.awsapps.com")
		h.user(acme, "bob", "bob@acme.awsapps.com")
		h.refuses("nobody", password)
		before := len(h.trail(acme))
		for range 5 {
			h.refuses("ann", password)
			h.refuses("bob", password)
			h.refuses("somebody", password)
		}
		if now := len(h.trail(acme)); now != before {
			t.Errorf("%d records were written at once", now-before)
		}
		h.tally()
		var got []string
		for _, r := range h.trail(acme)[before:] {
			got = append(got, r.Organization+"|"+r.Subject+"|"+r.Outcome+"|"+r.Detail+"|"+r.Actor.Address.String())
		}
		slices.Sort(got)
		want := []string{
			string(acme.ID) + "||unauthenticated|too many failures from the address: 10 in a minute|" + fromHome.Address.String(),
			"||unauthenticated|too many failures from the address: 5 in a minute|" + fromHome.Address.String(),
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("recorded %q, want %q", got, want)
		}
	})
}
