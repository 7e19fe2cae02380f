package e2e

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"

	"github.com/pennypost/pennypost/test/harness"
)

// withoutPassword makes users as an import does, enabled where they have an address.
func withoutPassword(t *testing.T, s *harness.Server, org string, addresses map[string]string) {
	t.Helper()
	api := s.WorkMail()
	for name, address := range addresses {
		u, err := api.CreateUser(t.Context(), &workmail.CreateUserInput{OrganizationId: &org, Name: &name, DisplayName: &name})
		if err != nil {
			t.Fatal(err)
		}
		if address == "" {
			continue
		}
		if _, err := api.RegisterToWorkMail(t.Context(), &workmail.RegisterToWorkMailInput{OrganizationId: &org, EntityId: u.UserId, Email: &address}); err != nil {
			t.Fatal(err)
		}
	}
}

// passwordLinks makes links and returns them by the user's name.
func passwordLinks(t *testing.T, s *harness.Server, org string, flags ...string) map[string]string {
	t.Helper()
	r := s.Verb(append([]string{"import", "passwords", "--organization", org, "--links"}, flags...)...)
	rows, err := csv.NewReader(strings.NewReader(r.Stdout)).ReadAll()
	if r.Status != 0 || err != nil || len(rows) == 0 || strings.Join(rows[0], ",") != "user id,name,address,link,expires" {
		t.Fatalf("the links: %v %s", err, r)
	}
	links := map[string]string{}
	for _, row := range rows[1:] {
		links[row[1]] = row[3]
		if expires, err := time.Parse(time.RFC3339, row[4]); err != nil || time.Until(expires) < 6*24*time.Hour || row[2] == "" || len(row[0]) != 36 {
			t.Errorf("the row is %q", row)
		}
	}
	return links
}

// chromiumVisit is what test/js/set_password.js saw.
type chromiumVisit struct {
	Pages    []struct{ URL, Title, Text, Tree string }
	Requests []struct{ URL, Method, Referrer string }
	Console  []string
}

// visit opens a set-password link in Chromium, and fills in the form if there is one. The pictures go to $PENNYPOST_SCREENSHOTS
// where that is set, for a person to look at.
func visit(t *testing.T, link, password, name string) (v chromiumVisit) {
	t.Helper()
	args := []string{"set_password.js", harness.Tool(t, "chromium"), link, password}
	if dir := os.Getenv("PENNYPOST_SCREENSHOTS"); dir != "" {
		args = append(args, filepath.Join(dir, name))
	}
	r := harness.Run(t, harness.Command{Name: harness.Tool(t, "node"), Args: args, Dir: filepath.Join(harness.Root(), "test", "js")})
	if err := json.Unmarshal([]byte(r.Stdout), &v); r.Status != 0 || err != nil {
		t.Fatalf("Chromium: %v %s", err, r)
	}
	if len(v.Console) > 0 {
		t.Errorf("the console says %q", v.Console)
	}
	for _, request := range v.Requests {
		if request.Referrer != "" {
			t.Errorf("%s %s tells where it comes from: %s", request.Method, request.URL, request.Referrer)
		}
	}
	return v
}

