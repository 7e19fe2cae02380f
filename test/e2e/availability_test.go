package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/ews/soap"
	"github.com/pennypost/pennypost/test/harness"
)

// partner is an HTTPS server with a certificate of its own that answers as an EWS server and as a function.
type partner struct {
	*httptest.Server
	asked atomic.Int64
}

func newPartner(t *testing.T) *partner {
	p := &partner{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /EWS/Exchange.asmx", func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if name, password, _ := r.BasicAuth(); name != "svc" || password != "right-password" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		request, err := soap.DecodeAvailabilityRequest(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		var answer soap.AvailabilityResponse
		for range request.Mailboxes.Mailboxes {
			answer.Responses.Responses = append(answer.Responses.Responses, soap.FreeBusyResponse{
				Message: soap.ResponseMessage{Class: "Success", Code: soap.NoError}, View: &soap.FreeBusyView{Type: "FreeBusy"},
			})
		}
		text, err := answer.Encode()
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(text)
	})
	mux.HandleFunc("POST /function", func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		if r.Header.Get("Authorization") != "Bearer shared secret" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		var event struct{ Mailboxes []string }
		text, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(text, &event) != nil || len(event.Mailboxes) != 1 {
			t.Errorf("the function was called with %s", text)
			return
		}
		_, _ = fmt.Fprintf(w, `{"mailboxes":[{"mailbox":%q,"error":"MailboxNotFound"}]}`, event.Mailboxes[0])
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// TestAvailabilityIsReallyTried lets TestAvailabilityConfiguration ask a partner, by both providers: it passes where the partner
// answers, and tells why where it does not; without the operator's leave the partner, on this machine, is not asked at all.
func TestAvailabilityIsReallyTried(t *testing.T) {
	p := newPartner(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})))
	const arn = "arn:aws:lambda:eu-west-1:111122223333:function:"
	functions := fmt.Sprintf("[function.%q]\nurl = %q\nca_file = %q\nsecret_file = %q\n", arn+"good", p.URL+"/function", ca, file("secret", "shared secret\n"))
	functions += fmt.Sprintf("[function.%q]\nurl = %q\nca_file = %q\n", arn+"anonymous", p.URL+"/function", ca)
	functions += fmt.Sprintf("[function.%q]\nurl = %q\n", arn+"untrusted", strings.Replace(p.URL, "127.0.0.1", "localhost", 1)+"/function")

	ews := func(password string) *types.EwsAvailabilityProvider {
		return &types.EwsAvailabilityProvider{EwsEndpoint: aws.String(p.URL + "/EWS/Exchange.asmx"), EwsUsername: aws.String("svc"), EwsPassword: &password}
	}
	lambda := func(name string) *types.LambdaAvailabilityProvider {
		return &types.LambdaAvailabilityProvider{LambdaArn: aws.String(arn + name)}
	}
	for _, allowed := range []bool{true, false} {
		harness.Engines(t, func(t *testing.T, url string) {
			text := functions
			if allowed {
				text = "allowed_networks = [\"127.0.0.1\", \"::1\"]\n" + text
			}
			told := filepath.Join(t.TempDir(), "told.jsonl")
			text += fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\naudit_logs = [\"WORKMAIL_AVAILABILITY_PROVIDER_LOGS\"]\n", logGroup("told"), told)
			s := harness.Start(t, harness.Options{
				DatabaseURL: url, Env: []string{"SSL_CERT_FILE=" + ca}, Flags: []string{"--config", file(fmt.Sprint(allowed, ".toml"), text)},
			})
			org := office(t, s, fmt.Sprint("tried-", allowed))
			api := s.WorkMail()
			if _, err := api.CreateAvailabilityConfiguration(t.Context(), &workmail.CreateAvailabilityConfigurationInput{
				OrganizationId: &org, DomainName: aws.String("far.example"), EwsProvider: ews("wrong-password"),
			}); err != nil {
				t.Fatal(err)
			}
			before := p.asked.Load()
			if _, err := api.UpdateAvailabilityConfiguration(t.Context(), &workmail.UpdateAvailabilityConfigurationInput{
				OrganizationId: &org, DomainName: aws.String("far.example"), EwsProvider: ews("right-password"),
			}); err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct {
				in   workmail.TestAvailabilityConfigurationInput
				want string // of the reason; empty where it passes
			}{
				{workmail.TestAvailabilityConfigurationInput{DomainName: aws.String("far.example")}, ""},
				{workmail.TestAvailabilityConfigurationInput{EwsProvider: ews("wrong-password")}, "HTTP 401"},
				{workmail.TestAvailabilityConfigurationInput{LambdaProvider: lambda("good")}, ""},
				{workmail.TestAvailabilityConfigurationInput{LambdaProvider: lambda("anonymous")}, "HTTP 403"},
				{workmail.TestAvailabilityConfigurationInput{LambdaProvider: lambda("untrusted")}, "certificate"},
			} {
				c.in.OrganizationId = &org
				if !allowed {
					c.want = "is not an address on the public internet"
				}
				out, err := api.TestAvailabilityConfiguration(t.Context(), &c.in)
				if err != nil {
					t.Fatal(err)
				}
				if reason := aws.ToString(out.FailureReason); out.TestPassed != (c.want == "") || !strings.Contains(reason, c.want) || out.TestPassed && reason != "" {
					t.Errorf("allowed %t, %+v: passed %t, %q; want %q", allowed, c.in, out.TestPassed, reason, c.want)
				}
			}
			if asked := p.asked.Load() - before; asked > 0 != allowed {
				t.Errorf("allowed %t, and the partner was asked %d times", allowed, asked)
			}
			var lines string
			harness.Eventually(t, "all five trials are told", func() bool {
				text, err := os.ReadFile(told)
				lines = string(text)
				return err == nil && strings.Count(lines, "\n") == 5
			})
			successes := strings.Count(lines, `"availability_event_successful":true`)
			if want := map[bool]int{true: 2}[allowed]; successes != want || strings.Count(lines, `"organization_arn":"arn:aws:workmail:`) != 5 ||
				!strings.Contains(lines, `"type":"EWS","domain":"far.example","ews_endpoint":"`+p.URL) {
				t.Errorf("allowed %t, and the trials are told as\n%s", allowed, lines)
			}
			if strings.Contains(s.Log()+lines, "-password") {
				t.Errorf("a log tells a password:\n%s\n%s", s.Log(), lines)
			}
		})
	}
}
