package iam

import (
	"net/netip"
	"strings"
	"testing"
)

const (
	orgA = "arn:aws:workmail:us-east-1:000000000000:organization/m-a"
	orgB = "arn:aws:workmail:us-east-1:000000000000:organization/m-b"
)

func TestDecide(t *testing.T) {
	both := `{"Statement":[{"Effect":"Allow","Action":"workmail:*","Resource":"*"},{"Effect":"Deny","Action":"workmail:Delete*","Resource":"` + orgA + `"}]}`
	oneOrg := `{"Version":"2012-10-17","Id":"x","Statement":{"Sid":"y","Effect":"Allow","Action":["WORKMAIL:describe*","workmail:ListUser?"],"Resource":["` + orgA + `"]}}`
	inside := `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","2001:db8::/32"]},"NotIpAddress":{"AWS:sourceip":"203.0.113.7"}}}}`
	for _, c := range []struct {
		document, action, resource, source string
		want                               Decision
	}{
		{both, "workmail:DeleteUser", orgB, "", Allowed},
		{both, "workmail:DeleteUser", orgA, "", DeniedExplicitly},
		{both, "workmail:DescribeUser", orgA, "", Allowed},
		{both, "sts:GetCallerIdentity", "*", "", DeniedByDefault},
		{oneOrg, "workmail:DescribeUser", orgA, "", Allowed},
		{oneOrg, "workmail:DescribeUser", orgA + "x", "", DeniedByDefault},
		{oneOrg, "workmail:DescribeUser", orgB, "", DeniedByDefault},
		{oneOrg, "workmail:ListUsers", orgA, "", Allowed},
		{oneOrg, "workmail:ListUser", orgA, "", DeniedByDefault},
		{oneOrg, "workmail:ListOrganizations", "*", "", DeniedByDefault},
		{inside, "workmail:ListUsers", orgA, "203.0.113.9", Allowed},
		{inside, "workmail:ListUsers", orgA, "::ffff:203.0.113.9", Allowed},
		{inside, "workmail:ListUsers", orgA, "2001:db8::1", Allowed},
		{inside, "workmail:ListUsers", orgA, "203.0.113.7", DeniedByDefault},
		{inside, "workmail:ListUsers", orgA, "198.51.100.1", DeniedByDefault},
		{inside, "workmail:ListUsers", orgA, "", DeniedByDefault},
		{`{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"arn:*:workmail:*:*:organization/*"}}`, "workmail:ListUsers", orgA, "", Allowed},
		{`{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"arn:aws:workmail:*:*:organization/m-?"}}`, "workmail:ListUsers", orgA, "", Allowed},
		{`{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"arn:aws:*:organization/m-a:x:y"}}`, "workmail:ListUsers", orgA, "", DeniedByDefault},
		{`{"Statement":{"Effect":"Allow","Action":"workmail:*","Resource":"arn:aws:workmail:*:*:organization/*"}}`, "workmail:ListOrganizations", "*", "", DeniedByDefault},
	} {
		p, err := Parse([]byte(c.document))
		if err != nil {
			t.Fatalf("%s: %v", c.document, err)
		}
		var source netip.Addr
		if c.source != "" {
			source = netip.MustParseAddr(c.source)
		}
		if got := p.Decide(Request{c.action, c.resource, source}); got != c.want {
			t.Errorf("%s\n%s on %s from %q: %d, want %d", c.document, c.action, c.resource, c.source, got, c.want)
		}
	}
	if (&Policy{}).Decide(Request{Action: "workmail:ListUsers", Resource: "*"}) != DeniedByDefault {
		t.Error("an empty policy must allow nothing")
	}
}

