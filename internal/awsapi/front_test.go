package awsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	victoria "github.com/VictoriaMetrics/metrics"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/contracttest"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/policy/iam"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	orgA    = "m-0123456789abcdef0123456789abcdef"
	orgAARN = "arn:aws:workmail:eu-test-1:111111111111:organization/" + orgA
)

// keyring is a set of access keys in memory.
type keyring map[string]identity.Credential

// Lookup finds a key.
func (k keyring) Lookup(_ context.Context, id string) (identity.Credential, error) {
	if id == "BROKEN" {
		return identity.Credential{}, errors.New("disk on fire")
	}
	if key, ok := k[id]; ok {
		return key, nil
	}
	return identity.Credential{}, fault.New(fault.NotFound, fault.Key, "there is no access key %q", id)
}

func keyOf(id, policy string) identity.Credential {
	return identity.Credential{AccessKey: identity.AccessKey{ID: id, Label: "ann b", Policy: policy}, Secret: "secret of " + id}
}

// bench is a front with its surroundings in a test's hand.
type bench struct {
	*Front
	clock   *clock.Fake
	log     *bytes.Buffer
	metrics *victoria.Set

	mu      sync.Mutex
	records []Record // guarded by mu
}

func newBench(t *testing.T, handlers ...contract.Handler) *bench {
	b := &bench{clock: clock.NewFake(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)), log: &bytes.Buffer{}, metrics: victoria.NewSet()}
	b.Front = New(Options{
		Keys: keyring{
			"FULL":   keyOf("FULL", iam.WorkMailFullAccess),
			"READ":   keyOf("READ", iam.WorkMailReadOnly),
			"ORG":    keyOf("ORG", `{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"`+orgAARN+`"}}`),
			"OTHER":  keyOf("OTHER", `{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"`+orgAARN+`0"}}`),
			"HERE":   keyOf("HERE", `{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"arn:aws:workmail:us-east-1:000000000000:organization/*"}}`),
			"MAKE":   keyOf("MAKE", `{"Statement":[{"Effect":"Allow","Action":"workmail:CreateOrganization","Resource":"*"},{"Effect":"Allow","Action":"workmail:*","Resource":"`+orgAARN+`0"}]}`),
			"NOT":    keyOf("NOT", `{"Statement":{"Effect":"Deny","Action":"workmail:*","Resource":"arn:aws:workmail:us-east-1:000000000000:organization/*"}}`),
			"DENY":   keyOf("DENY", `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"workmail:ListUsers","Resource":"*"}]}`),
			"INSIDE": keyOf("INSIDE", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}}`),
			"BAD":    keyOf("BAD", `{"Statement":{"Effect":"Allow","NotAction":"*"}}`),
		},
		Handlers: handlers,
		OrganizationARN: func(_ context.Context, id string) (string, error) {
			if id == orgA {
				return orgAARN, nil
			}
			return "", fault.New(fault.NotFound, fault.Organization, "no organisation %s", id)
		},
		Account: "000000000000", Region: "us-east-1", Clock: b.clock,
		Log:     slog.New(slog.NewTextHandler(b.log, nil)),
		Metrics: b.metrics,
		Audit: func(_ context.Context, r Record) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.records = append(b.records, r)
		},
		Timeout: 50 * time.Millisecond,
	})
	return b
}

// counted returns a counter by its name and labels, as they are written.
func (b *bench) counted(t *testing.T, name string) float64 {
	t.Helper()
	var page strings.Builder
	b.metrics.WritePrometheus(&page)
	for line := range strings.Lines(page.String()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("there is no %s in\n%s", name, page.String())
	return 0
}

// sign signs a request as the SDK does.
func (b *bench) sign(t testing.TB, r *http.Request, body, key, service string) {
	t.Helper()
	hash := sha256.Sum256([]byte(body))
	c := aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret of " + key}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(hash[:]), service, "us-east-1", b.clock.Now()); err != nil {
		t.Fatal(err)
	}
}

// call sends one operation and returns the answer and its body.
func (b *bench) call(t testing.TB, key, operation, body string, change ...func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", contract.WorkMail.TargetPrefix()+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.RemoteAddr = "198.51.100.7:4711"
	for _, c := range change {
		c(r)
	}
	b.sign(t, r, body, key, "workmail")
	return b.serve(t, r)
}

func (b *bench) serve(t testing.TB, r *http.Request) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

var uuid = regexp.MustCompile(`\A[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\z`)

func (b *bench) mustAnswer(t *testing.T, name string, answer *http.Response, body string, status int, code, says string) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%s: %v: %s", name, err, body)
	}
	if answer.StatusCode != status || got["__type"] != code || answer.Header.Get("X-Amzn-ErrorType") != code || !strings.Contains(got["message"]+got["Message"], says) {
		t.Errorf("%s: got %d %s, want %d %s with %q", name, answer.StatusCode, body, status, code, says)
	}
	if !uuid.MatchString(answer.Header.Get("x-amzn-RequestId")) {
		t.Errorf("%s: the request id is %q", name, answer.Header.Get("x-amzn-RequestId"))
	}
}

var listUsers = contract.ListUsers.Handle(func(_ context.Context, p principal.Principal, in *contract.ListUsersInput) (*contract.ListUsersOutput, error) {
	if in.OrganizationId != orgA {
		return nil, fault.New(fault.NotFound, fault.Organization, "There is no organisation %s.", in.OrganizationId)
	}
	return &contract.ListUsersOutput{Users: []contract.User{{Name: &p.ID, State: contract.EntityStateEnabled}}}, nil
})

func TestAnOperation(t *testing.T) {
	b := newBench(t, listUsers)
	answer, body := b.call(t, "FULL", "ListUsers", `{"OrganizationId":"`+orgA+`"}`)
	if answer.StatusCode != 200 || body != `{"Users":[{"Name":"FULL","State":"ENABLED"}]}` {
		t.Errorf("got %d %s", answer.StatusCode, body)
	}
	if h := answer.Header; h.Get("Content-Type") != "application/x-amz-json-1.1" || !uuid.MatchString(h.Get("x-amzn-RequestId")) || h.Get("X-Amzn-ErrorType") != "" {
		t.Errorf("the headers are %v", h)
	}
	answer, body = b.call(t, "FULL", "ListUsers", `{"OrganizationId":"m-ffffffffffffffffffffffffffffffff"}`)
	b.mustAnswer(t, "a fault", answer, body, 400, "OrganizationNotFoundException", "There is no organisation m-ffff")
	if !strings.Contains(body, `"Message"`) {
		t.Errorf("a modelled exception must have the member Message: %s", body)
	}
}

func TestRefusalsComeInOrder(t *testing.T) {
	b := newBench(t, listUsers,
		contract.UntagResource.Handle(func(context.Context, principal.Principal, *contract.UntagResourceInput) (*contract.UntagResourceOutput, error) {
			return &contract.UntagResourceOutput{}, nil
		}))
	valid := `{"OrganizationId":"` + orgA + `"}`
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		key, operation, body string
		change               func(*http.Request)
		status               int
		code, says           string
	}{
		"an unknown key":         {"NOBODY", "ListUsers", valid, nil, 400, "UnrecognizedClientException", "not known, or was revoked"},
		"a key store that fails": {"BROKEN", "ListUsers", valid, nil, 500, "InternalFailure", "The server failed"},
		"a large body":           {"FULL", "ListUsers", strings.Repeat(" ", MaxBody+1), nil, 400, "RequestEntityTooLargeException", "larger than 1048576 bytes"},
		"an unknown operation":   {"FULL", "Dance", valid, nil, 400, "UnknownOperationException", `"WorkMailService.Dance"`},
		"another case":           {"FULL", "listusers", valid, nil, 400, "UnknownOperationException", "listusers"},
		"no target":              {"FULL", "", valid, func(r *http.Request) { r.Header.Del("X-Amz-Target") }, 400, "UnknownOperationException", "X-Amz-Target"},
		"two targets":            {"FULL", "ListUsers", valid, func(r *http.Request) { r.Header.Add("X-Amz-Target", "WorkMailService.DeleteUser") }, 400, "UnknownOperationException", ""},
		"an unbuilt operation":   {"FULL", "ListGroups", valid, nil, 501, "NotImplementedException", "ListGroups"},
		"another content type":   {"FULL", "ListUsers", valid, set("Content-Type", "application/json"), 400, "SerializationException", `Content-Type must be application/x-amz-json-1.1, not "application/json"`},
		"no content type":        {"FULL", "ListUsers", valid, func(r *http.Request) { r.Header.Del("Content-Type") }, 400, "SerializationException", "Content-Type must be"},
		"bad JSON":               {"FULL", "ListUsers", `{"OrganizationId":`, nil, 400, "SerializationException", "expected a string, found the end of the body"},
		"a wrong type":           {"FULL", "ListUsers", `{"OrganizationId":7}`, nil, 400, "SerializationException", "expected a string, found a number at 'organizationId'"},
		"a member twice":         {"FULL", "ListUsers", `{"OrganizationId":"a","OrganizationId":"b"}`, nil, 400, "SerializationException", "given twice"},
		"broken constraints": {
			"FULL", "ListUsers", `{"OrganizationId":"abc","MaxResults":101}`, nil, 400, "InvalidParameterException",
			"3 validation errors detected: Value 'abc' at 'organizationId' failed to satisfy constraint: Member must have length greater than or equal to 34; " +
				"Value 'abc' at 'organizationId' failed to satisfy constraint: Member must satisfy regular expression pattern: ^m-[0-9a-f]{32}$; " +
				"Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100",
		},
		"constraints where InvalidParameter is not listed": {"FULL", "UntagResource", `{"TagKeys":[]}`, nil, 400, "ValidationException", "Value null at 'resourceARN'"},
		"a policy that does not allow":                     {"READ", "UntagResource", `{"ResourceARN":"` + orgAARN + `","TagKeys":["a"]}`, nil, 400, "AccessDeniedException", "User: arn:aws:iam::000000000000:user/ann-b is not authorized to perform: workmail:UntagResource on resource: " + orgAARN + " because no statement"},
		"a policy that denies":                             {"DENY", "ListUsers", valid, nil, 400, "AccessDeniedException", "workmail:ListUsers on resource: " + orgAARN + " because its policy denies it explicitly"},
		"another organisation":                             {"ORG", "ListUsers", `{"OrganizationId":"m-ffffffffffffffffffffffffffffffff"}`, nil, 400, "AccessDeniedException", "arn:aws:workmail:us-east-1:000000000000:organization/m-ffffffffffffffffffffffffffffffff"},
		"an organisation of others":                        {"OTHER", "ListUsers", valid, nil, 400, "AccessDeniedException", "arn:aws:workmail:us-east-1:000000000000:organization/" + orgA + " because no statement"},
		"of the account, whose it is not":                  {"HERE", "ListUsers", valid, nil, 400, "OrganizationNotFoundException", "organization " + orgA + " does not exist"},
		"making others":                                    {"MAKE", "ListUsers", valid, nil, 400, "AccessDeniedException", "arn:aws:workmail:us-east-1:000000000000:organization/" + orgA + " because no statement"},
		"denied in the account":                            {"NOT", "ListUsers", valid, nil, 400, "AccessDeniedException", "arn:aws:workmail:us-east-1:000000000000:organization/" + orgA + " because its policy denies it explicitly"},
		"another address":                                  {"INSIDE", "ListUsers", valid, nil, 400, "AccessDeniedException", "not authorized"},
		"a policy that can't be read":                      {"BAD", "ListUsers", valid, nil, 500, "InternalFailure", "The server failed"},
	} {
		change := c.change
		if change == nil {
			change = func(*http.Request) {}
		}
		answer, body := b.call(t, c.key, c.operation, c.body, change)
		b.mustAnswer(t, name, answer, body, c.status, c.code, c.says)
		if modelled := strings.Contains(body, `"Message"`); modelled != slices.Contains([]string{"InvalidParameterException", "OrganizationNotFoundException"}, c.code) {
			t.Errorf("%s: the frameworks' own exceptions have the member message: %s", name, body)
		}
	}
	for _, ok := range []struct {
		key    string
		change func(*http.Request)
	}{
		{"ORG", func(*http.Request) {}},
		{"READ", set("Content-Type", "application/x-amz-json-1.1; charset=utf-8")},
		{"INSIDE", func(r *http.Request) { r.RemoteAddr = "[::ffff:203.0.113.9]:1" }},
	} {
		if answer, body := b.call(t, ok.key, "ListUsers", valid, ok.change); answer.StatusCode != 200 {
			t.Errorf("%s: got %d %s", ok.key, answer.StatusCode, body)
		}
	}
}

func TestSignaturesAreForTheirService(t *testing.T) {
	b := newBench(t)
	r := httptest.NewRequest(http.MethodPost, "http://localhost/", strings.NewReader("{}"))
	r.Header.Set("X-Amz-Target", "WorkMailService.ListOrganizations")
	answer, body := b.serve(t, r)
	b.mustAnswer(t, "unsigned", answer, body, 400, "MissingAuthenticationTokenException", "not signed")
	b.sign(t, r, "{}", "FULL", "sts")
	answer, body = b.serve(t, r)
	b.mustAnswer(t, "signed for sts", answer, body, 400, "InvalidSignatureException", "service 'sts'")

	r = httptest.NewRequest(http.MethodGet, "http://localhost/messages/abc", nil)
	b.sign(t, r, "", "FULL", "workmailmessageflow")
	answer, body = b.serve(t, r)
	b.mustAnswer(t, "message flow", answer, body, 501, "NotImplementedException", "GetRawMessageContent")
	if answer.Header.Get("Content-Type") != "application/json" {
		t.Errorf("message flow answers in %s", answer.Header.Get("Content-Type"))
	}
	r = httptest.NewRequest(http.MethodPut, "http://localhost/messages/abc", nil)
	b.sign(t, r, "", "FULL", "workmailmessageflow")
	answer, body = b.serve(t, r)
	b.mustAnswer(t, "another method", answer, body, 404, "UnknownOperationException", "no operation at PUT /messages/abc")
	answer, body = b.serve(t, httptest.NewRequest(http.MethodGet, "http://localhost/favicon.ico", nil))
	b.mustAnswer(t, "nowhere", answer, body, 404, "UnknownOperationException", "/favicon.ico")
}

// TestUnbuiltOperationsAnswerNotImplemented asks for every operation of a front without handlers.
func TestUnbuiltOperationsAnswerNotImplemented(t *testing.T) {
	b := newBench(t)
	for _, op := range contract.Operations() {
		if op.Service == contract.MessageFlow {
			continue
		}
		valid, err := json.Marshal(contracttest.Sample(t, op.Input, false))
		if err != nil {
			t.Fatal(err)
		}
		answer, body := b.call(t, "FULL", op.Name, string(valid), func(r *http.Request) { r.Header.Set("X-Amz-Target", op.Target()) })
		b.mustAnswer(t, op.Name, answer, body, 501, "NotImplementedException", "operation "+op.Name+" is known")
	}
}

func TestUnknownMembersAreIgnoredCountedAndLoggedOnce(t *testing.T) {
	b := newBench(t, listUsers)
	for range 3 {
		if answer, body := b.call(t, "FULL", "ListUsers", `{"OrganizationId":"`+orgA+`","Shoe":1,"organizationId":2}`); answer.StatusCode != 200 {
			t.Fatalf("got %d %s", answer.StatusCode, body)
		}
	}
	if n := strings.Count(b.log.String(), "members that the API does not have"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, b.log)
	}
	if n := b.counted(t, `pennypost_api_unknown_members_total{operation="ListUsers"}`); n != 6 {
		t.Errorf("counted %v, want 6", n)
	}
}

func TestPanicsAndDeadlines(t *testing.T) {
	waiting := contract.DescribeUser.Handle(func(ctx context.Context, _ principal.Principal, in *contract.DescribeUserInput) (*contract.DescribeUserOutput, error) {
		if in.UserId == "panic" {
			panic("the secret of the handler")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	b := newBench(t, waiting)
	answer, body := b.call(t, "FULL", "DescribeUser", `{"OrganizationId":"`+orgA+`","UserId":"panic"}`)
	b.mustAnswer(t, "a panic", answer, body, 500, "InternalFailure", "The server failed")
	if strings.Contains(body, "secret of") || !strings.Contains(b.log.String(), "secret of the handler") || !strings.Contains(b.log.String(), answer.Header.Get("X-Amzn-RequestId")) {
		t.Errorf("a panic belongs into the log with the request's id, not into the answer: %s\n%s", body, b.log)
	}
	answer, body = b.call(t, "FULL", "DescribeUser", `{"OrganizationId":"`+orgA+`","UserId":"wait"}`)
	b.mustAnswer(t, "a deadline", answer, body, 503, "ServiceUnavailable", "longer than 50ms")
}

func TestEveryRequestIsLoggedAuditedAndCounted(t *testing.T) {
	created := contract.CreateUser.Handle(func(context.Context, principal.Principal, *contract.CreateUserInput) (*contract.CreateUserOutput, error) {
		return &contract.CreateUserOutput{UserId: aws.String("u")}, nil
	})
	b := newBench(t, created)
	b.call(t, "FULL", "CreateUser", `{"OrganizationId":"`+orgA+`","Name":"ann","DisplayName":"Ann Private","Password":"examplePa$$w0rd"}`)
	b.call(t, "READ", "CreateUser", `{"OrganizationId":"`+orgA+`","Name":"ann","DisplayName":"Ann Private","Password":"examplePa$$w0rd"}`)
	b.call(t, "NOBODY", "CreateUser", `{}`)
	log := b.log.String()
	for _, secret := range []string{"examplePa$$w0rd", "Ann Private", "secret of"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
	if n := strings.Count(log, "api request"); n != 3 {
		t.Errorf("%d lines in the log, want 3:\n%s", n, log)
	}
	if len(b.records) != 3 {
		t.Fatalf("%d audit records, want 3", len(b.records))
	}
	done, denied, unknown := b.records[0], b.records[1], b.records[2]
	if done.Operation != "CreateUser" || done.Organization != orgA || done.Resource != orgAARN || done.Actor.ID != "FULL" || done.Actor.Name != "ann b" ||
		done.Actor.Kind != principal.Administrator || done.Actor.Address.String() != "198.51.100.7" || done.Code != "" || done.Status != 200 {
		t.Errorf("the record of success is %+v", done)
	}
	if denied.Code != "AccessDeniedException" || denied.Actor.ID != "READ" || denied.Resource != orgAARN {
		t.Errorf("the record of a denial is %+v", denied)
	}
	if unknown.Code != "UnrecognizedClientException" || unknown.Actor.ID != "" || unknown.Claim != "NOBODY" {
		t.Errorf("the record of a stranger is %+v", unknown)
	}
	for code, want := range map[string]float64{"": 1, "AccessDeniedException": 1, "UnrecognizedClientException": 1} {
		if got := b.counted(t, fmt.Sprintf(`pennypost_api_requests_total{code=%q,operation="CreateUser"}`, code)); got != want {
			t.Errorf("%q was counted %v times, want %v", code, got, want)
		}
	}
}

// TestTheSDKReadsAnswersAndErrors drives the front with clients that nobody here wrote.
func TestTheSDKReadsAnswersAndErrors(t *testing.T) {
	b := newBench(t, listUsers)
	b.clock.Advance(time.Since(b.clock.Now())) // the SDK signs by the machine's clock
	server := httptest.NewServer(b)
	defer server.Close()
	client := func(key string) *workmail.Client {
		return workmail.New(workmail.Options{
			Region: "ap-unheard-7", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
			Credentials: credentials.NewStaticCredentialsProvider(key, "secret of "+key, ""),
		})
	}
	out, err := client("FULL").ListUsers(t.Context(), &workmail.ListUsersInput{OrganizationId: aws.String(orgA)})
	if err != nil || len(out.Users) != 1 || *out.Users[0].Name != "FULL" {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = client("FULL").ListUsers(t.Context(), &workmail.ListUsersInput{OrganizationId: aws.String("m-ffffffffffffffffffffffffffffffff")})
	var missing *types.OrganizationNotFoundException
	if !errors.As(err, &missing) || !strings.Contains(missing.ErrorMessage(), "There is no organisation") {
		t.Errorf("a modelled exception: %v", err)
	}
	for key, code := range map[string]string{"DENY": "AccessDeniedException", "NOBODY": "UnrecognizedClientException"} {
		_, err = client(key).ListUsers(t.Context(), &workmail.ListUsersInput{OrganizationId: aws.String(orgA)})
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != code || api.ErrorMessage() == "" {
			t.Errorf("%s: %v", key, err)
		}
	}
	who := sts.New(sts.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("DENY", "secret of DENY", ""),
	})
	me, err := who.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *me.Account != "000000000000" || *me.Arn != "arn:aws:iam::000000000000:user/ann-b" || *me.UserId != "DENY" {
		t.Errorf("GetCallerIdentity: %+v, %v", me, err)
	}
	_, err = who.GetSessionToken(t.Context(), &sts.GetSessionTokenInput{})
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "InvalidAction" || !strings.Contains(api.ErrorMessage(), "GetCallerIdentity") {
		t.Errorf("GetSessionToken: %v", err)
	}
}

func TestTwoHandlersForOneOperationAreABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two handlers were taken")
		}
	}()
	newBench(t, listUsers, listUsers)
}
