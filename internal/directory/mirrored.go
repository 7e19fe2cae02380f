package directory

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Mirrored is an external directory whose entries come, change and go without us. Package organization keeps the tables in
// step with it.
type Mirrored interface {
	Directory
	// Probe reports whether the directory answers and lets the server's own account in.
	Probe(ctx context.Context) error
	// Changes tells into what changed since the cursor, and returns the cursor to go on from. An empty cursor stands for the
	// beginning; one that the directory no longer knows is taken for it. What was told once may be told again.
	Changes(ctx context.Context, cursor string, into Mirror) (next string, err error)
	// Present returns the ids of all the users and groups there are.
	Present(ctx context.Context) (map[EntityID]struct{}, error)
	// Find returns the entries with the ids, those left out that do not exist.
	Find(ctx context.Context, ids []EntityID) ([]Outside, error)
}

// Mirror takes what an external directory tells.
type Mirror interface {
	// Put says how entries are now.
	Put(ctx context.Context, entries []Outside) error
	// Gone says that entries of a kind, 0 for any, no longer exist. Ids that were never told, or of another kind, mean nothing: a
	// directory that is asked about one kind may well say that the others' are not of it.
	Gone(ctx context.Context, kind Kind, ids []EntityID) error
	// Compare says which users and groups exist: all others are gone.
	Compare(ctx context.Context, present map[EntityID]struct{}) error
}

// Outside is a user or group as an external directory has it.
type Outside struct {
	ID   EntityID
	Kind Kind
	Name string
	// Place is where the entry is in the directory, as Members of others name it: not longer than 64 bytes.
	Place string
	// User has those attributes of a user that the directory keeps; what is nil is kept by us alone.
	User UserChange
	// System marks those who came with the directory.
	System bool
	// Barred says that the directory itself lets the user do nothing.
	Barred bool
	// PasswordSet tells one password of a user from the next, where the directory says when it was set; not longer than 64 bytes.
	PasswordSet string
	// Members are the places of a group's members.
	Members []string
	// PrimaryGroup names the group that a user is in without being among its Members, by that group's GroupID. Both are empty
	// where a directory knows no such thing, and not longer than 80 bytes.
	PrimaryGroup, GroupID string
}

// Mirrored returns the external directory of an organisation that is kept in step, nil where there is nothing to keep in
// step. Faults: DirectoryDown for one that is not configured.
func (s *Service) Mirrored(o *Organization) (Mirrored, error) {
	d, err := s.directoryOf(o)
	if err != nil {
		return nil, err
	}
	m, _ := d.(Mirrored)
	return m, nil
}

// Probe asks the external directory with the id whether an organisation could be made on it. Faults: DirectoryDown,
// DirectoryRefusedUs.
func (s *Service) Probe(ctx context.Context, directoryID string) error {
	if m, ok := s.external[directoryID].(Mirrored); ok {
		return m.Probe(ctx)
	}
	return nil // our own, one that can't be asked, or one that is not known, which the creation tells
}

// mirrorTables hold how far the mirror of an external directory came, and where its entries are there. A group may name
// members that are not (yet) mirrored; mirrored_member keeps them until they come.
const mirrorTables = `
CREATE TABLE mirror (
  organization {{.RowID}} NOT NULL PRIMARY KEY,
  cursor TEXT NOT NULL,
  synced BIGINT NOT NULL,
  compared BIGINT NOT NULL,
  error TEXT NOT NULL
);
CREATE TABLE mirrored (
  entity {{.RowID}} NOT NULL PRIMARY KEY,
  organization BIGINT NOT NULL,
  place TEXT {{.CollateC}} NOT NULL,
  password_set TEXT NOT NULL
);
CREATE INDEX mirrored_place ON mirrored (organization, place);
CREATE TABLE mirrored_member (
  group_key BIGINT NOT NULL,
  place TEXT {{.CollateC}} NOT NULL,
  organization BIGINT NOT NULL,
  PRIMARY KEY (group_key, place)
) {{.WithoutRowID}};
CREATE INDEX mirrored_member_place ON mirrored_member (organization, place);
`

