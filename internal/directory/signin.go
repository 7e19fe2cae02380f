package directory

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// SignIn is what the door needs to know of a user: who it is, and whether and by which password it may come in.
type SignIn struct {
	Organization OrgID
	OrgKey       int64
	ID           EntityID
	Key          int64
	Name         string
	Email        string // the primary address, empty unless enabled
	Mailbox      int64
	// PasswordVersion changes with every new password. It is 0 for a user without one.
	PasswordVersion int64
	// ProviderUser is the identity at an identity provider that the user is linked to, empty for none.
	ProviderUser string
	// Elsewhere says that an external directory keeps the password, which may change or end there at any time: a good one must
	// not be remembered.
	Elsewhere bool

	state    State
	role     Role
	orgState OrgState
	secret   string
}

// MaySignIn reports whether the user's state allows a mailbox of its own to be opened: an enabled user whose mailbox is
// here, in an active organisation.
func (w SignIn) MaySignIn() bool {
	return w.orgState == OrgActive && w.state == Enabled && w.role == RoleUser
}

const (
	signInColumns = `SELECT o.id, o.key, o.state, e.id, e.key, e.name, e.email, e.mailbox, e.state, e.role,
		COALESCE(p.secret, ''), COALESCE(p.changed, 0), COALESCE(e.provider_user, ''), o.directory_type`
	signInTables = ` FROM entity e JOIN organization o ON o.key = e.organization LEFT JOIN password p ON p.entity = e.key`

	signInByAddress = signInColumns + ` FROM domain d
		JOIN address a ON a.organization = d.organization AND a.address_key = $1
		JOIN entity e ON e.key = a.entity JOIN organization o ON o.key = e.organization
		LEFT JOIN password p ON p.entity = e.key WHERE d.name = $2 AND d.status = 1 AND e.kind = 1`
	addressInUse     = `SELECT 1 FROM domain d JOIN address a ON a.organization = d.organization AND a.address_key = $1 WHERE d.name = $2 AND d.status = 1`
	signInByOrgName  = signInColumns + signInTables + ` WHERE e.name_key = $1 AND e.organization = $2 AND e.state <> 3 AND e.kind = 1`
	signInByBareName = signInColumns + signInTables + ` WHERE e.name_key = $1 AND e.state <> 3 AND e.state = 1 AND e.kind = 1
		AND o.state = 'Active' LIMIT 2`
	signInByID = signInColumns + signInTables + ` WHERE o.id = $1 AND e.id = $2 AND e.state <> 3 AND e.kind = 1`
)

// SignInByName finds the user whom a sign-in name means, without case: an address of the user, primary or alias, in a
// verified domain, whose international labels may be written either way; "<alias>\name" or "<alias>.<suffix>\name"; a bare name
// while exactly one enabled user of the server has it. Addresses come first, so that no name captures another's address. It
// returns a NotFound fault for any other name.
func (s *Service) SignInByName(ctx context.Context, name string) (who SignIn, err error) {
	key := Fold(name)
	if len(key) > signInNameLimit || !storable(key) {
		return SignIn{}, noSuchSignIn()
	}
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		who, err = s.signInTx(ctx, tx, key)
		return err
	})
	return who, err
}

// signInNameLimit is in bytes: the longest address, or the longest alias, suffix and name.
const signInNameLimit = 512

