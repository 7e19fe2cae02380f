package awsapi_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

var writeCompatibility = flag.Bool("write-compatibility", false, "write docs/compatibility.md instead of comparing it")

// standing is what is shown of a built operation beyond the scenario that all SDKs play.
type standing struct {
	// effect is what changes for somebody who is not the caller of the API; empty where the operation only tells.
	effect string
	// tests show the effect, or what is decided and waits, as file#name. Each names the operation or the core's verb.
	tests []string
	// waits is what is decided here and has no face to show it yet.
	waits string
}

const (
	mailTest   = "test/python/test_mail.py#"
	accessTest = "test/python/test_access.py#"
	// activeSync is the face that a decision on devices waits for.
	activeSync = "decided by the core and waiting for a face: ActiveSync"
	mobileTest = "internal/policy/mobile_test.go#"
	// ews is the face that what tokens may waits for.
	ews           = "decided by the core and waiting for a face: EWS"
	roleTest      = "internal/identity/impersonation_test.go#"
	lifeTest      = "internal/organization/life_test.go#"
	signInTest    = "test/e2e/signin_test.go#"
	centerTest    = "internal/identity/center_test.go#"
	retentionTest = "internal/organization/retention_test.go#"
	exportTest    = "test/e2e/export_test.go#"
	flowTest      = "test/e2e/messageflow_test.go#TestMessageFlow"
	resourceTest  = "internal/directory/resource_test.go#"
	// theSDKs call every operation and compare every member of what it tells.
	theSDKs = "test/sdk/sdk_test.go#TestSDKs"
	// theStory carries out every operation on both engines.
	theStory = "internal/awsapi/story_test.go#TestEveryOperation"
)

// tells is of the operations without anything else to say of them.
var tells = standing{effect: "tells what others stored", tests: []string{theSDKs}}

// verbs are the names that the core has for operations, where they are others.
var verbs = map[string]string{
	"AssociateDelegateToResource": "AddDelegate", "DisassociateDelegateFromResource": "RemoveDelegate", "GetImpersonationRoleEffect": "RoleEffect",
	"DeleteAvailabilityConfiguration": "Delete(",
}