// TestPasswordsForThoseWhoHaveNone gives users of an import passwords by links, in Chromium without JavaScript, and by a file, and
// signs in with Python's own mail clients. A link outlives kill -9.
func TestPasswordsForThoseWhoHaveNone(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--hostname", "localhost"}})
		org := office(t, s, "imported", "has")
		withoutPassword(t, s, org, map[string]string{
			"ann": "ann@imported.awsapps.com", "bob": "bob@imported.awsapps.com", "carl": "carl@imported.awsapps.com", "off": "",
		})
		links := passwordLinks(t, s, org)
		if base := "https://localhost:" + s.Addr("https")[strings.LastIndex(s.Addr("https"), ":")+1:] + "/set-password?link="; len(links) != 3 ||
			len(links["ann"]) != len(base)+43 || !strings.HasPrefix(links["ann"], base) || links["bob"] == "" || links["carl"] == "" {
			t.Fatalf("the links are %q, not of %s", links, base)
		}

		s.Kill()
		s.Start()
		here := func(link string) string { // the port may be another now
			return "https://" + s.Addr("https") + link[strings.Index(link, "/set-password"):]
		}
		const chosen = "chosenPa$$w0rd"
		seen := visit(t, here(links["ann"]), chosen, "set")
		if len(seen.Pages) != 2 || !strings.HasPrefix(seen.Pages[1].Text, "Your password is set") || strings.Contains(seen.Pages[1].URL, "link=") {
			t.Fatalf("Chromium saw %+v", seen)
		}
		for _, part := range []string{`heading "Set your password"`, `textbox "Mail address": ann@imported.awsapps.com`, `textbox "New password"`, `textbox "The same again"`, `button "Set the password"`} {
			if !strings.Contains(seen.Pages[0].Tree, part) {
				t.Errorf("the page has no %s: %s", part, seen.Pages[0].Tree)
			}
		}
		mail := useToken(t, s, "ann@imported.awsapps.com", chosen)
		seen = visit(t, here(links["ann"]), chosen, "used")
		if len(seen.Pages) != 1 || !strings.Contains(seen.Pages[0].Text, "was used already") {
			t.Errorf("a used link: %+v", seen)
		}
		if seen = visit(t, here(links["bob"]), "weak", "weak"); len(seen.Pages) != 2 || !strings.Contains(seen.Pages[1].Tree, "alert: The password has 4 characters") {
			t.Errorf("a weak password: %+v", seen)
		}
		if bare := passwordLinks(t, s, org); len(bare) != 2 || bare["bob"] == "" || bare["carl"] == "" {
			t.Errorf("who has no password now: %q", bare)
		}

		// By a file, beside the server: what can't be is told, and the rest is done.
		file := filepath.Join(t.TempDir(), "passwords.csv")
		write := func(mode os.FileMode, text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
		byFile := func() harness.Result {
			t.Helper()
			return s.Verb("import", "passwords", "--organization", org, "--file", file)
		}
		const given, lines = "given Pa$$w0rd", "user,password\nann,given Pa$$w0rd\nnobody,given Pa$$w0rd\ncarl,secret\noff,given Pa$$w0rd\nANN@imported.awsapps.com,other Pa$$w0rd\nhas,no,quotes\n"
		write(0o644, lines)
		if r := byFile(); r.Status != 1 || !strings.Contains(r.Stderr, "may be read by others (mode 0644)") {
			t.Errorf("a file that all may read: %s", r)
		}
		write(0o600, lines)
		changed := time.Now()
		r := byFile()
		mail.leaves(changed)
		told := strings.Split(r.Stdout, "\n")
		if r.Status != 1 || len(told) != 6 || !strings.Contains(r.Stderr, "1 passwords set, 0 there already, 5 lines could not be done") || strings.Contains(r.Stdout, given) || strings.Contains(r.Stdout, "secret") {
			t.Errorf("the file: %s", r)
		}
		for _, words := range []string{"line 3: no user", "DISABLED", "a password in line 2 already", "line 7: there are 3 fields", "the password has 6 characters"} {
			if !strings.Contains(r.Stdout, words) {
				t.Errorf("nothing says %q: %s", words, r)
			}
		}
		s.IMAP("ann@imported.awsapps.com", given).Close()

		// The same again, and without a server.
		write(0o600, "ann,"+given+"\nhas,"+password+"\ncarl,carl's Pa$$w0rd\n")
		s.Stop()
		for _, want := range []string{"1 passwords set, 2 there already, 0 lines", "0 passwords set, 3 there already, 0 lines"} {
			if r := byFile(); r.Status != 0 || r.Stdout != "" || !strings.Contains(r.Stderr, want) {
				t.Errorf("the file without a server: %s", r)
			}
		}
		newer := passwordLinks(t, s, org, "--user", "bob@imported.awsapps.com", "--user", "has", "--base-url", "https://mail.example.org/")
		if len(newer) != 2 || !strings.HasPrefix(newer["has"], "https://mail.example.org/set-password?link=") {
			t.Errorf("the links are %q", newer)
		}
		r = s.Verb("import", "passwords", "--organization", org, "--links", "--user", "nobody", "--user", "off", "--base-url", "https://mail.example.org")
		if r.Status != 1 || !strings.Contains(r.Stderr, "user nobody: no user") || !strings.Contains(r.Stderr, "user off: ") || strings.Count(r.Stdout, "\n") != 1 {
			t.Errorf("links for those who can have none: %s", r)
		}
		for _, flags := range [][]string{
			{"--links", "--base-url", "http://mail.example.org"},
			{"--links", "--base-url", "https://mail.example.org/mail"},
			{"--links", "--valid", "1m"},
			{"--links", "--valid", "721h"},
			{"--links", "--https", "127.0.0.1:0"},
			{"--links", "--file", file},
			{},
			{"--file", filepath.Join(t.TempDir(), "none")},
		} {
			if r := s.Verb(append([]string{"import", "passwords", "--organization", org}, flags...)...); r.Status != 1 || r.Stderr == "" {
				t.Errorf("%q: %s", flags, r)
			}
		}
		s.Start()
		s.IMAP("carl@imported.awsapps.com", "carl's Pa$$w0rd").Close()
		b := harness.NewBrowser(t, s.TLS())
		if b.Go(here(links["bob"])); b.Status != http.StatusForbidden {
			t.Errorf("the older link: %d %s", b.Status, b.Page)
		}
		if b.Go(here(newer["bob"])); b.Status != http.StatusOK {
			t.Errorf("the newer link: %d %s", b.Status, b.Page)
		}
		if _, err := s.WorkMail().ResetPassword(t.Context(), &workmail.ResetPasswordInput{OrganizationId: &org, UserId: userID(t, s, org, "bob"), Password: aws.String(chosen)}); err != nil {
			t.Fatal(err)
		}
		b.Submit("Set the password", url.Values{"password": {given}, "again": {given}})
		if b.Status != http.StatusForbidden {
			t.Errorf("the link after ResetPassword: %d %s", b.Status, b.Page)
		}
		for _, secret := range []string{chosen, given, links["ann"][len(links["ann"])-43:], newer["bob"][len(newer["bob"])-43:]} {
			if strings.Contains(s.Log(), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

func userID(t *testing.T, s *harness.Server, org, name string) *string {
	t.Helper()
	u, err := s.WorkMail().DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &org, UserId: &name})
	if err != nil {
		t.Fatal(err)
	}
	return u.UserId
}
