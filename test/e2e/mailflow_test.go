package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestOrganizationGateway sends what an outbound rule is for through an organisation's own gateway, whose certificate must be from an authority
// that the system trusts, and whose address the operator must allow where it is in a private network.
func TestOrganizationGateway(t *testing.T) {
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob")
	host, _, err := net.SplitHostPort(postfix.SMTP)
	if err != nil {
		t.Fatal(err)
	}
	for networks, works := range map[string]bool{"127.0.0.0/8": true, "": false} {
		s := harness.Start(t, harness.Options{
			Env: []string{"SSL_CERT_FILE=" + postfix.CAFile}, Flags: []string{"--dns-resolver", dnstest.New(t).Address, "--outbound-networks", networks},
		})
		org := company(t, s, "ours", "ours.example", "ann")
		for _, args := range [][]string{
			{"create-smtp-gateway", "--name", "Relay", "--host", host, "--port", portOf(t, postfix.SMTP)},
			{
				"create-outbound-mail-flow-rule", "--name", "out", "--action", "ROUTE_TO_SMTP_GATEWAY", "--sender-patterns", "*",
				"--recipient-patterns", "*.theirs.example", "--smtp-gateway-name", "relay",
			},
		} {
			r := harness.Run(t, harness.Command{Name: harness.Tool(t, "aws"), Env: s.Exports(), Args: slices.Concat([]string{"pennypost", args[0], "--organization-id", org}, args[1:])})
			if r.Status != 0 {
				t.Fatal(r)
			}
		}
		before := len(postfix.Messages(t, "bob"))
		if err := handIn(t, s, "ann@ours.example", "Subject: by rule\r\n\r\n.\r\n", "bob@theirs.example"); err != nil {
			t.Fatal(err)
		}
		if works {
			harness.Eventually(t, "Postfix has the message", func() bool { return len(postfix.Messages(t, "bob")) == before+1 })
			continue
		}
		harness.Eventually(t, "ann has a notice", func() bool {
			return strings.Join(s.IMAP("ann@ours.example", password).Subjects("INBOX", "ALL"), ",") == "Not delivered: by rule"
		})
		if len(postfix.Messages(t, "bob")) != before {
			t.Error("the message went to an address that is not allowed")
		}
	}
}

// mailFunction is an HTTPS server that is called as a Lambda function.
type mailFunction struct {
	*httptest.Server
	mu     sync.Mutex
	answer string   // guarded by mu; empty fails
	calls  []string // guarded by mu: invocation and message ids, and recipients
}

func newMailFunction(t *testing.T) *mailFunction {
	f := &mailFunction{}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			MessageID, InvocationID, FlowDirection string
			Envelope                               struct{ Recipients []struct{ Address string } }
		}
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &event) != nil || len(event.Envelope.Recipients) == 0 {
			t.Errorf("the function was called with %s", text)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls = append(f.calls, event.FlowDirection+" "+event.InvocationID+" "+event.MessageID)
		if f.answer == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, f.answer)
	}))
	t.Cleanup(f.Close)
	return f
}

// says sets the answer, and returns the calls so far.
func (f *mailFunction) says(answer string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
	return f.calls
}

// TestRunLambda: a message whose function is down when the server is killed waits, and the function decides when it is back.
func TestRunLambda(t *testing.T) {
	f := newMailFunction(t)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:lambda:eu-west-1:111122223333:function:mail"
	config := filepath.Join(dir, "config.toml")
	text := fmt.Sprintf("allowed_networks = [\"127.0.0.1\"]\n[function.%q]\nurl = %q\nca_file = %q\n", arn, f.URL, ca)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Engines(t, func(t *testing.T, url string) {
		f.says("")
		s := harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--config", config}})
		org := office(t, s, "asks", "ann", "bob")
		r := harness.Run(t, harness.Command{Name: harness.Tool(t, "aws"), Env: s.Exports(), Args: []string{
			"pennypost", "create-inbound-mail-flow-rule", "--organization-id", org, "--name", "ask", "--action", "RUN_LAMBDA",
			"--sender-patterns", "far.example", "--recipient-patterns", "*",
			"--lambda", "LambdaArn=" + arn + ",InvocationType=SYNCHRONOUS,FallbackAction=DROP,TimeoutMinutes=240",
		}})
		if r.Status != 0 {
			t.Fatal(r)
		}
		before := len(f.says(""))
		r = harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: []string{
			"--server", s.Addr("smtp"), "--from", "x@far.example", "--to", "ann@asks.awsapps.com,bob@asks.awsapps.com", "--header", "Subject: decide", "--h-From", "x@far.example",
		}})
		if r.Status != 0 {
			t.Fatal(r)
		}
		harness.Eventually(t, "the function is asked", func() bool { return len(f.says("")) > before })
		s.Kill()
		s.Start()
		const ann, bob = "ann@asks.awsapps.com", "bob@asks.awsapps.com"
		if got := s.IMAP(ann, password).Subjects("INBOX", "ALL"); len(got) != 0 {
			t.Errorf("ann has %q before the function decided", got)
		}
		harness.Eventually(t, "what waits says why", func() bool {
			return strings.Contains(s.Verb("queue", "list").Stdout, "the function answered HTTP 503")
		})
		f.says(`{"actions":[{"action":{"type":"MOVE_TO_JUNK"},"recipients":["bob@asks.awsapps.com"]},{"action":{"type":"DEFAULT"},"allRecipients":true}]}`)
		if r := s.Verb("queue", "retry", "--all"); r.Status > 1 { // 1: it went by itself
			t.Fatal(r)
		}
		harness.Eventually(t, "it is delivered", func() bool { return len(s.IMAP(ann, password).Subjects("INBOX", "ALL")) == 1 })
		if got := s.IMAP(bob, password).Subjects("Junk E-mail", "ALL"); len(got) != 1 || got[0] != "decide" {
			t.Errorf("bob's Junk E-mail has %q", got)
		}
		calls := f.says("")[before:]
		for _, c := range calls {
			if c != calls[0] || !strings.HasPrefix(c, "INBOUND ") {
				t.Errorf("the calls were %q", calls)
				break
			}
		}
		s.Check()
	})
}