// standings are in the order of the list of operations; every built operation has one.
var standings = map[string]standing{
	"CreateOrganization":   {effect: "its test domain takes mail; with a DirectoryId the users of an LDAP server or Active Directory appear and sign in", tests: []string{mailTest + "test_a_message_arrives", "test/e2e/external_directory_test.go#TestExternalDirectory"}},
	"DeleteOrganization":   {effect: "mailboxes are gone, sessions end", tests: []string{mailTest + "test_delete_organization"}},
	"DescribeOrganization": {},
	"ListOrganizations":    {},

	"CreateUser":         {effect: "after RegisterToWorkMail the password opens SMTP and IMAP", tests: []string{mailTest + "test_a_message_arrives"}, waits: "HiddenFromGlobalAddressList: an address book (web, EWS, ActiveSync)"},
	"DeleteUser":         {effect: "sign-in ends; whoever gets the name next starts with an empty mailbox; memberships, delegates and permissions end", tests: []string{mailTest + "test_delete_user", lifeTest + "TestDeleteCascade"}},
	"DescribeUser":       {},
	"ListUsers":          {},
	"UpdateUser":         {tests: []string{"internal/directory/user_test.go#TestUpdateUser"}, waits: "an address book (web, EWS, ActiveSync)"},
	"ResetPassword":      {effect: "open sessions end, the new password works", tests: []string{mailTest + "test_reset_password"}},
	"GetMailboxDetails":  {effect: "the size of real mail; a notice at nine tenths of the quota", tests: []string{mailTest + "test_quota"}},
	"UpdateMailboxQuota": {effect: "mail beyond it is refused with 552, and taken when it is raised", tests: []string{mailTest + "test_quota", mailTest + "test_update_mailbox_quota"}},

	"RegisterToWorkMail":     {effect: "a mailbox that takes and gives mail; the same one again within thirty days", tests: []string{mailTest + "test_deregister_and_return"}},
	"DeregisterFromWorkMail": {effect: "sessions end, mail is refused", tests: []string{mailTest + "test_deregister", mailTest + "test_deregister_and_return"}},

	"CreateGroup":                 {effect: "after RegisterToWorkMail mail reaches its members", tests: []string{mailTest + "test_recipients"}},
	"DeleteGroup":                 {effect: "its mail is refused", tests: []string{mailTest + "test_delete_group"}},
	"DescribeGroup":               {},
	"ListGroups":                  {},
	"UpdateGroup":                 {tests: []string{"internal/directory/group_test.go#TestGroups"}, waits: "an address book (web, EWS, ActiveSync)"},
	"AssociateMemberToGroup":      {effect: "mail reaches the member, through nested groups, once", tests: []string{mailTest + "test_recipients"}},
	"DisassociateMemberFromGroup": {effect: "mail to the group reaches the member no more", tests: []string{mailTest + "test_disassociate_member_from_group"}},
	"ListGroupMembers":            {},
	"ListGroupsForEntity":         {},

	"CreateResource":                   {effect: "after RegisterToWorkMail its mailbox takes mail", tests: []string{"internal/transport/recipient_test.go#TestResourcesTakeMail"}, waits: "booking: the calendar"},
	"DeleteResource":                   {effect: "its mail is refused", tests: []string{mailTest + "test_delete_resource"}},
	"DescribeResource":                 {},
	"ListResources":                    {},
	"UpdateResource":                   {tests: []string{resourceTest + "TestResources"}, waits: "booking options: the calendar"},
	"AssociateDelegateToResource":      {tests: []string{resourceTest + "TestDelegates"}, waits: "booking requests to delegates: the calendar"},
	"DisassociateDelegateFromResource": {tests: []string{resourceTest + "TestDelegates"}, waits: "the calendar"},
	"ListResourceDelegates":            {},

	"CreateAlias":               {effect: "mail to the alias arrives", tests: []string{mailTest + "test_recipients"}},
	"DeleteAlias":               {effect: "mail to it is refused", tests: []string{mailTest + "test_delete_alias"}},
	"ListAliases":               {},
	"UpdatePrimaryEmailAddress": {effect: "mail to the new and the old address arrives", tests: []string{mailTest + "test_update_primary_email_address"}},
	"DescribeEntity":            {},

	"RegisterMailDomain":      {effect: "proven by DNS, then it receives mail; unproven it does not", tests: []string{"test/e2e/domain_test.go#TestDomainIsProvenByDNS"}},
	"DeregisterMailDomain":    {effect: "the domain is unknown", tests: []string{theSDKs}},
	"GetMailDomain":           {effect: "the records that it hands out prove the domain and the keys of its mail", tests: []string{"test/e2e/domain_test.go#TestDomainIsProvenByDNS"}},
	"ListMailDomains":         {},
	"UpdateDefaultMailDomain": {effect: "GetMailDomain tells the new default", tests: []string{theStory}},

	"PutMailboxPermissions":    {effect: "SEND_AS and SEND_ON_BEHALF at submission", tests: []string{mailTest + "test_send_as_and_on_behalf"}, waits: "FULL_ACCESS: shared mailboxes over IMAP and EWS"},
	"DeleteMailboxPermissions": {effect: "sending as the owner is refused", tests: []string{mailTest + "test_delete_mailbox_permissions"}},
	"ListMailboxPermissions":   {},

	"PutAccessControlRule":             {effect: "a sign-in that it forbids is refused, an open session ends within a second", tests: []string{accessTest + "test_put_access_control_rule"}, waits: "the other protocols' sign-ins"},
	"DeleteAccessControlRule":          {effect: "without any rule nobody signs in", tests: []string{accessTest + "test_delete_access_control_rule"}},
	"ListAccessControlRules":           {},
	"GetAccessControlEffect":           {effect: "says what the sign-in then does", tests: []string{accessTest + "test_get_access_control_effect"}},
	"CreateMobileDeviceAccessRule":     {effect: "GetMobileDeviceAccessEffect decides by it", tests: []string{mobileTest + "TestMobileRules"}, waits: activeSync},
	"UpdateMobileDeviceAccessRule":     {effect: "GetMobileDeviceAccessEffect decides by it", tests: []string{mobileTest + "TestMobileRules"}, waits: activeSync},
	"DeleteMobileDeviceAccessRule":     {effect: "without any rule every device is blocked", tests: []string{mobileTest + "TestMobileRules"}, waits: activeSync},
	"ListMobileDeviceAccessRules":      {},
	"GetMobileDeviceAccessEffect":      {effect: "it is the decision", tests: []string{mobileTest + "TestDecideDevice"}, waits: activeSync},
	"PutMobileDeviceAccessOverride":    {effect: "the same decision, by the override", tests: []string{mobileTest + "TestMobileOverrides"}, waits: activeSync},
	"GetMobileDeviceAccessOverride":    {},
	"DeleteMobileDeviceAccessOverride": {effect: "the rules decide again", tests: []string{mobileTest + "TestMobileOverrides"}, waits: activeSync},
	"ListMobileDeviceAccessOverrides":  {},

	"PutEmailMonitoringConfiguration":      {effect: "the events of mail reach the log group", tests: []string{"internal/transport/events_test.go#TestEvents", "test/e2e/log_groups_test.go#TestLogGroups", "test/e2e/log_records_test.go#TestEveryStepOfMailIsTold"}},
	"DescribeEmailMonitoringConfiguration": {},
	"DeleteEmailMonitoringConfiguration":   {effect: "no events any more", tests: []string{"internal/transport/events_test.go#TestEvents"}},

	"PutInboundDmarcSettings":      {effect: "mail that fails the policy of its author's domain is refused, or is in Junk E-mail; or is delivered", tests: []string{"test/e2e/inbound_test.go#TestInboundAuthentication", "internal/transport/arrival_test.go#TestDMARCRefuses"}},
	"DescribeInboundDmarcSettings": {},

	"CreateImpersonationRole":               {effect: "its tokens act for whom its rules allow", tests: []string{roleTest + "TestWhatATokenMay"}, waits: ews},
	"UpdateImpersonationRole":               {effect: "its tokens may what it then may", tests: []string{roleTest + "TestWhatATokenMay"}, waits: ews},
	"DeleteImpersonationRole":               {effect: "its tokens end", tests: []string{roleTest + "TestWhatATokenMay"}, waits: ews},
	"GetImpersonationRole":                  {},
	"ListImpersonationRoles":                {},
	"GetImpersonationRoleEffect":            {tests: []string{"internal/policy/impersonation_test.go#TestImpersonationRoles"}, waits: ews},
	"AssumeImpersonationRole":               {effect: "the token is good for fifteen minutes, over a restart, on any server with the key", tests: []string{roleTest + "TestATokenLivesFifteenMinutesAndOverARestart"}, waits: ews},
	"CreateIdentityCenterApplication":       {effect: "an organisation can be let in by it", tests: []string{signInTest + "TestSignInByAnIdentityProvider"}},
	"DeleteIdentityCenterApplication":       {effect: "refused while an organisation uses it", tests: []string{theSDKs}},
	"PutIdentityProviderConfiguration":      {effect: "directory passwords are refused in IMAP and SMTP, their sessions end; users sign in by the provider", tests: []string{signInTest + "TestSignInByAnIdentityProvider", centerTest + "TestBothAuthenticationModes"}},
	"DescribeIdentityProviderConfiguration": {},
	"DeleteIdentityProviderConfiguration":   {effect: "passwords work again, tokens and their sessions end", tests: []string{signInTest + "TestSignInByAnIdentityProvider"}},
	"ListPersonalAccessTokens":              {},
	"GetPersonalAccessTokenMetadata":        {},
	"DeletePersonalAccessToken":             {effect: "its sessions end, IMAP and SMTP refuse it", tests: []string{signInTest + "TestSignInByAnIdentityProvider", centerTest + "TestTokensOpenWhatTheyAreFor"}},
	"PutRetentionPolicy": {
		effect: "mail that is older goes from mailboxes, in open IMAP sessions too", waits: "recovering what DELETE removed, which the core does (TestRecoverableItems): a web client",
		tests: []string{
			retentionTest + "TestRetentionPolicyRemovesMail", "internal/imap/retention_test.go#TestClientsSeeRetentionAsExpunges",
			"internal/mailbox/retention_test.go#TestRecoverableItems", "test/e2e/retention_test.go#TestRetentionRemovesMail",
		},
	},
	"DeleteRetentionPolicy":           {effect: "what is under way stops", tests: []string{retentionTest + "TestRetentionStopsWhenItsPolicyEnds"}},
	"GetDefaultRetentionPolicy":       {},
	"StartMailboxExportJob":           {effect: "a zip of all messages, flags, dates and folders is in the bucket", tests: []string{exportTest + "TestExportToABucket"}, waits: "calendar items: the calendar"},
	"CancelMailboxExportJob":          {effect: "the upload ends and nothing appears in the bucket", tests: []string{exportTest + "TestExportToABucket"}},
	"DescribeMailboxExportJob":        {},
	"ListMailboxExportJobs":           {},
	"CreateAvailabilityConfiguration": {effect: "the core asks the provider about its domain's mailboxes", tests: []string{"internal/availability/freebusy_test.go#TestFreeBusyAsksEveryProvider"}, waits: "free/busy is decided by the core and waiting for EWS"},
	"UpdateAvailabilityConfiguration": {effect: "the test asks the new provider", tests: []string{"test/e2e/availability_test.go#TestAvailabilityIsReallyTried"}, waits: "free/busy is decided by the core and waiting for EWS"},
	"DeleteAvailabilityConfiguration": {tests: []string{"internal/availability/configuration_test.go#TestConfigurationsAreKeptByDomain"}, waits: "free/busy is decided by the core and waiting for EWS"},
	"ListAvailabilityConfigurations":  {},
	"TestAvailabilityConfiguration": {
		effect: "the provider is asked, and what it answers decides", tests: []string{"test/e2e/availability_test.go#TestAvailabilityIsReallyTried"},
	},

	"TagResource":         {effect: "ListTagsForResource tells the tag", tests: []string{theSDKs}},
	"UntagResource":       {effect: "the tag is told no more", tests: []string{theSDKs}},
	"ListTagsForResource": {},

	"GetRawMessageContent": {effect: "tells what arrived or was put last, for a day", tests: []string{flowTest}},
	"PutRawMessageContent": {effect: "what is put is delivered or sent, when a synchronous function decides", tests: []string{flowTest}},
}

