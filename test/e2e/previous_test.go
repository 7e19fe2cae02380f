package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	_ "github.com/jackc/pgx/v5/stdlib" // restores a dump

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestStoreOfAPreviousVersion opens what an older binary wrote (scripts/write-previous 577eb83, before access rules and all that came
// with and after them), and holds an organisation in it to what a new one gets.
func TestStoreOfAPreviousVersion(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		p := restore(t, url, "previous")
		p.exec("UPDATE item SET saved = 0 WHERE uid = 1 AND prefix IS NOT NULL") // so that some mail is old
		s := harness.Start(t, harness.Options{Dir: p.dir, DatabaseURL: url})
		p.Server = s
		s.Check()
		p.isAsItWas()
		p.hasWhatNewOnesGet(office(t, s, "fresh"))
		p.obeysWhatIsNew()
		p.hasKeys()
	})
}

// TestStoreWithoutSigning opens what the last binary wrote that sent no mail to other servers (scripts/write-previous a38d6b1 unsigned):
// its domains get DKIM keys.
func TestStoreWithoutSigning(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		p := restore(t, url, "unsigned")
		p.Server = harness.Start(t, harness.Options{Dir: p.dir, DatabaseURL: url})
		p.isAsItWas()
		p.hasKeys()
		p.Check()
	})
}

// TestStoreThatSends opens what the binary of the end of issue 4 wrote (scripts/write-previous 536a131 sending): what waits goes on, what was
// set is as it was, and what is sealed opens.
func TestStoreThatSends(t *testing.T) {
	f := newMailFunction(t)
	f.says(`{"actions":[{"action":{"type":"DEFAULT"},"allRecipients":true}]}`)
	ca, config := filepath.Join(t.TempDir(), "ca.pem"), filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf("allowed_networks = [\"127.0.0.1\"]\n[function.\"arn:aws:lambda:eu-west-1:111122223333:function:mail\"]\nurl = %q\nca_file = %q\n", f.URL, ca)
	err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}), 0o600)
	if err := errors.Join(err, os.WriteFile(config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	harness.Engines(t, func(t *testing.T, url string) {
		t.Parallel()
		p := restore(t, url, "sending")
		later := time.Now().Add(48 * time.Hour).UnixMicro() // whenever that was written
		p.exec(fmt.Sprintf("UPDATE queue_delivery SET due = 0, alarm = %d, expires = %[1]d; UPDATE queue_destination SET due = 0, not_before = 0, failures = 0", later))

		d := dnstest.New(t)
		d.Add("far.example. 60 IN MX 10 mx.far.example.", "mx.far.example. 60 IN A 127.0.0.1")
		for name, record := range p.DKIM {
			d.Add(inStrings(strings.TrimSuffix(name, "."), record))
		}
		theirs := harness.FreeAddress(t)
		far := harness.Start(t, harness.Options{Flags: append(outside(t, d, "1"), "--smtp", theirs, "--hostname", "mx.far.example")})
		company(t, far, "far", "far.example", "friend", "held", "far")
		p.Server = harness.Start(t, harness.Options{Dir: p.dir, DatabaseURL: url, Flags: append(outside(t, d, portOf(t, theirs)), "--config", config, "--dkim-rotation-days", "0")})
		p.isAsItWas()
		p.saysWhatItSaid()
		p.sends(far)
		p.receives()
		token, err := p.WorkMail().AssumeImpersonationRole(t.Context(), &workmail.AssumeImpersonationRoleInput{OrganizationId: &p.Sends, ImpersonationRoleId: &p.Role})
		if err != nil || aws.ToString(token.Token) == "" {
			t.Errorf("the role can't be assumed: %v", err)
		}
		p.Check()

		p.Stop()
		p.Server = harness.Start(t, harness.Options{Dir: p.dir, DatabaseURL: url, Flags: []string{
			"--acme", "mail.pennypost.example", "--acme-accept-terms", "true", "--acme-directory", "https://127.0.0.1:1/dir", "--acme-domains", "false",
		}})
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(p.Root)) || (certified{p.Server, t}).show("imaps", "mail.pennypost.example", roots) == nil {
			t.Error("the certificate is not shown")
		}
	})
}