func (s *Service) signInTx(ctx context.Context, tx *db.Tx, key string) (SignIn, error) {
	if at := strings.LastIndexByte(key, '@'); at >= 0 {
		domain := message.FoldDomain(key[at+1:]) // addresses are kept with A-labels; people and their programs know the others
		address := key[:at+1] + domain
		who, err := scanSignIn(tx.QueryRow(ctx, signInByAddress, address, domain))
		if err == nil || fault.KindOf(err) != fault.NotFound {
			return who, err
		}
		var one int64
		err = tx.QueryRow(ctx, addressInUse, address, domain).Scan(&one)
		if err == nil {
			return SignIn{}, noSuchSignIn() // a group's or a resource's: nobody signs in by it
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return SignIn{}, fmt.Errorf("find the owner of an address: %w", err)
		}
	}
	if alias, name, ok := strings.Cut(key, `\`); ok {
		o, err := s.OrganizationByAliasTx(ctx, tx, strings.TrimSuffix(alias, "."+s.suffix))
		if fault.KindOf(err) == fault.NotFound && err != nil {
			return SignIn{}, noSuchSignIn()
		}
		if err != nil {
			return SignIn{}, err
		}
		return scanSignIn(tx.QueryRow(ctx, signInByOrgName, name, o.Key))
	}
	return bareSignInTx(ctx, tx, key)
}

func bareSignInTx(ctx context.Context, tx *db.Tx, key string) (who SignIn, err error) {
	rows, err := tx.Query(ctx, signInByBareName, key)
	if err != nil {
		return SignIn{}, fmt.Errorf("find the user of a sign-in name: %w", err)
	}
	defer rows.Close()
	found := 0
	for ; rows.Next(); found++ {
		if who, err = scanSignIn(rows); err != nil {
			return SignIn{}, err
		}
	}
	if err := rows.Err(); err != nil {
		return SignIn{}, fmt.Errorf("find the user of a sign-in name: %w", err)
	}
	if found != 1 {
		return SignIn{}, noSuchSignIn()
	}
	return who, nil
}

// SignInByID reads the same of the user with the id.
func (s *Service) SignInByID(ctx context.Context, org OrgID, id EntityID) (who SignIn, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		who, err = s.SignInByIDTx(ctx, tx, org, id)
		return err
	})
	return who, err
}

// SignInByIDTx is SignInByID in a transaction.
func (s *Service) SignInByIDTx(ctx context.Context, tx *db.Tx, org OrgID, id EntityID) (SignIn, error) {
	return scanSignIn(tx.QueryRow(ctx, signInByID, string(org), string(id)))
}

func scanSignIn(row db.Row) (w SignIn, err error) {
	var directoryType string
	err = row.Scan(&w.Organization, &w.OrgKey, &w.orgState, &w.ID, &w.Key, &w.Name, &w.Email, &w.Mailbox, &w.state, &w.role,
		&w.secret, &w.PasswordVersion, &w.ProviderUser, &directoryType)
	if errors.Is(err, sql.ErrNoRows) {
		return SignIn{}, noSuchSignIn()
	}
	if err != nil {
		return SignIn{}, fmt.Errorf("read a user for sign-in: %w", err)
	}
	w.Elsewhere = directoryType != OwnDirectoryType
	return w, nil
}

func noSuchSignIn() error {
	return fault.New(fault.NotFound, fault.Entity, "no user has this sign-in name")
}

// VerifySignIn reports whether password is who's. For the zero SignIn, of a name that nobody has, it costs the same and says
// no. It may wait its turn, and answers Temporary when too many wait. A hash made at an older cost is replaced.
func (s *Service) VerifySignIn(ctx context.Context, who SignIn, password string) (bool, error) {
	if who.ID == "" {
		return false, s.own.Waste(ctx, password)
	}
	if password == "" { // an LDAP server may take a bind without one for nobody's, and say yes (RFC 4513 section 5.1.2)
		return false, s.own.Waste(ctx, password)
	}
	o, d, err := s.organizationOf(ctx, who)
	if err != nil {
		return false, err
	}
	ok, renewed, err := d.VerifyPassword(ctx, Entry{Organization: o.ID, ID: who.ID, Kind: KindUser, Name: who.Name}, who.secret, password)
	if err != nil || !ok || renewed == "" {
		return ok, err
	}
	// The version stays: it is the same password. A change that came in between wins.
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE password SET secret = $2 WHERE entity = $1 AND secret = $3`, who.Key, renewed, who.secret)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "a password hash was not renewed", "user", who.ID, "error", err)
	}
	return true, nil
}

func (s *Service) organizationOf(ctx context.Context, who SignIn) (o *Organization, d Directory, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = s.OrganizationByKeyTx(ctx, tx, who.OrgKey)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	d, err = s.directoryOf(o)
	return o, d, err
}
