package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/aws-sdk-go-v2/service/workmail/types"
	_ "github.com/jackc/pgx/v5/stdlib" // restores a dump

	"github.com/pennypost/pennypost/internal/awsapi/contract"
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
	aliasOf             map[string]string // of organisations
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
			p.exec(string(content))
			p.db.SetMaxIdleConns(0) // the dump changed the connection's settings
			p.db.SetMaxIdleConns(1)
		case "facts.json":
			err = json.Unmarshal(content, p)
		default:
			err = os.WriteFile(filepath.Join(p.dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

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