// saysWhatItSaid compares what the API says with what it said. It may say more.
func (p *previous) saysWhatItSaid() {
	p.t.Helper()
	ops := map[string]*contract.Op{}
	for _, op := range contract.Operations() {
		ops[op.Name] = op
	}
	for _, was := range p.Said {
		in, err := json.Marshal(was.In)
		if err != nil {
			p.t.Fatal(err)
		}
		_, text := p.Signed(http.MethodPost, "/", "workmail", ops[was.Operation].Target(), in)
		var is any
		if err := json.Unmarshal(text, &is); err != nil || !has(is, was.Out) {
			p.t.Errorf("%s of %s said %v, and says %s (%v)", was.Operation, in, was.Out, text, err)
		}
	}
	if len(p.Said) < 35 {
		p.t.Errorf("only %d answers were compared", len(p.Said))
	}
}

// has reports whether a value of JSON has all that another has.
func has(is, was any) bool {
	switch was := was.(type) {
	case map[string]any:
		is, ok := is.(map[string]any)
		for k := range was {
			ok = ok && has(is[k], was[k])
		}
		return ok
	case []any:
		is, ok := is.([]any)
		ok = ok && len(is) == len(was)
		for i := range was {
			ok = ok && has(is[i], was[i])
		}
		return ok
	}
	return is == was
}

// sends lets go what waits for other servers, with the signatures that it has, and sends anew with the old keys.
func (p *previous) sends(far *harness.Server) {
	p.t.Helper()
	p.Own("ReleaseQueuedMessages", map[string]any{"OrganizationId": p.Sends, "All": true})
	if err := handIn(p.t, p.Server, "cyd@sends.example", "Subject: new\r\n\r\nHello\r\n", "friend@far.example"); err != nil {
		p.t.Fatal(err)
	}
	for user, want := range map[string][]string{"friend": {"new", "waits", "waits, and is large"}, "held": {"is held"}, "far": {"passed on"}} {
		c := far.IMAP(user+"@far.example", password)
		harness.Eventually(p.t, fmt.Sprintf("%s has %q", user, want), func() bool {
			got := append(c.Subjects("INBOX", "ALL"), c.Subjects("Junk E-mail", "ALL")...)
			slices.Sort(got)
			return slices.Equal(got, want)
		})
		if user == "far" {
			continue // it is of another author
		}
		c.Do("SELECT INBOX")
		for _, m := range c.Do("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Authentication-Results)]") {
			if strings.Contains(m, "FETCH") && !strings.Contains(m, "dkim=pass") {
				p.t.Errorf("the signatures of what came to %s: %s", user, m)
			}
		}
	}
}

// receives looks for what a function decided on at last, and at the way of new mail by what was set.
func (p *previous) receives() {
	p.t.Helper()
	if err := handIn(p.t, p.Server, "dan@sends.example", "Subject: more work\r\n\r\nHello\r\n", "eve@sends.example"); err != nil {
		p.t.Fatal(err)
	}
	for _, of := range []struct{ user, folder, subject string }{
		{"cyd", "INBOX", "asks"},
		{"cyd", "INBOX", "asks, and is large"},
		{"cyd", "Junk E-mail", "buy this"},
		{"cyd", "INBOX", "Auto: about work"},
		{"eve", "Work", "about work"},
		{"eve", "Work", "more work"},
		{"archive", "INBOX", "about work"},
		{"archive", "INBOX", "more work"},
		{"archive", "Projects/2026", "message 0"},
		{"dan", "Junk E-mail", "from far"},
	} {
		c := p.IMAP(of.user+"@sends.example", password)
		harness.Eventually(p.t, fmt.Sprintf("%s has %q in %s", of.user, of.subject, of.folder), func() bool {
			return slices.Contains(c.Subjects(of.folder, "ALL"), of.subject)
		})
		c.Close()
	}
	c := p.IMAP("eve@sends.example", password)
	c.Do("SELECT Work")
	if got := strings.Join(c.Do("FETCH 1 BODY.PEEK[TEXT]"), "\n"); strings.Count(got, "A line of a large letter.") != 20_000 {
		p.t.Errorf("the large letter is %.200q", got)
	}
}

// hasKeys waits for the DKIM keys of the one domain that the old organisation registered.
func (p *previous) hasKeys() {
	p.t.Helper()
	harness.Eventually(p.t, "the domain has DKIM keys", func() bool { return p.rows("dkim_key.organization", p.Org) == 4 })
}