// primaryGroups adds what PrimaryGroup and GroupID say.
const primaryGroups = `
ALTER TABLE mirrored ADD COLUMN primary_group TEXT {{.CollateC}} NOT NULL DEFAULT '';
ALTER TABLE mirrored ADD COLUMN group_id TEXT {{.CollateC}} NOT NULL DEFAULT '';
CREATE INDEX mirrored_primary ON mirrored (organization, primary_group) WHERE primary_group <> '';
CREATE INDEX mirrored_group ON mirrored (organization, group_id) WHERE group_id <> '';
`

// MirrorState is how far the mirror of an organisation came. Times are zero for what never happened.
type MirrorState struct {
	Cursor           string
	Synced, Compared int64 // microseconds since 1970
	// Error is why the last attempt failed, empty where it did not.
	Error string
}

// MirrorStateTx reads how far the mirror came.
func (s *Service) MirrorStateTx(ctx context.Context, tx *db.Tx, o *Organization) (m MirrorState, err error) {
	err = tx.QueryRow(ctx, `SELECT cursor, synced, compared, error FROM mirror WHERE organization = $1`, o.Key).
		Scan(&m.Cursor, &m.Synced, &m.Compared, &m.Error)
	if err = ignoreNoRows(err); err != nil {
		return m, fmt.Errorf("read how far the mirror of %s came: %w", o.ID, err)
	}
	return m, nil
}

// SetMirrorStateTx keeps how far the mirror came.
func (s *Service) SetMirrorStateTx(ctx context.Context, tx *db.Tx, o *Organization, m MirrorState) error {
	_, err := tx.Exec(ctx, `INSERT INTO mirror (organization, cursor, synced, compared, error) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (organization) DO UPDATE SET cursor = excluded.cursor, synced = excluded.synced,
		compared = excluded.compared, error = excluded.error`, o.Key, m.Cursor, m.Synced, m.Compared, m.Error)
	if err != nil {
		return fmt.Errorf("keep how far the mirror of %s came: %w", o.ID, err)
	}
	return nil
}

const (
	reviveEntity = `UPDATE entity SET state = 2, deleted = 0, role = $2 WHERE key = $1`
	renameEntity = `UPDATE entity SET name = $2, name_key = $3 WHERE key = $1`
	renameGroup  = `UPDATE member SET group_name = $2 WHERE group_key = $1`
	putPlace     = `INSERT INTO mirrored (entity, organization, place, password_set, primary_group, group_id) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (entity) DO UPDATE SET place = excluded.place, password_set = excluded.password_set,
		primary_group = excluded.primary_group, group_id = excluded.group_id`
	// forgetPasswordSet lets the mirror take the next password for the one it knows.
	forgetPasswordSet = `UPDATE mirrored SET password_set = '' WHERE entity = $1`
	// joinGroups lets an entity into the groups that name its place.
	joinGroups = `INSERT INTO member (group_key, member, group_name) SELECT g.key, CAST($1 AS BIGINT), g.name_key
		FROM mirrored_member m JOIN entity g ON g.key = m.group_key AND g.state <> 3
		WHERE m.organization = $2 AND m.place = $3 AND g.key <> $1 ON CONFLICT DO NOTHING`
	// leavePrimary lets a user out of a primary group that is not the user's any more, unless the group names the user.
	leavePrimary = `DELETE FROM member WHERE member = $1 AND group_key IN (SELECT g.entity FROM mirrored u
		JOIN mirrored g ON g.organization = u.organization AND g.group_id = u.primary_group AND g.group_id <> ''
		WHERE u.entity = $1 AND u.primary_group <> $2
		AND NOT EXISTS (SELECT 1 FROM mirrored_member m WHERE m.group_key = g.entity AND m.place = u.place))`
	// joinPrimary lets a user into the primary group.
	joinPrimary = `INSERT INTO member (group_key, member, group_name) SELECT g.key, CAST($1 AS BIGINT), g.name_key
		FROM mirrored p JOIN entity g ON g.key = p.entity AND g.kind = 2 AND g.state <> 3
		WHERE p.organization = $2 AND p.group_id = $3 AND p.group_id <> '' ON CONFLICT DO NOTHING`
	// primaryAbsent are the places of the users whose primary group is a group with the id, and who are not in it yet.
	primaryAbsent = `SELECT u.place FROM mirrored u WHERE u.organization = $1 AND u.primary_group = $2 AND u.primary_group <> ''
		AND NOT EXISTS (SELECT 1 FROM member m WHERE m.group_key = $3 AND m.member = u.entity)`
	isPrimary = `SELECT 1 FROM mirrored u JOIN mirrored g ON g.entity = $2 AND g.group_id = u.primary_group
		WHERE u.entity = $1 AND u.primary_group <> ''`
)