func TestManagedPolicies(t *testing.T) {
	for _, c := range []struct {
		name, action string
		want         Decision
	}{
		{AdministratorAccess, "workmailmessageflow:GetRawMessageContent", Allowed},
		{WorkMailFullAccess, "workmail:CreateUser", Allowed},
		{WorkMailFullAccess, "workmailmessageflow:GetRawMessageContent", DeniedByDefault},
		{MessageFlowFull, "workmailmessageflow:PutRawMessageContent", Allowed},
		{MessageFlowReadOnly, "workmailmessageflow:GetRawMessageContent", Allowed},
		{MessageFlowReadOnly, "workmailmessageflow:PutRawMessageContent", DeniedByDefault},
		{WorkMailFullAccess, "pennypost:DropQueuedMessages", Allowed},
		{WorkMailReadOnly, "pennypost:ListQueuedMessages", Allowed},
		{WorkMailReadOnly, "pennypost:GetMessageTrace", Allowed},
		{WorkMailReadOnly, "pennypost:HoldQueuedMessages", DeniedByDefault},
		{WorkMailReadOnly, "workmail:DescribeUser", Allowed},
		{WorkMailReadOnly, "workmail:ListUsers", Allowed},
		{WorkMailReadOnly, "workmail:GetMailDomain", Allowed},
		{WorkMailReadOnly, "workmail:CreateUser", DeniedByDefault},
		{WorkMailReadOnly, "workmail:ResetPassword", DeniedByDefault},
		{WorkMailReadOnly, "workmail:AssumeImpersonationRole", DeniedByDefault},
		{"arn:aws:iam::aws:policy/" + WorkMailFullAccess, "workmail:DeleteUser", Allowed},
	} {
		p, err := Named(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Decide(Request{Action: c.action, Resource: orgA}); got != c.want {
			t.Errorf("%s: %s is %d, want %d", c.name, c.action, got, c.want)
		}
	}
	if _, err := Named("PowerUserAccess"); err == nil || !strings.Contains(err.Error(), WorkMailReadOnly) {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestWhatIsNotSupportedIsRefused(t *testing.T) {
	statement := func(s string) string { return `{"Statement":[{` + s + `}]}` }
	const ok = `"Effect":"Allow","Action":"workmail:*","Resource":"*"`
	for document, says := range map[string]string{
		``:                               "must be a JSON object",
		`[]`:                             "must be a JSON object",
		`{}`:                             "no Statement",
		`{"Statement":[]}`:               "no Statement",
		`{"Statement":7}`:                "must be a JSON object",
		`{"Statement":[{` + ok + `}]} x`: "behind the object",
		`{"Statement":[{` + ok + `}]`:    "EOF",
		`{"Statement":{` + ok + `},"Statement":{}}`:                                                             `"Statement" is there twice`,
		`{"Version":"2012-10-17","Version":"2012-10-17"}`:                                                       `"Version" is there twice`,
		`{"Version":"2020-01-01"}`:                                                                              "Version must be",
		`{"Id":7}`:                                                                                              "Id must be",
		`{"statement":{` + ok + `}}`:                                                                            `the element "statement" is not supported`,
		statement(`"Principal":"*",` + ok):                                                                      "Principal: this element is not supported",
		statement(`"NotAction":"x:y",` + ok):                                                                    "NotAction: this element is not supported",
		statement(`"NotResource":"*",` + ok):                                                                    "NotResource: this element is not supported",
		statement(`"Sid":[],` + ok):                                                                             "Sid: must be a string",
		statement(`"Action":"*","Resource":"*"`):                                                                "Effect is missing",
		statement(`"Effect":"allow","Action":"*","Resource":"*"`):                                               "Effect: must be",
		statement(`"Effect":["Allow"],"Action":"*","Resource":"*"`):                                             "Effect: must be",
		statement(`"Effect":"Allow","Resource":"*"`):                                                            "Action is missing",
		statement(`"Effect":"Allow","Action":[],"Resource":"*"`):                                                "Action is missing or empty",
		statement(`"Effect":"Allow","Action":{},"Resource":"*"`):                                                "must be a string or a list",
		statement(`"Effect":"Allow","Action":["workmail:*",7],"Resource":"*"`):                                  "must be a string or a list",
		statement(`"Effect":"Allow","Action":"CreateUser","Resource":"*"`):                                      `"CreateUser" is neither`,
		statement(`"Effect":"Allow","Action":"*:CreateUser","Resource":"*"`):                                    `"*:CreateUser" is neither`,
		statement(`"Effect":"Allow","Action":"*"`):                                                              "Resource is missing",
		statement(`"Effect":"Allow","Action":"*","Resource":[]`):                                                "Resource is missing or empty",
		statement(`"Effect":"Allow","Action":"*","Resource":"m-a"`):                                             `"m-a" is neither`,
		statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:workmail"`):                                "is neither",
		statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:workmail:::organization/${aws:username}"`): "policy variable",
		statement(ok + `,"Condition":{}`):                                                                       "no condition",
		statement(ok + `,"Condition":{"StringEquals":{"aws:SourceIp":"1.2.3.4"}}`):                              `operator "StringEquals" is not supported`,
		statement(ok + `,"Condition":{"IpAddressIfExists":{"aws:SourceIp":"1.2.3.4"}}`):                         "is not supported",
		statement(ok + `,"Condition":{"IpAddress":{"aws:VpcSourceIp":"1.2.3.4"}}`):                              `key "aws:VpcSourceIp" is not supported`,
		statement(ok + `,"Condition":{"IpAddress":{"aws:SourceIp":[]}}`):                                        "at least one address",
		statement(ok + `,"Condition":{"IpAddress":{"aws:SourceIp":"localhost"}}`):                               "neither an address nor a range",
		statement(ok + `,"Condition":{"IpAddress":{"aws:SourceIp":"fe80::1%eth0"}}`):                            "neither an address nor a range",
		statement(ok + `,"Condition":{"IpAddress":{"aws:SourceIp":"::ffff:1.2.3.4"}}`):                          "IPv4 form",
		`{"Id":"` + strings.Repeat("x", 6200) + `"}`:                                                            "6144 are the most",
	} {
		p, err := Parse([]byte(document))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.200s: got %v, %v; want %q", document, p, err, says)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "abc", true},
		{"a*c", "abbc", true},
		{"a*c", "abb", false},
		{"a**c", "ac", true},
		{"?", "", false},
		{"?", "a", true},
		{"a?c", "abc", true},
		{"*b*b*", "abab", true},
		{"*b*b*", "ab", false},
		{strings.Repeat("a*", 200) + "b", strings.Repeat("a", 5000), false},
	} {
		if got := glob(c.pattern).match(c.text); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.text, got)
		}
	}
}

// FuzzParse hands any document to the reader: none may panic, and one that is accepted is accepted again.
func FuzzParse(f *testing.F) {
	for _, m := range managed {
		f.Add([]byte(m.document))
	}
	f.Add([]byte(`{"Statement":{"Sid":"a","Effect":"Deny","Action":["a:b*"],"Resource":["arn:a:b:c:d:e"],"Condition":{"NotIpAddress":{"aws:SourceIp":"::/0"}}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := Parse(document)
		if err != nil {
			return
		}
		p.Decide(Request{Action: "workmail:ListUsers", Resource: orgA, Source: netip.MustParseAddr("192.0.2.1")})
		if _, err := Parse([]byte(p.String())); err != nil {
			t.Errorf("%q: %v", document, err)
		}
	})
}

func TestReadTakesDocumentsAndNames(t *testing.T) {
	for text, ok := range map[string]bool{
		WorkMailReadOnly: true, managedPrefix + AdministratorAccess: true, "\n " + managed[0].document: true,
		"": false, "{": false, "Nobody": false,
	} {
		if err := Check(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
