package e2e

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/audittest"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// logs are the log groups of a server: a file for each stream.
type logs struct {
	t   *testing.T
	dir string
}

func (l logs) config() (text string) {
	for _, stream := range append(audit.AuditStreams(), audit.EmailEvents) {
		text += fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = '%s/%s'\n", logGroup(string(stream)), l.dir, stream)
		if stream != audit.EmailEvents {
			text += fmt.Sprintf("audit_logs = [%q]\n", stream)
		}
	}
	return text
}

// lines are those that a stream has so far.
func (l logs) lines(stream audit.Stream) [][]byte {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, string(stream)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Fatal(err)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	return slices.DeleteFunc(bytes.Split(whole, []byte("\n")), func(line []byte) bool { return len(line) == 0 })
}

// file writes a file beside them.
func (l logs) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// ca is a file with the certificate of a server.
func (l logs) ca(s *httptest.Server) string {
	l.t.Helper()
	return l.file("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
}

// summary is an event of mail in short.
func summary(t *testing.T, event []byte) string {
	t.Helper()
	var e struct {
		EventName, Recipient, Folder, JournalingAddress, RuleType, Policy, DMARCPolicy string
		RuleActions                                                                    []struct{ Action string }
		BouncedRecipient                                                               struct{ EmailAddress string }
	}
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	about := []string{e.EventName, e.Recipient, e.Folder, e.JournalingAddress, e.RuleType, e.Policy, e.DMARCPolicy, e.BouncedRecipient.EmailAddress}
	for _, a := range e.RuleActions {
		about = append(about, a.Action)
	}
	return strings.Join(strings.Fields(strings.Join(about, " ")), " ")
}

// mail returns what is told of each message, by its subject, or by what the first of its events says where none has a subject. Each is held
// to what is documented, and noted in seen.
func (l logs) mail(org string, seen fields) map[string][]string {
	l.t.Helper()
	traces, subjects := map[string][]string{}, map[string]string{}
	for _, line := range l.lines(audit.EmailEvents) {
		var r struct {
			OrganizationARN string
			Event           json.RawMessage
			TraceID         string
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&r); err != nil || r.OrganizationARN != arnOf(org) || r.TraceID == "" {
			l.t.Errorf("no record of this organization, %v: %s", err, line)
		}
		event := seen.note(l.t, audittest.Event(l.t, r.Event), r.Event)
		if subject, ok := event["subject"].(string); ok {
			subjects[r.TraceID] = subject
		}
		traces[r.TraceID] = append(traces[r.TraceID], summary(l.t, r.Event))
	}
	told := map[string][]string{}
	for trace, events := range traces {
		slices.Sort(events)
		about := cmp.Or(subjects[trace], events[0])
		if told[about] != nil {
			l.t.Errorf("more than one trace of %s", about)
		}
		told[about] = events
	}
	return told
}

func arnOf(org string) string { return "arn:aws:workmail:us-east-1:000000000000:organization/" + org }

// fields are those that records had, by kind of record and name.
type fields map[string]map[string]bool

// note adds those of a record, which it returns.
func (f fields) note(t *testing.T, kind string, record []byte) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(record, &members); err != nil {
		t.Fatal(err)
	}
	if f[kind] == nil {
		f[kind] = map[string]bool{}
	}
	for name := range members {
		f[kind][name] = true
	}
	return members
}

// complete holds that each documented field came, but for those that can't yet.
func (f fields) complete(t *testing.T, kind string, documented audittest.Fields, notYet ...string) {
	t.Helper()
	for _, name := range strings.Fields(documented.Must + " " + documented.May) {
		if f[kind][name] == slices.Contains(notYet, name) {
			t.Errorf("%s of %s came: %v", name, kind, f[kind][name])
		}
	}
}

// correspondence is mail of and to the users of ours.example.
type correspondence struct {
	t *testing.T
	s *harness.Server
}

// comes has another server hand in a message, by a proxy.
func (c correspondence) comes(from, subject string, to ...string) error {
	c.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := dialer.Dial("tcp", c.s.Addr("smtp"))
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "PROXY TCP4 192.0.2.1 192.0.2.99 4000 25\r\n"); err != nil {
		c.t.Fatal(err)
	}
	client, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		c.t.Fatal(err)
	}
	return c.hand(client, from, from, subject, to)
}

