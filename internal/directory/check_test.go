package directory

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

// TestCheckFinds damages the store in each way that Check knows: it must tell every one.
func TestCheckFinds(t *testing.T) {
	for _, damage := range []struct{ statement, want string }{
		{`UPDATE entity SET organization = 1 WHERE name = 'ann'`, "entity without an organization"},
		{`UPDATE entity SET email = 'x@acme.awsapps.com' WHERE name = 'ann'`, "enabled entity whose primary address is not its e-mail"},
		{`DELETE FROM address`, "enabled entity whose primary address is not its e-mail"},
		{`UPDATE entity SET email = 'x' WHERE name = 'off'`, "entity with an e-mail that is not enabled"},
		{`UPDATE address SET primary_key = address_key`, "entity with several primary addresses"},
		{`UPDATE address SET primary_key = 'x' WHERE primary_key IS NOT NULL`, "address whose primary key is another's"},
		{`UPDATE entity SET state = 2, email = '' WHERE name = 'ann'`, "address without an enabled entity"},
		{`DELETE FROM domain`, "address outside of the organization's domains"},
		{`DELETE FROM domain`, "organization whose default domain is not its own"},
		{`UPDATE member SET member = 1`, "member without a group or a user"},
		{`UPDATE delegate SET delegate = 1`, "delegate without a resource or a user"},
		{`DELETE FROM delegate`, "resource that nobody answers for"},
		{`UPDATE password SET entity = 1`, "password without a user"},
		{`INSERT INTO remembered_address (entity, address_key, address, until) VALUES (1, 'x', 'x', 1)`, "remembered address without an entity"},
		{`UPDATE organization_tag SET organization = 1`, "tag without an organization"},
		{`UPDATE domain SET organization = 1`, "domain without an organization"},
		{`UPDATE entity SET name_key = 'x' WHERE name = 'ann'`, `"ann" is stored under "x"`},
	} {
		t.Run(damage.want, func(t *testing.T) {
			f := newFixture(t, dbtest.SQLite(t, migrations()), Config{})
			ann := must(f.CreateUser(f.ctx, admin, f.org.ID, NewUser{Name: "ann", Password: ptr("examplePa$$w0rd")}))(t)
			f.enable(ann, "ann@acme.awsapps.com")
			f.ok(f.CreateAlias(f.ctx, admin, f.org.ID, ann, "a@acme.awsapps.com"))
			f.user("off")
			f.group("all")
			f.resource("room")
			f.ok(f.AddMember(f.ctx, admin, f.org.ID, "all", "ann"))
			f.ok(f.AddDelegate(f.ctx, admin, f.org.ID, "room", "off"))
			f.ok(f.UpdateResource(f.ctx, admin, f.org.ID, "room", ResourceChange{Booking: &BookingOptions{}}))
			f.ok(f.Tag(f.ctx, admin, f.org.ARN(), []Tag{{"k", "v"}}))
			if before := f.check(); before != "" {
				t.Fatalf("before the damage: %s", before)
			}
			undo := fmt.Errorf("undo")
			err := f.db.Write(f.ctx, func(ctx context.Context, tx *db.Tx) error {
				if _, err := tx.Exec(ctx, damage.statement); err != nil {
					return err
				}
				faults, err := f.Check(ctx, tx)
				if found := strings.Join(faults, "\n"); err == nil && !strings.Contains(found, damage.want) {
					t.Errorf("found %q, want %q", found, damage.want)
				}
				if err != nil {
					return err
				}
				return undo
			})
			if err != undo {
				t.Error(err)
			}
		})
	}
}

func (f *fixture) check() string {
	f.t.Helper()
	var found []string
	f.read(func(ctx context.Context, tx *db.Tx) (err error) {
		found, err = f.Check(ctx, tx)
		return err
	})
	return strings.Join(found, "\n")
}
