package directory

import (
	"context"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
)

// consistency are the statements that find what must not be, each with what it means. A statement returns texts that name
// what it found.
var consistency = []struct{ fault, query string }{
	{"entity without an organization", `SELECT e.id FROM entity e LEFT JOIN organization o ON o.key = e.organization
		WHERE o.key IS NULL OR o.state = 'Deleted'`},
	{"enabled entity whose primary address is not its e-mail", `SELECT e.id FROM entity e
		LEFT JOIN address a ON a.entity = e.key AND a.primary_key IS NOT NULL WHERE e.state = 1 AND (a.address IS NULL OR a.address <> e.email)`},
	{"entity with an e-mail that is not enabled", `SELECT id FROM entity WHERE state <> 1 AND email <> ''`},
	{"entity with several primary addresses", `SELECT MIN(address) FROM address WHERE primary_key IS NOT NULL GROUP BY entity HAVING COUNT(*) > 1`},
	{"address whose primary key is another's", `SELECT address FROM address WHERE primary_key <> address_key`},
	{"address without an enabled entity", `SELECT a.address FROM address a LEFT JOIN entity e ON e.key = a.entity
		WHERE e.key IS NULL OR e.state <> 1 OR e.organization <> a.organization OR e.kind <> a.kind`},
	{"address outside of the organization's domains", `SELECT a.address FROM address a
		LEFT JOIN domain d ON d.organization = a.organization AND d.name = a.domain
		LEFT JOIN entity e ON e.key = a.entity AND e.role = 4 WHERE d.name IS NULL AND e.key IS NULL`},
	{"member without a group or a user", `SELECT m.group_name FROM member m LEFT JOIN entity g ON g.key = m.group_key
		LEFT JOIN entity e ON e.key = m.member WHERE g.key IS NULL OR e.key IS NULL OR g.kind <> 2 OR e.kind = 3
		OR g.organization <> e.organization OR g.name_key <> m.group_name`},
	{"delegate without a resource or a user", `SELECT COALESCE(r.id, e.id, '?') FROM delegate d LEFT JOIN entity r ON r.key = d.resource
		LEFT JOIN entity e ON e.key = d.delegate WHERE r.key IS NULL OR e.key IS NULL OR r.kind <> 3 OR e.kind = 3
		OR r.organization <> e.organization`},
	{"resource that nobody answers for", `SELECT r.id FROM entity r JOIN organization o ON o.key = r.organization AND o.state <> 'Deleting'
		WHERE r.kind = 3 AND r.state <> 3 AND NOT r.auto_accept AND NOT EXISTS (SELECT 1 FROM delegate d JOIN entity e ON e.key = d.delegate WHERE d.resource = r.key AND e.state <> 3)`},
	{"password without a user", `SELECT CAST(p.entity AS TEXT) FROM password p LEFT JOIN entity e ON e.key = p.entity
		WHERE e.key IS NULL OR e.kind <> 1 OR e.state = 3`},
	{"remembered address without an entity", `SELECT r.address FROM remembered_address r LEFT JOIN entity e ON e.key = r.entity
		WHERE e.key IS NULL OR e.state <> 2`},
	{"domain without an organization", `SELECT d.name FROM domain d LEFT JOIN organization o ON o.key = d.organization
		WHERE o.key IS NULL OR o.state = 'Deleted'`},
	{"organization whose default domain is not its own", `SELECT o.id FROM organization o
		LEFT JOIN domain d ON d.organization = o.key AND d.name = o.default_domain WHERE o.state = 'Active' AND d.name IS NULL`},
	{"place of an entity that is not mirrored", `SELECT CAST(m.entity AS TEXT) FROM mirrored m LEFT JOIN entity e ON e.key = m.entity
		LEFT JOIN organization o ON o.key = m.organization WHERE e.key IS NULL OR e.state = 3 OR e.kind = 3
		OR e.organization <> m.organization OR o.directory_type = 'VpcDirectory'`},
	{"mirror without an organization", `SELECT CAST(m.organization AS TEXT) FROM mirror m LEFT JOIN organization o ON o.key = m.organization
		WHERE o.key IS NULL OR o.state = 'Deleted' OR o.directory_type = 'VpcDirectory'`},
	{"member of a mirrored group that is none", `SELECT CAST(m.group_key AS TEXT) FROM mirrored_member m LEFT JOIN entity g ON g.key = m.group_key
		WHERE g.key IS NULL OR g.kind <> 2 OR g.organization <> m.organization`},
	{"tag without an organization", `SELECT t.tag FROM organization_tag t LEFT JOIN organization o ON o.key = t.organization
		WHERE o.key IS NULL OR o.state = 'Deleted'`},
}

// checkShown bounds how many finds of one fault are named.
const checkShown = 100

// Check looks for what contradicts itself in the package's tables, and returns a line per find. It reads everything.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	for _, c := range consistency {
		found, err := queryTexts(ctx, tx, c.query+fmt.Sprintf(" LIMIT %d", checkShown))
		if err != nil {
			return nil, fmt.Errorf("check for %s: %w", c.fault, err)
		}
		for _, name := range found {
			faults = append(faults, "directory: "+c.fault+": "+name)
		}
	}
	misfolded, err := s.checkFolding(ctx, tx)
	return append(faults, misfolded...), err
}

// checkFolding finds names and addresses whose folded form is not that of their text, which the database can't compute.
func (s *Service) checkFolding(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	for _, query := range []string{
		`SELECT name, name_key FROM entity`,
		`SELECT address, address_key FROM address`,
		`SELECT alias, alias_key FROM organization WHERE alias_key IS NOT NULL`,
	} {
		err := tx.Each(ctx, func(row db.Row) error {
			var text, key string
			if err := row.Scan(&text, &key); err != nil {
				return err
			}
			if Fold(text) != key {
				faults = append(faults, fmt.Sprintf("directory: %q is stored under %q", text, key))
			}
			return nil
		}, query)
		if err != nil {
			return nil, fmt.Errorf("check folded names: %w", err)
		}
	}
	return faults, nil
}