// submits has ann send a message in the name of author.
func (c correspondence) submits(author, subject string, to ...string) error {
	c.t.Helper()
	client, err := smtp.Dial(c.s.Addr("submission"))
	if err != nil {
		c.t.Fatal(err)
	}
	const ann = "ann@ours.example"
	if err := errors.Join(client.StartTLS(c.s.TLS()), client.Auth(smtp.PlainAuth("", ann, password, "127.0.0.1"))); err != nil {
		c.t.Fatal(err)
	}
	return c.hand(client, ann, author, subject, to)
}

func (c correspondence) hand(client *smtp.Client, from, author, subject string, to []string) error {
	defer client.Close()
	if err := client.Mail(from); err != nil {
		return err
	}
	for _, address := range to {
		if err := client.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "From: %s\r\nTo: %s\r\nMessage-ID: <%s@records>\r\nSubject: %s\r\n\r\n.\r\n", author, strings.Join(to, ", "), subject, subject)
	return errors.Join(err, w.Close())
}

// TestEveryStepOfMailIsTold drives each step of mail and holds what a log group is told to what WorkMail documents of its events: that each
// event and each of its fields comes, in its form, as often as it should, and with one trace for all of a message.
func TestEveryStepOfMailIsTold(t *testing.T) {
	t.Parallel()
	postfix := harness.StartPostfix(t, "theirs.example", harness.FreeAddress(t), "bob", "archive")
	d := dnstest.New(t)
	d.Add("theirs.example. 60 IN MX 10 mx.theirs.example.", "mx.theirs.example. 60 IN A 127.0.0.1",
		`good.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`, `_dmarc.good.example. 60 IN TXT "v=DMARC1; p=reject"`)
	d.Add(`theirs.example. 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`) // or bob would have no reply
	for _, policy := range []string{"none", "quarantine", "reject"} {
		d.Add(policy+`.example. 60 IN TXT "v=spf1 -all"`, "_dmarc."+policy+`.example. 60 IN TXT "v=DMARC1; p=`+policy+`"`)
	}
	f := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"actions":[{"action":{"type":"MOVE_TO_JUNK"},"allRecipients":true}]}`)
	}))
	t.Cleanup(f.Close)
	l := logs{t, t.TempDir()}
	const function = "arn:aws:lambda:eu-west-1:111122223333:function:mail"
	config := l.file("config.toml", fmt.Sprintf("allowed_networks = ['127.0.0.1']\n[function.%q]\nurl = %q\nca_file = %q\n%s", function, f.URL, l.ca(f), l.config()))
	s := harness.Start(t, harness.Options{Flags: append(
		outside(t, d, portOf(t, postfix.SMTP)), "--hostname", "mail.ours.example", "--trusted-proxies", "127.0.0.2", "--config", config,
	)})
	org := company(t, s, "ours", "ours.example", "ann", "bob", "cyd", "full")
	leaveNoRoom(t, s, org)
	api := s.WorkMail()
	must(api.PutEmailMonitoringConfiguration(t.Context(), &workmail.PutEmailMonitoringConfigurationInput{
		OrganizationId: &org, LogGroupArn: aws.String(logGroup(string(audit.EmailEvents))),
	}))(t)
	must(api.PutMailboxPermissions(t.Context(), &workmail.PutMailboxPermissionsInput{
		OrganizationId: &org, EntityId: entity(t, s, org, "bob"), GranteeId: entity(t, s, org, "ann"),
		PermissionValues: []types.PermissionType{types.PermissionTypeSendOnBehalf},
	}))(t)
	rule := func(direction, name, action, from, to string, more map[string]any) {
		in := map[string]any{"OrganizationId": org, "Name": name, "Action": action, "SenderPatterns": []string{from}, "RecipientPatterns": []string{to}}
		maps.Copy(in, more)
		s.Own("Create"+direction+"MailFlowRule", in)
	}
	rule("Inbound", "junk", "MOVE_TO_JUNK", "junk.example", "*", nil)
	rule("Inbound", "bounce", "BOUNCE", "bounce.example", "cyd@ours.example", nil)
	rule("Inbound", "ask", "RUN_LAMBDA", "ask.example", "*", map[string]any{"Lambda": map[string]any{
		"LambdaArn": function, "InvocationType": "SYNCHRONOUS", "FallbackAction": "DROP", "TimeoutMinutes": 0,
	}})
	rule("Outbound", "blocked", "BOUNCE", "*", "blocked.example", nil)
	s.Own("SetJournalingRules", map[string]any{"OrganizationId": org, "Enabled": true, "JournalingAddress": "archive@theirs.example", "ReportAddress": "bob@ours.example"})
	s.Own("PutAutomaticReply", map[string]any{"OrganizationId": org, "EntityId": "cyd", "State": "ENABLED", "ExternalReply": "away"})
	script(t, s, "ann@ours.example", `require ["fileinto", "mailbox", "copy"];
