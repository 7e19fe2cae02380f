package workmail

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/migration"
)

const org = "m-0123456789abcdef0123456789abcdef"

// source is an organisation that answers what a test wants.
type source struct {
	mu      sync.Mutex
	answers map[string]func(call int, input map[string]any) (status int, body string)
	calls   map[string]int
}

func newSource() *source {
	s := &source{calls: map[string]int{}}
	s.answers = map[string]func(int, map[string]any) (int, string){}
	for op, body := range map[string]string{
		"DescribeOrganization": `{"OrganizationId":"` + org + `","Alias":"acme","State":"Active","DirectoryId":"d-0123456789","DirectoryType":"VpcDirectory",
			"DefaultMailDomain":"acme.awsapps.com","ARN":"arn:aws:workmail:eu-west-1:111122223333:organization/` + org + `"}`,
		"ListTagsForResource": `{"Tags":[]}`, "ListMailDomains": `{"MailDomains":[]}`, "ListUsers": `{"Users":[]}`, "ListGroups": `{"Groups":[]}`,
		"ListResources": `{"Resources":[]}`, "ListAliases": `{"Aliases":[]}`, "ListMailboxPermissions": `{"Permissions":[]}`,
		"GetMailboxDetails": `{"MailboxQuota":50}`, "ListAccessControlRules": `{"Rules":[]}`, "ListMobileDeviceAccessRules": `{"Rules":[]}`,
		"ListMobileDeviceAccessOverrides": `{"Overrides":[]}`, "DescribeInboundDmarcSettings": `{"Enforced":true}`,
		"GetDefaultRetentionPolicy": `{}`, "ListImpersonationRoles": `{"Roles":[]}`, "ListAvailabilityConfigurations": `{"AvailabilityConfigurations":[]}`,
	} {
		s.answers[op] = func(int, map[string]any) (int, string) { return 200, body }
	}
	for _, op := range []string{"DescribeEmailMonitoringConfiguration", "DescribeIdentityProviderConfiguration"} {
		s.answers[op] = func(int, map[string]any) (int, string) { return failure("ResourceNotFoundException") }
	}
	return s
}