const compatibilityHead = `# Compatibility

Generated by ` + "`go test ./internal/awsapi -run TestCompatibility -write-compatibility`" + ` from what is wired and from the tests that exist; the same
test fails when this page says otherwise.

**Built**: the operation answers as the API describes, with every output member and every exception that can exist here. One
scenario (` + "`test/sdk`" + `) plays each of them against the real binary through boto3, the AWS CLI and the SDKs for Go, JavaScript and
Java; ` + "`internal/awsapi/story_*_test.go`" + ` plays them on both database engines; TestForeignIdsAreUnknown hands each the ids of another
organisation. **Effect** is what changes for somebody other than the caller, with the test that shows it. **Waits for** is
what is stored and decided here and has no face yet that could show it; where there is no effect beside it, the test is that of
what is decided.

| Operation | State | Effect shown | by | Waits for |
|---|---|---|---|---|
`

// TestCompatibility holds docs/compatibility.md to the code: no operation is called built that has no handler, no effect is
// claimed without a test that exists and knows the operation.
func TestCompatibility(t *testing.T) {
	root := filepath.Join("..", "..")
	built := map[string]bool{}
	for _, h := range (&awsapi.API{}).Handlers() {
		if h.Op.Service == contract.Pennypost { // docs/own-operations.md has them
			continue
		}
		built[h.Op.Name] = true
		if _, ok := standings[h.Op.Name]; !ok {
			t.Errorf("%s is built, and nothing is said of it", h.Op.Name)
		}
	}
	for name, s := range standings {
		if !built[name] {
			t.Errorf("%s is not built, and something is said of it", name)
		}
		if s.effect == "" && s.waits == "" {
			s = tells
			standings[name] = s
		}
		if len(s.tests) == 0 {
			t.Errorf("%s: what is said of it needs a test", name)
		}
		for _, test := range s.tests {
			checkEvidence(t, root, name, test)
		}
	}
	var page strings.Builder
	page.WriteString(compatibilityHead)
	for _, op := range theirs() {
		state, s := "not yet", standings[op.Name]
		if built[op.Name] {
			state = "built"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", op.Name, state, s.effect, links(s.tests), s.waits)
	}
	fmt.Fprintf(&page, "\n%d of %d operations are built.\n", len(built), len(theirs()))

	path := filepath.Join(root, "docs", "compatibility.md")
	if *writeCompatibility {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != page.String() {
		t.Errorf("docs/compatibility.md is not what the code says (%v): run this test with -write-compatibility", err)
	}
}

// TestOwnOperationsAreDescribed holds docs/own-operations.md to have a chapter on each of them.
func TestOwnOperationsAreDescribed(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "own-operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range contract.Operations() {
		if op.Service == contract.Pennypost && !strings.Contains(string(page), "\n### "+op.Name+"\n") {
			t.Errorf("%s has no chapter in docs/own-operations.md", op.Name)
		}
	}
}

// theirs are the operations of AWS's services, which the page is about.
func theirs() []*contract.Op {
	return slices.DeleteFunc(contract.Operations(), func(op *contract.Op) bool { return op.Service == contract.Pennypost })
}

func links(tests []string) string {
	var out []string
	for _, test := range tests {
		file, name, _ := strings.Cut(test, "#")
		out = append(out, fmt.Sprintf("[%s](../%s)", name, file))
	}
	return strings.Join(out, ", ")
}

// checkEvidence fails unless the test exists and its file names the operation, as Go, Python or the CLI writes it. The
// Python tests register users in their support module.
func checkEvidence(t *testing.T, root, operation, test string) {
	t.Helper()
	file, name, _ := strings.Cut(test, "#")
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Errorf("%s: %v", operation, err)
		return
	}
	// The steps of the one and the chapters of the other are in files beside.
	if pattern := map[string]string{theSDKs: "*.go", theStory: "story_*_test.go"}[test]; pattern != "" {
		files, err := filepath.Glob(filepath.Join(root, filepath.Dir(file), pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, beside := range files {
			more, err := os.ReadFile(beside)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, more...)
		}
	}
	if strings.HasSuffix(file, ".py") {
		support, err := os.ReadFile(filepath.Join(root, "test", "python", "support.py"))
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, support...)
	}
	if name == "" || !strings.Contains(string(text), "func "+name+"(") && !strings.Contains(string(text), "def "+name+"(") {
		t.Errorf("%s: there is no test %s in %s", operation, name, file)
	}
	// RegisterToWorkMail, register_to_work_mail; the core calls some verbs by the part before the noun.
	snake := strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(operation, "${1}_${2}"))
	verb := strings.TrimSuffix(strings.TrimSuffix(operation, "ToWorkMail"), "MailDomain")
	for _, spelling := range []string{operation, snake, verb, verbs[operation]} {
		if spelling != "" && strings.Contains(string(text), spelling) {
			return
		}
	}
	t.Errorf("%s: %s does not know the operation", operation, file)
}