// MirrorTx makes the entity that out is about like it, and returns it, locked. What only we know (address, role, whether it is
// hidden) stays. A new one is DISABLED. Faults: Exists (Entity) where another has the name; Invalid for what can't be kept.
func (s *Service) MirrorTx(ctx context.Context, tx *db.Tx, o *Organization, out Outside) (*Entity, error) {
	if err := checkText("the name", out.Name, textLimit); err != nil || out.Name == "" {
		return nil, fault.New(fault.Invalid, fault.Entity, "the external directory's entry %s has no name that can be kept", out.ID)
	}
	role := RoleNone
	if out.Kind == KindUser {
		role = RoleUser
		if out.System || reserved(Fold(out.Name)) {
			role = RoleSystem
		}
	}
	u := &User{}
	e, err := resolveTx(ctx, tx, o, string(out.ID), Narrow{IDOnly: true}, findUser.Get(), u.Profile.targets()...)
	isNew := fault.Is(err, fault.NotFound, fault.Entity)
	switch {
	case isNew:
		entry := NewEntry{Kind: out.Kind, User: NewUser{Name: out.Name, Role: role}, Group: NewGroup{Name: out.Name}}
		if err := s.insertTx(ctx, tx, o, out.ID, entry, ""); err != nil {
			return nil, err
		}
		e, err = s.EntityByIDTx(ctx, tx, o.Key, out.ID)
	case err == nil && e.Kind != out.Kind:
		err = fault.New(fault.Invalid, fault.Entity, "the external directory's %s %s is a %s here", out.Kind.word(), out.ID, e.Kind.word())
	}
	if err != nil {
		return nil, err
	}
	if e.State == Deleted || e.Name != out.Name {
		if err := s.renameTx(ctx, tx, o, e, out.Name); err != nil {
			return nil, err
		}
	}
	if e.State == Deleted { // it was away, or restored
		if _, err := tx.Exec(ctx, reviveEntity, e.Key, int64(role)); err != nil {
			return nil, fmt.Errorf("revive %s: %w", e.ID, err)
		}
	}
	u.Entity = *e
	if out.Kind == KindUser && out.User.changes(u) {
		if err := updateUserTx(ctx, tx, e, out.User); err != nil {
			return nil, err
		}
	}
	if err := s.mirrorPasswordTx(ctx, tx, o, e, out.PasswordSet); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		statement string
		args      []any
	}{
		{leavePrimary, []any{e.Key, out.PrimaryGroup}},
		{putPlace, []any{e.Key, o.Key, out.Place, out.PasswordSet, out.PrimaryGroup, out.GroupID}},
		{joinGroups, []any{e.Key, o.Key, out.Place}},
		{joinPrimary, []any{e.Key, o.Key, out.PrimaryGroup}},
	} {
		if _, err := tx.Exec(ctx, step.statement, step.args...); err != nil {
			return nil, fmt.Errorf("mirror %s: %w", e.ID, err)
		}
	}
	return s.lockTx(ctx, tx, e)
}

// mirrorPasswordTx ends the sessions of a user who has another password in the directory than when it was looked at last.
func (s *Service) mirrorPasswordTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, set string) error {
	var before string
	err := tx.QueryRow(ctx, `SELECT password_set FROM mirrored WHERE entity = $1`, e.Key).Scan(&before)
	if err = ignoreNoRows(err); err != nil {
		return fmt.Errorf("read when the password of %s was set: %w", e.ID, err)
	}
	if before == "" || set == "" || before == set {
		return nil
	}
	if _, err := tx.Exec(ctx, insertPassword, e.Key, "", s.clock.Now().UnixMicro()); err != nil {
		return fmt.Errorf("change the version of the password of %s: %w", e.ID, err)
	}
	s.publishUser(tx, o.ID, e.ID)
	return nil
}