func failure(code string) (int, string) {
	return 400, fmt.Sprintf(`{"__type":%q,"Message":"because"}`, code)
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	op := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "WorkMailService.")
	text, _ := io.ReadAll(r.Body) // what is cut short is no JSON
	var input map[string]any
	_ = json.Unmarshal(text, &input)
	s.mu.Lock()
	answer, known := s.answers[op]
	call := s.calls[op]
	s.calls[op]++
	s.mu.Unlock()
	status, body := failure("UnknownOperationException")
	if known {
		status, body = answer(call, input)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func (s *source) read(t *testing.T) (migration.Inventory, error) {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	client, err := Connect(Settings{Endpoint: server.URL, Region: "eu-west-1", Profile: "test", Getenv: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	return Read(t.Context(), client, org, nil)
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

// files makes shared files of the AWS tools with the profile "test".
func files(t *testing.T) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(name, []byte("[test]\naws_access_key_id = AKIATEST\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", name)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
}

func kinds(inv migration.Inventory) (list []string) {
	for _, item := range inv.Items {
		list = append(list, item.String())
	}
	slices.Sort(list)
	return list
}

func has(t *testing.T, inv migration.Inventory, ref string, is bool) {
	t.Helper()
	if slices.Contains(kinds(inv), ref) != is {
		t.Errorf("%s is read: %v\n%v", ref, !is, kinds(inv))
	}
}

const ann = `{"UserId":"user-ann-0001","Name":"ann","State":"ENABLED","UserRole":"USER","Email":"ann@acme.awsapps.com"}`

// TestReadPagesUnderThrottling: lists are read to their end, and a call that is throttled or fails for a moment is repeated.
func TestReadPagesUnderThrottling(t *testing.T) {
	files(t)
	s := newSource()
	s.answers["ListUsers"] = func(call int, input map[string]any) (int, string) {
		switch {
		case call == 0:
			return failure("ThrottlingException")
		case input["NextToken"] == nil:
			return 200, `{"Users":[{"Id":"user-ann-0001"}],"NextToken":"more"}`
		}
		return 200, `{"Users":[{"Id":"user-bob-0001"}]}`
	}
	s.answers["DescribeUser"] = func(call int, input map[string]any) (int, string) {
		if call == 1 {
			return 503, `nonsense`
		}
		return 200, strings.ReplaceAll(ann, "user-ann-0001", fmt.Sprint(input["UserId"]))
	}
	s.answers["ListAliases"] = func(int, map[string]any) (int, string) {
		return 200, `{"Aliases":["ann@acme.awsapps.com","Boss@acme.awsapps.com"]}`
	}
	inv, err := s.read(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"user user-ann-0001", "user user-bob-0001", "registration user-bob-0001", "alias boss@acme.awsapps.com", "quota user-ann-0001", "dmarc", "default-domain"} {
		has(t, inv, ref, true)
	}
	has(t, inv, "alias ann@acme.awsapps.com", false)
}

// TestReadWhatChangesMeanwhile: a user who is disabled while it is read is read anew, one who is gone is not there, and one that
// can't be read ends the reading: left out, it would be taken for deleted.
func TestReadWhatChangesMeanwhile(t *testing.T) {
	files(t)
	s := newSource()
	s.answers["ListUsers"] = func(int, map[string]any) (int, string) {
		return 200, `{"Users":[{"Id":"user-ann-0001"},{"Id":"user-gone-001"}]}`
	}
	var disabled sync.Once
	state := "ENABLED"
	s.answers["DescribeUser"] = func(_ int, input map[string]any) (int, string) {
		if input["UserId"] == "user-gone-001" {
			return failure("EntityNotFoundException")
		}
		return 200, strings.Replace(ann, "ENABLED", state, 1)
	}
	s.answers["ListAliases"] = func(int, map[string]any) (int, string) {
		disabled.Do(func() { state = "DISABLED" })
		return failure("EntityStateException")
	}
	inv, err := s.read(t)
	if err != nil {
		t.Fatal(err)
	}
	has(t, inv, "user user-ann-0001", true)
	has(t, inv, "user user-gone-001", false)
	has(t, inv, "quota user-ann-0001", false)

	s = newSource()
	s.answers["ListUsers"] = func(int, map[string]any) (int, string) { return 200, `{"Users":[{"Id":"user-ann-0001"}]}` }
	s.answers["DescribeUser"] = func(int, map[string]any) (int, string) { return 200, ann }
	s.answers["ListAliases"] = func(int, map[string]any) (int, string) { return failure("EntityStateException") }
	if _, err := s.read(t); err == nil || !strings.Contains(err.Error(), "ListAliases") {
		t.Errorf("a user that can't be read: %v", err)
	}
}

// TestReadWhatIsHidden: lists that the source does not give for what is not enabled are told of in the report.
func TestReadWhatIsHidden(t *testing.T) {
	files(t)
	s := newSource()
	s.answers["ListGroups"] = func(int, map[string]any) (int, string) { return 200, `{"Groups":[{"Id":"group-000001"}]}` }
	s.answers["DescribeGroup"] = func(int, map[string]any) (int, string) {
		return 200, `{"GroupId":"group-000001","Name":"staff","State":"DISABLED"}`
	}
	s.answers["ListGroupMembers"] = func(int, map[string]any) (int, string) { return failure("EntityStateException") }
	inv, err := s.read(t)
	if err != nil {
		t.Fatal(err)
	}
	has(t, inv, "group group-000001", true)
	if untold := strings.Join(inv.Untold, "\n"); !strings.Contains(untold, "the members of group-000001, which is DISABLED") {
		t.Errorf("not told of:\n%s", untold)
	}
	if want := (migration.Ref{Kind: migration.KindMember, ID: "group-000001"}); !slices.Equal(inv.Hidden, []migration.Ref{want}) {
		t.Errorf("hidden: %v", inv.Hidden)
	}
}

// TestReadRefusals: each failure is one sentence that names the call.
func TestReadRefusals(t *testing.T) {
	files(t)
	for code, says := range map[string]string{
		"AccessDeniedException":         "may not call DescribeOrganization",
		"UnrecognizedClientException":   "does not accept the credentials",
		"OrganizationNotFoundException": "no such organization",
		"OrganizationStateException":    "can't be read",
		"InvalidParameterException":     "DescribeOrganization failed at the source: InvalidParameterException: because",
	} {
		s := newSource()
		s.answers["DescribeOrganization"] = func(int, map[string]any) (int, string) { return failure(code) }
		if inv, err := s.read(t); err == nil || !strings.Contains(err.Error(), says) || len(inv.Items) > 0 {
			t.Errorf("%s: %v", code, err)
		}
	}
	for state, answer := range map[string]string{
		"only an Active one": `{"OrganizationId":"` + org + `","State":"Deleting"}`,
		"no ARN":             `{"OrganizationId":"` + org + `","State":"Active","ARN":"nonsense"}`,
	} {
		s := newSource()
		s.answers["DescribeOrganization"] = func(int, map[string]any) (int, string) { return 200, answer }
		if _, err := s.read(t); err == nil || !strings.Contains(err.Error(), state) {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// TestConnect: what leads to no source is told before anything is asked.
func TestConnect(t *testing.T) {
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, env := range map[string]map[string]string{
		"region":               {},
		"holds no certificate": {"AWS_REGION": "eu-west-1", "AWS_CA_BUNDLE": bundle},
		"AWS_CA_BUNDLE":        {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_CA_BUNDLE": bundle + "x"},
	} {
		if _, err := Connect(Settings{Getenv: environment(env)}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", env, err)
		}
	}
	client, err := Connect(Settings{Getenv: environment(map[string]string{"AWS_REGION": "us-west-2", "AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_WORKMAIL": "http://b"})})
	if err != nil {
		t.Fatal(err)
	}
	if o := client.Options(); o.Region != "us-west-2" || *o.BaseEndpoint != "http://b" {
		t.Errorf("connected to %s in %s", *o.BaseEndpoint, o.Region)
	}
}

// TestCredentials: the environment, a profile, and nothing.
func TestCredentials(t *testing.T) {
	files(t)
	env := environment(map[string]string{"AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"})
	key := func(s Settings) (string, error) {
		s.Getenv = env
		c, err := provider(s).Retrieve(t.Context())
		return c.AccessKeyID, err
	}
	if id, err := key(Settings{Profile: "test"}); err != nil || id != "AKIATEST" {
		t.Errorf("a profile leads to %q, %v", id, err)
	}
	for _, profile := range []string{"", "none"} {
		if id, err := key(Settings{Profile: profile}); err == nil {
			t.Errorf("profile %q leads to %q", profile, id)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if id, err := key(Settings{}); err != nil || id != "AKIAENV" {
		t.Errorf("the environment leads to %q, %v", id, err)
	}
	if id, err := key(Settings{Profile: "test"}); err != nil || id != "AKIATEST" {
		t.Errorf("a profile beside the environment leads to %q, %v", id, err)
	}
}
