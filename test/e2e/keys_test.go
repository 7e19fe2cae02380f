package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/test/harness"
)

// TestKeysAct makes a key that may only read, uses it, and revokes it, beside the running server.
func TestKeysAct(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		s := harness.Start(t, harness.Options{DatabaseURL: url})
		org := office(t, s, "keys")
		made := s.Verb("key", "create", "--policy", "AmazonWorkMailReadOnlyAccess")
		key := regexp.MustCompile(`aws_access_key_id = (\S+)\naws_secret_access_key = (\S+)\n`).FindStringSubmatch(made.Stdout)
		if key == nil {
			t.Fatalf("key create: %s", made)
		}
		file := filepath.Join(t.TempDir(), "policy.json")
		if err := os.WriteFile(file, []byte("AdministratorAccess"), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := s.Verb("key", "create", "--policy-file", file); r.Status != 1 || !strings.Contains(r.Stderr, file) {
			t.Errorf("a file with a policy's name in it: %s", r)
		}
		reader := s.WorkMailAs(key[1], key[2])
		describe := func() error {
			_, err := reader.DescribeOrganization(t.Context(), &workmail.DescribeOrganizationInput{OrganizationId: &org})
			return err
		}
		if err := describe(); err != nil {
			t.Errorf("a key that may read: %v", err)
		}
		_, err := reader.CreateUser(t.Context(), &workmail.CreateUserInput{OrganizationId: &org, Name: aws.String("x"), DisplayName: aws.String("x")})
		refused(t, err, "AccessDeniedException", "workmail:CreateUser", "arn:aws:workmail:us-east-1:000000000000:organization/"+org)
		if r := s.Verb("key", "revoke", key[1]); r.Status != 0 {
			t.Fatalf("key revoke: %s", r)
		}
		refused(t, describe(), "UnrecognizedClientException")
		s.Stop()
		s.Start()
		reader = s.WorkMailAs(key[1], key[2])
		refused(t, describe(), "UnrecognizedClientException")
	})
}

// refused expects an exception with the texts in its message.
func refused(t *testing.T, err error, code string, texts ...string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
		return
	}
	for _, text := range texts {
		if !strings.Contains(api.ErrorMessage(), text) {
			t.Errorf("the message of %s does not name %s: %s", code, text, api.ErrorMessage())
		}
	}
}
