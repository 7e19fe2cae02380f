package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/test/harness"
)

func logGroup(name string) string {
	return "arn:aws:logs:us-east-1:000000000000:log-group:/mail/" + name + ":*"
}

// submit has ann of an organisation send bob a mail.
func submit(t *testing.T, s *harness.Server, alias, subject string) {
	t.Helper()
	c, err := smtp.Dial(s.Addr("submission"))
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := "ann@"+alias+".awsapps.com", "bob@"+alias+".awsapps.com"
	for _, step := range []func() error{
		func() error { return c.StartTLS(s.TLS()) },
		func() error { return c.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1")) },
		func() error { return c.Mail(ann) },
		func() error { return c.Rcpt(bob) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(w, "From: %s\r\nSubject: %s\r\n\r\nx\r\n", ann, subject) // Close tells
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c.Quit()
}

// TestLogGroups sends and reads mail while one log group is a file that is rotated, one a full disk and one an address that
// the operator has not allowed.
func TestLogGroups(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		var reached atomic.Bool
		inner := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
		t.Cleanup(inner.Close)
		dir := t.TempDir()
		file, config := filepath.Join(dir, "mail.jsonl"), filepath.Join(dir, "pennypost.toml")
		const all = `audit_logs = ["AUTHENTICATION_LOGS", "ACCESS_CONTROL_LOGS", "WORKMAIL_MAILBOX_ACCESS_LOGS"]`
		text := fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\n%s\n", logGroup("file"), file, all) +
			fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = \"/dev/full\"\n%s\n", logGroup("full"), all) +
			fmt.Sprintf("[log_group.%q]\nkind = \"https\"\nurl = %q\n%s\n", logGroup("inner"), inner.URL, all)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--config", config}})
		org := office(t, s, "logs", "ann", "bob")
		if _, err := s.WorkMail().PutEmailMonitoringConfiguration(t.Context(), &workmail.PutEmailMonitoringConfigurationInput{
			OrganizationId: &org, LogGroupArn: aws.String(logGroup("file")),
		}); err != nil {
			t.Fatal(err)
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
		submit(t, s, "logs", "first")
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
		submit(t, s, "logs", "second")
		told(`"subject":"second"`)
		harness.Eventually(t, "something is said of the log groups that can't be reached", func() bool {
			return strings.Contains(s.Log(), "log records could not be sent")
		})
		if reached.Load() {
			t.Error("an address that is not allowed was reached")
		}
	})
}

// slowSink is an HTTPS endpoint that holds each request until it is released, and then answers with its status.
type slowSink struct {
	*httptest.Server
	ca       string // file of its certificate
	status   atomic.Int64
	release  chan struct{}
	mu       sync.Mutex
	held     int
	accepted []string // lines
}

func newSlowSink(t *testing.T, status int) *slowSink {
	s := &slowSink{release: make(chan struct{}), ca: filepath.Join(t.TempDir(), "ca.pem")}
	s.status.Store(int64(status))
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		s.mu.Lock()
		s.held++
		s.mu.Unlock()
		select {
		case <-s.release:
		case <-r.Context().Done():
			return
		}
		status := int(s.status.Load())
		if s.mu.Lock(); err == nil && status == http.StatusOK {
			s.accepted = append(s.accepted, strings.Split(strings.TrimSpace(string(body)), "\n")...)
		}
		s.mu.Unlock()
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	pem := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.ca, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// lines are those that it took, and how many requests came.
func (s *slowSink) lines() (lines []string, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.accepted), s.held
}

// TestLogGroupsThatBreak sends and reads mail while a real OpenTelemetry collector is down, one endpoint hangs and one answers 500.
// Once they are well each gets all that was told, and nothing is lost.
func TestLogGroupsThatBreak(t *testing.T) {
	collector := harness.NewCollector(t)
	hangs, fails := newSlowSink(t, http.StatusOK), newSlowSink(t, http.StatusInternalServerError)
	close(fails.release)
	const all = `audit_logs = ["AUTHENTICATION_LOGS", "WORKMAIL_MAILBOX_ACCESS_LOGS"]`
	text := fmt.Sprintf("allowed_networks = ['127.0.0.1']\n[log_group.%q]\nkind = \"otlp\"\nurl = %q\n%s\n", logGroup("otlp"), collector.URL, all)
	for name, s := range map[string]*slowSink{"hangs": hangs, "fails": fails} {
		text += fmt.Sprintf("[log_group.%q]\nkind = \"https\"\nurl = %q\nca_file = %q\n%s\n", logGroup(name), s.URL, s.ca, all)
	}
	config := filepath.Join(t.TempDir(), "pennypost.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	monitor := harness.FreeAddress(t)
	s := harness.Start(t, harness.Options{Flags: []string{"--config", config, "--metrics", monitor}})
	org := office(t, s, "broken", "ann", "bob")
	if _, err := s.WorkMail().PutEmailMonitoringConfiguration(t.Context(), &workmail.PutEmailMonitoringConfigurationInput{
		OrganizationId: &org, LogGroupArn: aws.String(logGroup("otlp")),
	}); err != nil {
		t.Fatal(err)
	}
	bob := s.IMAP("bob@broken.awsapps.com", password)
	bob.Do("SELECT INBOX")
	harness.Eventually(t, "one endpoint hangs and the other has failed", func() bool {
		_, held := hangs.lines()
		_, failed := fails.lines()
		return held > 0 && failed > 0
	})
	for i := range 5 {
		submit(t, s, "broken", fmt.Sprintf("Größe %d", i))
		bob.Do("NOOP")
		bob.Do(fmt.Sprintf("FETCH %d BODY[]", i+1))
	}
	if lines, _ := hangs.lines(); len(lines) > 0 || collector.Printed() != "" {
		t.Fatal("a broken log group took something")
	}
	metrics := func() string {
		t.Helper()
		response, err := http.Get("http://" + monitor + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	waiting := func(name, n string) string {
		return fmt.Sprintf("pennypost_log_group_waiting_bytes{log_group=%q} %s\n", logGroup(name), n)
	}
	for _, name := range []string{"otlp", "hangs", "fails"} {
		if strings.Contains(metrics(), waiting(name, "0")) {
			t.Errorf("/metrics doesn't tell that %s is behind", name)
		}
	}

	collector.Start()
	close(hangs.release)
	fails.status.Store(http.StatusOK)
	for name, sink := range map[string]*slowSink{"hangs": hangs, "fails": fails} {
		harness.Eventually(t, name+" has all five readings of messages", func() bool {
			lines, _ := sink.lines()
			reads := map[string]bool{} // one that was too late is sent again
			for _, line := range lines {
				if strings.Contains(line, `"protocol":"IMAP"`) && strings.Contains(line, `"action":"read"`) && strings.Contains(line, `"Message"`) {
					reads[line] = true
				}
			}
			return len(reads) == 5
		})
	}
	harness.Eventually(t, "nothing waits", func() bool {
		m := metrics()
		return strings.Contains(m, waiting("otlp", "0")) && strings.Contains(m, waiting("hangs", "0")) && strings.Contains(m, waiting("fails", "0"))
	})
	if lost := regexp.MustCompile(`(?m)^pennypost_log_group_lost_total.* [1-9]\d*$`).FindString(metrics()); lost != "" {
		t.Errorf("something was lost: %s", lost)
	}
	for _, want := range []string{
		"service.name: Str(pennypost)", `aws.log.group.arns: Slice(["` + logGroup("otlp") + `"])`, "SeverityNumber: Info(9)",
		"workmail.stream: Str(EMAIL_EVENTS)", "workmail.stream: Str(AUTHENTICATION_LOGS)", "workmail.organization.id: Str(" + org + ")",
		`"eventName":"MAILBOX_EMAIL_DELIVERED","recipient":"bob@broken.awsapps.com"`, `"subject":"Größe 0"`, `"subject":"Größe 4"`,
		`Body: Str({"organization_arn":"`,
	} {
		harness.Eventually(t, "the collector prints "+want, func() bool { return strings.Contains(collector.Printed(), want) })
	}
}
