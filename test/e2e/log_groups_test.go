package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/test/harness"
)

// TestLogGroups sends and reads mail while one log group is a file that is rotated, one a full disk and one an address that
// the operator has not allowed.
func TestLogGroups(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		var reached atomic.Bool
		inner := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
		t.Cleanup(inner.Close)
		const group = "arn:aws:logs:us-east-1:000000000000:log-group:/mail/%s:*"
		dir := t.TempDir()
		file, config := filepath.Join(dir, "mail.jsonl"), filepath.Join(dir, "pennypost.toml")
		const all = `audit_logs = ["AUTHENTICATION_LOGS", "ACCESS_CONTROL_LOGS", "WORKMAIL_MAILBOX_ACCESS_LOGS"]`
		text := fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\n%s\n", fmt.Sprintf(group, "file"), file, all) +
			fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = \"/dev/full\"\n%s\n", fmt.Sprintf(group, "full"), all) +
			fmt.Sprintf("[log_group.%q]\nkind = \"https\"\nurl = %q\n%s\n", fmt.Sprintf(group, "inner"), inner.URL, all)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--config", config}})
		org := office(t, s, "logs", "ann", "bob")
		if _, err := s.WorkMail().PutEmailMonitoringConfiguration(t.Context(), &workmail.PutEmailMonitoringConfigurationInput{
			OrganizationId: &org, LogGroupArn: aws.String(fmt.Sprintf(group, "file")),
		}); err != nil {
			t.Fatal(err)
		}
		send := func(subject string) {
			t.Helper()
			c, err := smtp.Dial(s.Addr("submission"))
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range []func() error{
				func() error { return c.StartTLS(s.TLS()) },
				func() error { return c.Auth(smtp.PlainAuth("", "ann@logs.awsapps.com", password, "127.0.0.1")) },
				func() error { return c.Mail("ann@logs.awsapps.com") },
				func() error { return c.Rcpt("bob@logs.awsapps.com") },
			} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			w, err := c.Data()
			if err != nil {
				t.Fatal(err)
			}
			_, _ = fmt.Fprintf(w, "From: ann@logs.awsapps.com\r\nSubject: %s\r\n\r\nx\r\n", subject) // Close tells
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			_ = c.Quit()
		}
		told := func(texts ...string) {
			t.Helper()
			harness.Eventually(t, fmt.Sprintf("the file has %q", texts), func() bool {
				lines, err := os.ReadFile(file)
				for _, text := range texts {
					if err != nil || !strings.Contains(string(lines), text) {
						return false
					}
				}
				return true
			})
		}
		arn := "arn:aws:workmail:us-east-1:000000000000:organization/" + org
		send("first")
		bob := s.IMAP("bob@logs.awsapps.com", password)
		bob.Do("SELECT INBOX")
		bob.Do("FETCH 1 BODY[]")
		told(
			`{"organizationArn":"`+arn+`","event":{"eventName":"OUTGOING_EMAIL_SUBMITTED"`, `"eventName":"OUTGOING_EMAIL_SENT"`,
			`"eventName":"ORGANIZATION_EMAIL_RECEIVED"`, `"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"bob@logs.awsapps.com"`,
			`{"organization_arn":"`+arn+`","event_timestamp":`, `"method":"basic","auth_successful":true`,
			`"rule_id":"default","access_granted":true`, `"action":"read","owner_id":`,
		)
		if err := os.Rename(file, file+".1"); err != nil {
			t.Fatal(err)
		}
		send("second")
		told(`"subject":"second"`)
		if !strings.Contains(s.Log(), "log records could not be sent") {
			t.Error("nothing is said of the log groups that can't be reached")
		}
		if reached.Load() {
			t.Error("an address that is not allowed was reached")
		}
	})
}
