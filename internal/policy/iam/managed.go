package iam

import (
	"fmt"
	"slices"
	"strings"
)

// The managed policies: those of AWS's that can mean something here, by their names.
const (
	AdministratorAccess = "AdministratorAccess"
	WorkMailFullAccess  = "AmazonWorkMailFullAccess"
	WorkMailReadOnly    = "AmazonWorkMailReadOnlyAccess"
	MessageFlowFull     = "AmazonWorkMailMessageFlowFullAccess"
	MessageFlowReadOnly = "AmazonWorkMailMessageFlowReadOnlyAccess"
)

// managed is sorted by name.
var managed = []struct{ name, document string }{
	{AdministratorAccess, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
	// Those of WorkMail allow our own operations too, as AWS's allow what WorkMail's console does beyond the API: who has one of them
	// from before our own operations existed needs no other key.
	{WorkMailFullAccess, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["workmail:*","pennypost:*"],"Resource":"*"}]}`},
	{MessageFlowFull, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"workmailmessageflow:*","Resource":"*"}]}`},
	{MessageFlowReadOnly, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"workmailmessageflow:Get*","Resource":"*"}]}`},
	{WorkMailReadOnly, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
		`"Action":["workmail:Describe*","workmail:Get*","workmail:List*","workmail:Search*",` +
		`"pennypost:Describe*","pennypost:Get*","pennypost:List*"],"Resource":"*"}]}`},
}

// managedPrefix is how AWS names its managed policies in full.
const managedPrefix = "arn:aws:iam::aws:policy/"

// Managed lists the names of the managed policies, sorted.
func Managed() []string {
	var names []string
	for _, m := range managed {
		names = append(names, m.name)
	}
	return names
}

// Named returns a managed policy by its name or its ARN.
func Named(name string) (*Policy, error) {
	i := slices.Index(Managed(), strings.TrimPrefix(name, managedPrefix))
	if i < 0 {
		return nil, fmt.Errorf("there is no managed policy %q; there are %s", name, strings.Join(Managed(), ", "))
	}
	return Parse([]byte(managed[i].document))
}

// Read returns the policy that an access key was given: a document, or the name or ARN of a managed policy.
func Read(documentOrName string) (*Policy, error) {
	if strings.HasPrefix(strings.TrimLeft(documentOrName, " \t\r\n"), "{") {
		return Parse([]byte(documentOrName))
	}
	return Named(documentOrName)
}

// Check is Read for those who only want to know whether the policy can be enforced.
func Check(documentOrName string) error {
	_, err := Read(documentOrName)
	return err
}
