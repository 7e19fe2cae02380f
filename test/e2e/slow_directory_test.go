package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"

	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestSlowDirectory lets the directory of one organisation take connections and say nothing: its users are told to come again, its mail
// arrives, and nobody else waits.
func TestSlowDirectory(t *testing.T) {
	slapd := ldaptest.Slapd(t, false)
	between := newMiddle(t, strings.TrimPrefix(slapd.URL, "ldaps://"))
	dir := t.TempDir()
	secret, config := filepath.Join(dir, "secret"), filepath.Join(dir, "pennypost.toml")
	text := fmt.Sprintf("allowed_networks = \"127.0.0.1\"\ndirectory_seconds = 1\n[directory.\"d-0123456789\"]\nurl = \"ldaps://%s\"\nca_file = %q\npreset = \"rfc\"\n"+
		"base = %q\nuser_base = %q\ngroup_base = %q\nbind_dn = %q\nbind_password_file = %q\nwritable = true\ntimeout = \"1s\"\n",
		between.Addr(), slapd.CAFile, slapd.Base, slapd.People, slapd.Groups, slapd.BindDN, secret)
	if err := errors.Join(os.WriteFile(secret, []byte(slapd.Password), 0o600), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	s := harness.Start(t, harness.Options{Flags: []string{"--config", config}})
	office(t, s, "quick", "bob")
	api, ctx := s.WorkMail(), t.Context()
	corp, err := api.CreateOrganization(ctx, &workmail.CreateOrganizationInput{Alias: aws.String("corp"), DirectoryId: aws.String("d-0123456789")})
	if err != nil {
		t.Fatal(err)
	}
	org := corp.OrganizationId
	harness.Eventually(t, "the organisation is active", func() bool {
		o, err := api.DescribeOrganization(ctx, &workmail.DescribeOrganizationInput{OrganizationId: org})
		return err == nil && *o.State == "Active"
	})
	create := func(name string) error {
		u, err := api.CreateUser(ctx, &workmail.CreateUserInput{OrganizationId: org, Name: &name, DisplayName: &name, Password: aws.String(password)})
		if err != nil {
			return err
		}
		_, err = api.RegisterToWorkMail(ctx, &workmail.RegisterToWorkMailInput{OrganizationId: org, EntityId: u.UserId, Email: aws.String(name + "@corp.awsapps.com")})
		return err
	}
	if err := create("ann"); err != nil {
		t.Fatal(err)
	}

	between.silent.Store(true)
	var told sync.Map
	var waiting sync.WaitGroup
	for i := range 20 {
		waiting.Go(func() { told.Store(i, s.SignIn("ann@corp.awsapps.com", password)) })
	}
	if said := s.SignIn("bob@quick.awsapps.com", password); !strings.HasPrefix(said, "OK") {
		t.Errorf("another organisation's user signs in: %s", said)
	}
	if err := bring(s.Addr("smtp"), "ann@corp.awsapps.com", "Subject: meanwhile\r\n\r\nx\r\n"); err != nil {
		t.Errorf("mail for the organisation: %v", err)
	}
	if _, err := api.ListUsers(ctx, &workmail.ListUsersInput{OrganizationId: org}); err != nil {
		t.Errorf("reading: %v", err)
	}
	var unavailable *types.DirectoryUnavailableException
	if err := create("eve"); !errors.As(err, &unavailable) {
		t.Errorf("CreateUser: %v", err)
	}
	waiting.Wait()
	told.Range(func(_, said any) bool {
		if !strings.HasPrefix(said.(string), "NO [UNAVAILABLE]") {
			t.Errorf("the directory is silent, and a sign-in gets %s", said)
		}
		return true
	})

	between.silent.Store(false)
	harness.Eventually(t, "ann signs in again", func() bool { return strings.HasPrefix(s.SignIn("ann@corp.awsapps.com", password), "OK") })
	if got := s.IMAP("ann@corp.awsapps.com", password).Subjects("INBOX", "ALL"); !slices.Equal(got, []string{"meanwhile"}) {
		t.Errorf("the inbox holds %q", got)
	}
	if err := create("eve"); err != nil {
		t.Errorf("CreateUser, once the directory answers: %v", err)
	}
}

// bring hands a message in as another server does.
func bring(address, to, message string) error {
	c, err := smtp.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail("x@elsewhere.example"), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, message)
	return errors.Join(err, w.Close())
}

// middle stands between a server and another, whose answers it keeps to itself while it is silent.
type middle struct {
	net.Listener
	silent atomic.Bool
}

func newMiddle(t *testing.T, to string) *middle {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { m.carry(here, to) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return m
}

func (m *middle) carry(here net.Conn, to string) {
	there, err := net.Dial("tcp", to)
	if err != nil {
		_ = here.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(there, here) // ends with either connection
		_ = there.Close()
	})
	_, _ = io.Copy(unlessSilent{here, m}, there)
	both.Wait()
	_ = here.Close()
}

// unlessSilent loses what is written while m is silent.
type unlessSilent struct {
	io.Writer
	m *middle
}

func (u unlessSilent) Write(p []byte) (int, error) {
	if u.m.silent.Load() {
		return len(p), nil
	}
	return u.Writer.Write(p)
}