// previous is a store that an older binary wrote.
type previous struct {
	*harness.Server
	t        *testing.T
	dir      string
	db       *sql.DB
	postgres bool
	// What is in it.
	Org, Gone, Ann, Bob string
	Sends, Role         string            // an organisation that has all that came later, and an impersonation role
	Root                string            // vouches for the certificate of the server, PEM
	DKIM                map[string]string // records by name
	Said                []struct {        // by the API, of Sends
		Operation string
		In, Out   any
	}
	aliasOf map[string]string // of organisations
}

func restore(t *testing.T, url, store string) *previous {
	t.Helper()
	p := &previous{t: t, dir: filepath.Join(t.TempDir(), "data"), postgres: url != ""}
	engine, driver, source := "sqlite", "sqlite", filepath.Join(p.dir, "pennypost.db")
	if p.postgres {
		engine, driver, source = "postgres", "pgx", url+"&default_query_exec_mode=simple_protocol"
	}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.db, err = sql.Open(driver, source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.db.Close() })
	p.db.SetMaxOpenConns(1)
	for name, content := range unpacked(t, filepath.Join("testdata", store+"-"+engine+".tar.gz")) {
		switch name {
		case "dump.sql":
			p.exec(waitsOn.Replace(string(content)))
			p.db.SetMaxIdleConns(0) // the dump changed the connection's settings
			p.db.SetMaxIdleConns(1)
		case "facts.json":
			err = json.Unmarshal(content, p)
		default:
			name = filepath.Join(p.dir, name)
			err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, content, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// waitsOn lets what waits for a function's decision wait, in a dump, for longer than the hours that it had when that was written.
var waitsOn = strings.NewReplacer(hex.EncodeToString([]byte(`"until":"2026-`)), hex.EncodeToString([]byte(`"until":"2096-`)))

func unpacked(t *testing.T, path string) map[string][]byte {
	t.Helper()
	packed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if files[h.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *previous) exec(statements string) {
	p.t.Helper()
	if _, err := p.db.ExecContext(p.t.Context(), statements); err != nil {
		p.t.Fatalf("%.200s: %v", statements, err)
	}
}

// isAsItWas looks at what the old binary wrote, through the new one.
func (p *previous) isAsItWas() {
	p.t.Helper()
	api := p.WorkMail() // with the key that the old binary made
	for id, state := range map[string]string{p.Org: "Active", p.Gone: "Deleted"} {
		if o, err := api.DescribeOrganization(p.t.Context(), &workmail.DescribeOrganizationInput{OrganizationId: &id}); err != nil || aws.ToString(o.State) != state {
			p.t.Errorf("the organisation %s: %+v, %v; want it %s", id, o, err, state)
		}
	}
	c := p.IMAP("ann@old.awsapps.com", password)
	for folder, want := range map[string]string{
		"INBOX": "message 0,message 1,message 2", "Deleted Items": "thrown away", "Projects/2026": "message 0",
	} {
		if got := strings.Join(c.Subjects(folder, "ALL"), ","); got != want {
			p.t.Errorf("%s holds %q, want %q", folder, got, want)
		}
	}
	if got := c.Subjects("INBOX", "FLAGGED KEYWORD project"); !slices.Equal(got, []string{"message 1"}) {
		p.t.Errorf("flagged are %q", got)
	}
	members, err := api.ListMailboxPermissions(p.t.Context(), &workmail.ListMailboxPermissionsInput{OrganizationId: &p.Org, EntityId: &p.Ann})
	if err != nil || len(members.Permissions) != 1 || aws.ToString(members.Permissions[0].GranteeId) != p.Bob {
		p.t.Errorf("ann's permissions: %+v, %v", members, err)
	}
}

// filledLists are lists of what the old organisation has and a new one has not.
var filledLists = []string{"ListUsers", "ListGroups", "ListResources", "ListMailDomains"}

// hasWhatNewOnesGet compares the old organisation with a new one: by each operation that reads and asks for no more than an
// organisation, and table by table.
func (p *previous) hasWhatNewOnesGet(fresh string) {
	p.t.Helper()
	p.aliasOf = map[string]string{p.Org: "old", fresh: "fresh"}
	compared := 0
	for _, op := range contract.Operations() {
		reads := strings.HasPrefix(op.Name, "Describe") || strings.HasPrefix(op.Name, "List") || strings.HasPrefix(op.Name, "Get")
		for _, m := range op.Input.Members {
			reads = reads && m.Required == (m.Name == "OrganizationId")
		}
		if !reads || op.Name == "ListOrganizations" || slices.Contains(filledLists, op.Name) {
			continue
		}
		compared++
		if has, gets := p.read(op, p.Org), p.read(op, fresh); has != gets {
			p.t.Errorf("%s: the old organisation has %s\na new one gets %s", op.Name, has, gets)
		}
	}
	if compared < 8 {
		p.t.Errorf("only %d operations were compared", compared)
	}
	for _, table := range p.tables() {
		if has, gets := p.rows(table, p.Org), p.rows(table, fresh); has == 0 && gets > 0 {
			p.t.Errorf("a new organisation has %d rows in %s, the old one has none", gets, table)
		}
	}
}

var (
	date        = regexp.MustCompile(`"(Date\w+|\w+Date)":[0-9.]+`)
	directoryID = regexp.MustCompile(`"d-[0-9a-f]{10}"`)
)

// read calls an operation, and returns its answer without what differs between any two organisations.
func (p *previous) read(op *contract.Op, org string) string {
	p.t.Helper()
	_, text := p.Signed(http.MethodPost, "/", "workmail", op.Target(), fmt.Appendf(nil, `{"OrganizationId":%q}`, org))
	said := strings.NewReplacer(org, "ORGANIZATION", p.aliasOf[org]+".awsapps.com", "DOMAIN", `"`+p.aliasOf[org]+`"`, "ALIAS").Replace(string(text))
	return directoryID.ReplaceAllString(date.ReplaceAllString(said, `"$1":DATE`), "DIRECTORY")
}

// tables are those with rows of organisations.
func (p *previous) tables() (tables []string) {
	p.t.Helper()
	query := `SELECT m.name || '.' || c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name IN ('organization', 'org')`
	if p.postgres {
		query = `SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name IN ('organization', 'org')`
	}
	rows, err := p.db.QueryContext(p.t.Context(), query)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			p.t.Fatal(err)
		}
		tables = append(tables, name)
	}
	if len(tables) < 10 || rows.Err() != nil {
		p.t.Fatalf("the tables of organisations are %q, %v", tables, rows.Err())
	}
	return tables
}

// rows counts an organisation's rows in a table, which is named with its column of organisations.
func (p *previous) rows(table, org string) (n int) {
	p.t.Helper()
	name, column, _ := strings.Cut(table, ".")
	query := fmt.Sprintf(`SELECT count(*) FROM %s WHERE CAST(%s AS TEXT) IN ($1, (SELECT CAST(key AS TEXT) FROM organization WHERE id = $1))`, name, column)
	if err := p.db.QueryRowContext(p.t.Context(), query, org).Scan(&n); err != nil {
		p.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// obeysWhatIsNew lets rules and policies, which the old binary did not have, bite in the old organisation.
func (p *previous) obeysWhatIsNew() {
	p.t.Helper()
	api, ctx := p.WorkMail(), p.t.Context()
	_, err := api.PutRetentionPolicy(ctx, &workmail.PutRetentionPolicyInput{
		OrganizationId: &p.Org, Name: aws.String("year"), FolderConfigurations: []types.FolderConfiguration{
			{Name: types.FolderNameInbox, Action: types.RetentionActionDelete, Period: aws.Int32(365)},
		},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	c := p.IMAP("ann@old.awsapps.com", password)
	harness.Eventually(p.t, "old mail is gone", func() bool { return len(c.Subjects("INBOX", "ALL")) == 2 })
	_, err = api.PutAccessControlRule(ctx, &workmail.PutAccessControlRuleInput{
		OrganizationId: &p.Org, Name: aws.String("no-imap"), Effect: types.AccessControlRuleEffectDeny, Description: aws.String("x"), Actions: []string{"IMAP"},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if said := p.SignIn("ann@old.awsapps.com", password); !strings.HasPrefix(said, "NO") {
		p.t.Errorf("a rule denies IMAP, and the sign-in gets %s", said)
	}
}