func (s *Service) renameTx(ctx context.Context, tx *db.Tx, o *Organization, e *Entity, name string) error {
	if err := nameIsFreeTx(ctx, tx, o, e, name); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, renameEntity, e.Key, name, Fold(name)); err != nil {
		return fmt.Errorf("rename %s: %w", e.ID, err)
	}
	if _, err := tx.Exec(ctx, renameGroup, e.Key, Fold(name)); err != nil {
		return fmt.Errorf("rename %s: %w", e.ID, err)
	}
	e.Name = name
	return nil
}

// changes reports whether the texts of c differ from those of u.
func (c *UserChange) changes(u *User) bool {
	p := &u.Profile
	have := []string{
		u.DisplayName, p.FirstName, p.LastName, p.Initials, p.Telephone, p.Street, p.JobTitle, p.City, p.Company, p.ZipCode,
		p.Department, p.Country, p.Office,
	}
	for i, a := range c.texts() {
		if a.text != nil && *a.text != have[i] {
			return true
		}
	}
	return false
}

// MirroredMembers says how a mirrored group's members differ from what the directory says.
type MirroredMembers struct {
	Join, Leave   []string // places, as mirrored_member has them
	Enter, Depart []string // places whose entities enter, and ids of those who depart
}

// Size is how many differences there are.
func (m *MirroredMembers) Size() int {
	return len(m.Join) + len(m.Leave) + len(m.Enter) + len(m.Depart)
}

// Cut takes up to n differences from m.
func (m *MirroredMembers) Cut(n int) (part MirroredMembers) {
	for _, list := range []struct{ from, to *[]string }{
		{&m.Leave, &part.Leave}, {&m.Join, &part.Join}, {&m.Depart, &part.Depart}, {&m.Enter, &part.Enter},
	} {
		k := min(n, len(*list.from))
		*list.to, *list.from = (*list.from)[:k], (*list.from)[k:]
		n -= k
	}
	return part
}

// CompareMembersTx compares a group's members with the places that the directory names.
func (s *Service) CompareMembersTx(ctx context.Context, tx *db.Tx, group *Entity, places []string) (m MirroredMembers, err error) {
	want := map[string]bool{}
	for _, place := range places {
		want[place] = true
	}
	waiting, err := queryTexts(ctx, tx, `SELECT place FROM mirrored_member WHERE group_key = $1`, group.Key)
	if err != nil {
		return m, fmt.Errorf("read the members of %s: %w", group.ID, err)
	}
	var groupID string
	err = tx.QueryRow(ctx, `SELECT group_id FROM mirrored WHERE entity = $1`, group.Key).Scan(&groupID)
	if err = ignoreNoRows(err); err != nil {
		return m, fmt.Errorf("read the members of %s: %w", group.ID, err)
	}
	if m.Enter, err = queryTexts(ctx, tx, primaryAbsent, group.OrgKey, groupID, group.Key); err != nil {
		return m, fmt.Errorf("read the members of %s: %w", group.ID, err)
	}
	named, inside := map[string]bool{}, map[string]bool{}
	for _, place := range waiting {
		named[place] = true
		if !want[place] {
			m.Leave = append(m.Leave, place)
		}
	}
	rows, err := tx.Query(ctx, `SELECT e.id, p.place, COALESCE(p.primary_group, '') FROM member m JOIN entity e ON e.key = m.member
		LEFT JOIN mirrored p ON p.entity = m.member WHERE m.group_key = $1`, group.Key)
	if err != nil {
		return m, fmt.Errorf("read the members of %s: %w", group.ID, err)
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id, primary string
			place       sql.NullString // NULL for one made here whom the directory did not tell of yet
		)
		if err := rows.Scan(&id, &place, &primary); err != nil {
			return m, fmt.Errorf("read the members of %s: %w", group.ID, err)
		}
		inside[place.String] = true
		if place.Valid && !want[place.String] && (groupID == "" || primary != groupID) {
			m.Depart = append(m.Depart, id)
		}
	}
	for place := range want {
		if !named[place] {
			m.Join = append(m.Join, place)
		}
		if !inside[place] {
			m.Enter = append(m.Enter, place)
		}
	}
	return m, rows.Err()
}

