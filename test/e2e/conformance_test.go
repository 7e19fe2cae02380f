package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/contracttest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestConformance sends, signed by botocore, each operation the first and the last of each kind of what internal/awsapi's test of
// this name sends whole.
func TestConformance(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	org := office(t, s, "conformance")
	var requests strings.Builder
	var ops []*contract.Op
	var cases []contracttest.Case
	for _, op := range contract.Operations() {
		base := map[string]any{"OrganizationId": org}
		if op.Name == "DeleteOrganization" {
			base = nil
		}
		for _, one := range firstAndLast(contracttest.Cases(t, op.Input, base)) {
			path, headers := "/", map[string]string{"X-Amz-Target": op.Target(), "Content-Type": "application/x-amz-json-1.1"}
			if op.Service == contract.MessageFlow {
				path, headers = "/messages/id", map[string]string{"Content-Type": "application/json"}
			}
			line, err := json.Marshal(map[string]any{
				"method": op.Method, "path": path, "headers": headers, "service": op.Service.SigningName(), "body": string(one.Document),
			})
			if err != nil {
				t.Fatal(err)
			}
			requests.Write(append(line, '\n'))
			ops, cases = append(ops, op), append(cases, one)
		}
	}
	r := harness.Run(t, harness.Command{
		Name: harness.Tool(t, "python"), Args: []string{"conformance.py"}, Dir: filepath.Join(harness.Root(), "test", "python"),
		Env: append(s.Exports(), "PYTHONDONTWRITEBYTECODE=1"), Stdin: requests.String(),
	})
	answers := json.NewDecoder(strings.NewReader(r.Stdout))
	for i, one := range cases {
		var answer struct {
			Status int
			Body   string
		}
		if err := answers.Decode(&answer); err != nil {
			t.Fatalf("answer %d: %v: %s", i, err, r)
		}
		if wrong := one.Wrong(answer.Status, []byte(answer.Body), string(ops[i].BreachCode())); wrong != "" {
			t.Errorf("%s %s %s, %.300s: %s", ops[i].Name, one.Path, one.Kind, one.Document, wrong)
		}
		if ops[i].Service == contract.MessageFlow && one.Breach == "" && !one.Unreadable && answer.Status/100 != 4 { // there is no such message
			t.Errorf("%s: %d %s", ops[i].Name, answer.Status, answer.Body)
		}
	}
	if len(cases) < 700 {
		t.Errorf("only %d cases were sent", len(cases))
	}
}

// firstAndLast picks the first and the last case of each kind, the last being the deepest. Cases about the path are left out.
func firstAndLast(cases []contracttest.Case) (picked []contracttest.Case) {
	cases = slices.DeleteFunc(cases, func(one contracttest.Case) bool { return one.Path == "messageId" })
	first, last := map[contracttest.Kind]int{}, map[contracttest.Kind]int{}
	for i, one := range cases {
		if _, seen := first[one.Kind]; !seen {
			first[one.Kind] = i
		}
		last[one.Kind] = i
	}
	for i, one := range cases {
		if first[one.Kind] == i || last[one.Kind] == i {
			picked = append(picked, one)
		}
	}
	return picked
}