if header :is "subject" "file" { fileinto :create "Work"; stop; }
if header :is "subject" "on" { redirect :copy "bob@theirs.example"; }
`)

	c := correspondence{t, s}
	const journaled = "JOURNALING_INITIATED archive@theirs.example"
	want := map[string][]string{"last": {"MAILBOX_EMAIL_DELIVERED bob@ours.example INBOX", "ORGANIZATION_EMAIL_RECEIVED"}} // whose address for reports is not journaled
	for _, m := range []struct{ subject, from, to, refusal, told string }{
		{"plain", "x@good.example", "ann", "", "ORGANIZATION_EMAIL_RECEIVED|MAILBOX_EMAIL_DELIVERED ann@ours.example INBOX"},
		{"fails", "x@none.example", "ann", "", "ORGANIZATION_EMAIL_RECEIVED NONE|MAILBOX_EMAIL_DELIVERED ann@ours.example INBOX"},
		{
			"quarantined", "x@quarantine.example", "ann", "",
			"ORGANIZATION_EMAIL_RECEIVED QUARANTINE|DMARC_POLICY_APPLIED QUARANTINE|MAILBOX_EMAIL_DELIVERED ann@ours.example Junk E-mail",
		},
		{"", "x@reject.example", "ann", "550 5.7.1", "DMARC_POLICY_APPLIED REJECT"},
		{"", "x@good.example", "full", "552 5.2.2", "INCOMING_EMAIL_BOUNCED full@ours.example"},
		{"junk", "x@junk.example", "ann", "", "ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED INBOUND_RULE MOVE_TO_JUNK|MAILBOX_EMAIL_DELIVERED ann@ours.example Junk E-mail"},
		{
			"bounce", "x@bounce.example", "ann cyd", "",
			"ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED INBOUND_RULE BOUNCE|INCOMING_EMAIL_BOUNCED cyd@ours.example|MAILBOX_EMAIL_DELIVERED ann@ours.example INBOX",
		},
		{
			"ask", "x@ask.example", "ann", "",
			"ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED INBOUND_RULE RUN_LAMBDA|RULE_APPLIED INBOUND_RULE MOVE_TO_JUNK|MAILBOX_EMAIL_DELIVERED ann@ours.example Junk E-mail",
		},
		{"file", "x@good.example", "ann", "", "ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED MAILBOX_RULE MOVE|MAILBOX_EMAIL_DELIVERED ann@ours.example Work"},
		{
			"on", "x@good.example", "ann", "",
			"ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED MAILBOX_RULE REDIRECT|MAILBOX_EMAIL_DELIVERED ann@ours.example INBOX|OUTGOING_EMAIL_SENT bob@theirs.example",
		},
		{
			"answered", "bob@theirs.example", "cyd", "",
			"ORGANIZATION_EMAIL_RECEIVED|RULE_APPLIED MAILBOX_RULE REPLY|MAILBOX_EMAIL_DELIVERED cyd@ours.example INBOX|OUTGOING_EMAIL_SENT bob@theirs.example",
		},
		{
			"sent", "", "cyd@ours.example bob@theirs.example nobody@theirs.example x@blocked.example", "",
			"OUTGOING_EMAIL_SUBMITTED|RULE_APPLIED OUTBOUND_RULE BOUNCE|OUTGOING_EMAIL_BOUNCED x@blocked.example|OUTGOING_EMAIL_SENT cyd@ours.example|" +
				"ORGANIZATION_EMAIL_RECEIVED|MAILBOX_EMAIL_DELIVERED cyd@ours.example INBOX|OUTGOING_EMAIL_SENT bob@theirs.example|OUTGOING_EMAIL_BOUNCED nobody@theirs.example",
		},
	} {
		var err error
		if m.from == "" { // on behalf of bob
			err = c.submits("bob@ours.example", m.subject, strings.Fields(m.to)...)
		} else {
			err = c.comes(m.from, m.subject, strings.Fields(strings.ReplaceAll(m.to+" ", " ", "@ours.example "))...)
		}
		if m.refusal == "" && err != nil || m.refusal != "" && (err == nil || !strings.HasPrefix(err.Error(), m.refusal[:3])) {
			t.Errorf("%s from %s: %v", m.subject, m.from, err)
		}
		told := strings.Split(m.told, "|")
		if m.subject != "" {
			told = append(told, journaled)
		}
		slices.Sort(told)
		want[cmp.Or(m.subject, told[0])] = told
	}
	harness.Eventually(t, "nothing waits", func() bool { return s.Verb("queue", "list", "--json").Stdout == "" })
	if err := c.comes("x@good.example", "last", "bob@ours.example"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the last message is told", func() bool { // behind all others
		return slices.ContainsFunc(l.lines(audit.EmailEvents), func(line []byte) bool { // no other is delivered to bob
			return bytes.Contains(line, []byte("MAILBOX_EMAIL_DELIVERED")) && bytes.Contains(line, []byte("bob@ours.example"))
		})
	})
	seen := fields{}
	got := l.mail(org, seen)
	for about := range maps.Keys(got) {
		if !slices.Equal(got[about], want[about]) {
			t.Errorf("%q is told as\n%s\nwant\n%s", about, strings.Join(got[about], "\n"), strings.Join(want[about], "\n"))
		}
	}
	for about := range want {
		if got[about] == nil {
			t.Errorf("nothing is told of %q", about)
		}
	}
	for name, documented := range audittest.Events() {
		seen.complete(t, name, documented)
	}
}

// TestEveryAccessIsTold signs in, reads, changes, sends, makes tokens and asks for free/busy in each way that there is, and holds what log groups
// are told to what WorkMail documents of its audit logs: that each field and each action comes which can come without the protocols that are not
// built yet, and in its form.
func TestEveryAccessIsTold(t *testing.T) {
	t.Parallel()
	provider, p, l := harness.StartOpenID(t), newPartner(t), logs{t, t.TempDir()}
	config, ca := provider.Config(instance), l.ca(p.Server)
	const good, bad = "arn:aws:lambda:eu-west-1:111122223333:function:good", "arn:aws:lambda:eu-west-1:111122223333:function:bad"
	harness.Append(t, config, fmt.Sprintf("[function.%q]\nurl = '%s/function'\nca_file = %q\nsecret_file = %q\n", good, p.URL, ca, l.file("secret", "shared secret\n"))+
		fmt.Sprintf("[function.%q]\nurl = '%s/function'\nca_file = %q\n", bad, p.URL, ca)+l.config())
	s := harness.Start(t, harness.Options{Env: []string{"SSL_CERT_FILE=" + ca}, Flags: []string{"--config", config}})
	provider.Register(s, map[string]map[string]any{annsIdentity: {"preferred_username": "ann"}})
	org, api := office(t, s, "told", "ann", "cyd"), s.WorkMail()
	const ann, cyd = "ann@told.awsapps.com", "cyd@told.awsapps.com"

	conn, err := tls.Dial("tcp", s.Addr("imaps"), s.TLS())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "a ID (\"name\" \"Phone\")\r\nb LOGIN %s %s\r\nc SELECT INBOX\r\nd LOGOUT\r\n", ann, password) // what comes of it tells
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Error(err)
	}
	_ = conn.Close()
	c := s.IMAP(ann, password)
	c.Append("INBOX", "Subject: one\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nhello\r\n--m\r\nContent-Type: text/csv; name=a.csv\r\n\r\na,b\r\n--m--\r\n")
	for _, command := range []string{
		`LIST "" *`, "STATUS INBOX (MESSAGES)", "CREATE Work", "SELECT INBOX", "FETCH 1 (ENVELOPE)", "FETCH 1 BODY[]", "FETCH 1 BODY[2]",
		`STORE 1 +FLAGS (\Flagged)`, "COPY 1 Work", "MOVE 1 Work", "SELECT Work", `STORE 1 +FLAGS (\Deleted)`, "EXPUNGE", "RENAME Work Play", "DELETE Play",
	} {
		c.Do(command)
	}
	c.Close()
	script(t, s, ann, "keep;")
	s.SignIn(ann, "wrong")
	if err := handIn(t, s, ann, "Subject: sent\r\n\r\n.\r\n", cyd); err != nil {
		t.Error(err)
	}
	if err := handIn(t, s, ann, "Sender: "+cyd+"\r\nSubject: denied\r\n\r\n.\r\n", cyd); err == nil {
		t.Error("ann sends as cyd")
	}
	must(api.PutAccessControlRule(t.Context(), &workmail.PutAccessControlRuleInput{
		OrganizationId: &org, Name: aws.String("no-smtp"), Effect: types.AccessControlRuleEffectDeny, Description: aws.String("."), Actions: []string{"SMTP"},
		UserIds: []string{*entity(t, s, org, "cyd")},
	}))(t)
	if err := handIn(t, s, cyd, "Subject: kept out\r\n\r\n.\r\n", ann); err == nil {
		t.Error("cyd comes in")
	}
	must(api.DeleteAccessControlRule(t.Context(), &workmail.DeleteAccessControlRuleInput{OrganizationId: &org, Name: aws.String("default")}))(t)
	s.SignIn(ann, password) // no rule lets her in
	must(api.PutAccessControlRule(t.Context(), &workmail.PutAccessControlRuleInput{
		OrganizationId: &org, Name: aws.String("all"), Effect: types.AccessControlRuleEffectAllow, Description: aws.String("."),
	}))(t)

	must(api.CreateAvailabilityConfiguration(t.Context(), &workmail.CreateAvailabilityConfigurationInput{
		OrganizationId: &org, DomainName: aws.String("far.example"), LambdaProvider: &types.LambdaAvailabilityProvider{LambdaArn: aws.String(good)},
	}))(t)
	for _, in := range []workmail.TestAvailabilityConfigurationInput{
		{DomainName: aws.String("far.example")},
		{LambdaProvider: &types.LambdaAvailabilityProvider{LambdaArn: aws.String(bad)}},
		{EwsProvider: &types.EwsAvailabilityProvider{EwsEndpoint: aws.String(p.URL + "/EWS/Exchange.asmx"), EwsUsername: aws.String("svc"), EwsPassword: aws.String("wrong")}},
	} {
		in.OrganizationId = &org
		must(api.TestAvailabilityConfiguration(t.Context(), &in))(t)
	}

	identityProvider(t, s, org)
	b := harness.NewBrowser(t, s.TLS())
	b.Go("https://" + s.Addr("https") + "/sign-in/to/told")
	b.Follow("Sign in with")
	b.Submit("", url.Values{"login": {annsIdentity}, "password": {"anything"}})
	b.Submit("Continue", nil)
	token := func() string {
		b.Submit("Make the token", url.Values{"name": {"phone"}})
		return regexp.MustCompile(`ppat_[A-Za-z0-9_-]{56}`).FindString(b.Page)
	}
	if said := s.SignIn(ann, token()); !strings.HasPrefix(said, "OK") {
		t.Errorf("IMAP with the token: %s", said)
	}
	b.Go("/sign-in/tokens")
	b.Submit("Delete", nil)
	must(api.DeletePersonalAccessToken(t.Context(), &workmail.DeletePersonalAccessTokenInput{
		OrganizationId: &org, PersonalAccessTokenId: aws.String(token()[len("ppat_"):][:13]),
	}))(t)

	for stream, last := range map[audit.Stream]string{
		audit.AccessControlLogs: `"protocol":"IMAP","source_ip":"127.0.0.1","scope":"AccessControl","rule_id":"all"`, audit.AuthenticationLogs: "personal_access_token_id",
		audit.MailboxAccessLogs: `"action_allowed":false`, audit.AvailabilityLogs: `"type":"EWS"`, audit.PersonalAccessTokens: `"protocol":"API"`,
	} {
		harness.Eventually(t, string(stream)+" has all", func() bool {
			return slices.ContainsFunc(l.lines(stream), func(line []byte) bool { return bytes.Contains(line, []byte(last)) })
		})
	}
	seen, actions := fields{}, map[string]bool{}
	for _, stream := range audit.AuditStreams() {
		for _, line := range l.lines(stream) {
			audittest.Record(t, stream, line)
			record := seen.note(t, string(stream), line)
			if record["organization_arn"] != arnOf(org) || record["request_id"] == nil || record["source_ip"] == nil {
				t.Errorf("%s has no organization of ours, no request or no address: %s", stream, line)
			}
			if action, ok := record["action"].(string); ok && stream == audit.MailboxAccessLogs {
				actions[action] = true
			}
		}
	}
	waits := map[audit.Stream][]string{ // for EWS
		audit.AccessControlLogs: {"impersonator_id"}, audit.MailboxAccessLogs: {"impersonator_id"}, audit.AvailabilityLogs: {"user_id", "impersonator_id"},
	}
	for stream, documented := range audittest.Logs() {
		seen.complete(t, string(stream), documented, waits[stream]...)
	}
	for action := range strings.FieldsSeq(audittest.Actions) {
		if actions[action] == slices.Contains([]string{"read_permissions", "update_permissions", "abort_sending_email"}, action) { // IMAP has none of these
			t.Errorf("the action %s came: %v", action, actions[action])
		}
	}
}