const (
	joinMirrored  = `INSERT INTO mirrored_member (group_key, place, organization) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	leaveMirrored = `DELETE FROM mirrored_member WHERE group_key = $1 AND place = $2`
	departByID    = `DELETE FROM member WHERE group_key = $1 AND member IN (SELECT key FROM entity WHERE organization = $2 AND id = $3)`
	enterByPlace  = `INSERT INTO member (group_key, member, group_name) SELECT CAST($1 AS BIGINT), e.key, CAST($4 AS TEXT)
		FROM mirrored p JOIN entity e ON e.key = p.entity AND e.state <> 3
		WHERE p.organization = $2 AND p.place = $3 AND e.key <> $1 ON CONFLICT DO NOTHING`
)

// MirrorMembersTx makes the differences good.
func (s *Service) MirrorMembersTx(ctx context.Context, tx *db.Tx, o *Organization, group EntityID, m MirroredMembers) error {
	g, err := s.EntityByIDTx(ctx, tx, o.Key, group)
	if err != nil {
		return err
	}
	if g, err = s.lockTx(ctx, tx, g); err != nil || g.State == Deleted {
		return err
	}
	exec := func(statement string, list []string, args func(string) []any) {
		for _, text := range list {
			if err == nil {
				_, err = tx.Exec(ctx, statement, args(text)...)
			}
		}
	}
	exec(leaveMirrored, m.Leave, func(place string) []any { return []any{g.Key, place} })
	exec(joinMirrored, m.Join, func(place string) []any { return []any{g.Key, place, o.Key} })
	exec(departByID, m.Depart, func(id string) []any { return []any{g.Key, o.Key, id} })
	exec(enterByPlace, m.Enter, func(place string) []any { return []any{g.Key, o.Key, place, Fold(g.Name)} })
	if err != nil {
		return fmt.Errorf("mirror the members of %s: %w", g.ID, err)
	}
	return nil
}

// mayLeaveTx returns Unsupported (Directory) for a membership that is the user's primary group, which no list of members holds.
func mayLeaveTx(ctx context.Context, tx *db.Tx, o *Organization, group Entry, m *Entity) error {
	g, err := resolveTx(ctx, tx, o, string(group.ID), Narrow{IDOnly: true}, findEntity.Get())
	if err != nil {
		return err
	}
	var one int
	err = tx.QueryRow(ctx, isPrimary, m.Key, g.Key).Scan(&one)
	switch {
	case err == nil:
		return fault.New(fault.Unsupported, fault.Directory,
			"group %s is the primary group of user %s in the external directory: give the user another one there", g.ID, m.ID)
	case ignoreNoRows(err) != nil:
		return fmt.Errorf("read a primary group: %w", err)
	}
	return nil
}

// OutsidersAfterTx returns up to limit living users and groups of an organisation behind the one with the number after: those
// that its external directory masters.
func (s *Service) OutsidersAfterTx(ctx context.Context, tx *db.Tx, o *Organization, after int64, limit int) ([]Entity, error) {
	return queryEntities(ctx, tx, `SELECT `+entityColumns+` FROM entity WHERE organization = $1 AND kind IN (1, 2)
		AND state IN (1, 2) AND key > $2 ORDER BY key LIMIT $3`, o.Key, after, limit)
}

// takeOverTx finishes the creation of an entity that the mirror was quicker to store, and reports whether it was.
func (s *Service) takeOverTx(ctx context.Context, tx *db.Tx, o *Organization, newID EntityID, entry NewEntry) (bool, error) {
	e, err := s.EntityByIDTx(ctx, tx, o.Key, newID)
	if err != nil || e.State == Deleted {
		if fault.Is(err, fault.NotFound, fault.Entity) {
			err = nil
		}
		return false, err
	}
	if entry.Kind == KindGroup {
		_, err = tx.Exec(ctx, updateHidden, e.Key, entry.Group.Hidden)
		return true, err
	}
	u := entry.User
	return true, updateUserTx(ctx, tx, e, UserChange{
		Role: &u.Role, Hidden: &u.Hidden, IdentityProviderUserID: &u.IdentityProviderUserID,
		DisplayName: &u.DisplayName, FirstName: &u.FirstName, LastName: &u.LastName,
	})
}

// forgetPlace ends what the mirror keeps of an entity but for its members, which SweepTx removes.
const forgetPlace = `DELETE FROM mirrored WHERE entity = $1`
