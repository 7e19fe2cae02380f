package signing

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/dkim"
)

// Algorithm is what a key is of. The numbers are stored.
type Algorithm uint8

// The algorithms.
const (
	RSA     Algorithm = 1 // of 2,048 bits
	Ed25519 Algorithm = 2 // RFC 8463
)

// String is the algorithm as k= of a record has it.
func (a Algorithm) String() string {
	if a == Ed25519 {
		return "ed25519"
	}
	return "rsa"
}

// Role is what a key is there for. The numbers are stored.
type Role uint8

// The roles.
const (
	Current Role = 1 // it signs
	Next    Role = 2 // it will, once it is in DNS and the current one has served its time
	Old     Role = 3 // it has signed what may still be read
)

// String is a word for people.
func (r Role) String() string {
	return map[Role]string{Current: "current", Next: "next", Old: "old"}[r]
}

// Key is the public side of a key.
type Key struct {
	Algorithm Algorithm
	Role      Role
	Selector  string
	// Name is where its record is, and Value what that should say: TXT, longer than the 255 bytes of one string for RSA.
	Name, Value string
	Created     time.Time
	// Since is when it took its role.
	Since time.Time
	// Seen is when it was last found in DNS; zero where it was not at the last look.
	Seen time.Time
}

// State is what is known of a domain's keys.
type State struct {
	// Status is DomainVerified while DNS has the current RSA key, and for 72 hours without; DomainFailed where it was waited for so long.
	Status directory.DomainStatus
	// Checked is when DNS last answered; zero where it never did.
	Checked time.Time
	// Keys are all that should be published, by algorithm and role. They may be on their way: see Ensure.
	Keys []Key
}

// StateTx returns the state of a domain's keys; nil where the domain is none that has keys, as test domains.
func (s *Service) StateTx(ctx context.Context, tx *db.Tx, org int64, domain string) (*State, error) {
	domain = message.FoldDomain(domain)
	d, err := scanDomain(tx.QueryRow(ctx, domainByName, org, domain))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the DKIM state of %s: %w", domain, err)
	}
	keys, err := keysTx(ctx, tx, org, domain)
	if err != nil {
		return nil, err
	}
	return &State{Status: d.status, Checked: d.checked, Keys: keys}, nil
}

// State is StateTx in a transaction of its own.
func (s *Service) State(ctx context.Context, org int64, domain string) (state *State, err error) {
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		state, err = s.StateTx(ctx, tx, org, domain)
		return err
	})
	return state, err
}

// In reports whether one of the TXT records of k.Name holds the key.
func (k *Key) In(records []string) bool {
	mine, err := dkim.ParseRecord(k.Value)
	key, ok := mine.Key.(interface{ Equal(crypto.PublicKey) bool })
	return err == nil && ok && slices.ContainsFunc(records, func(record string) bool {
		r, err := dkim.ParseRecord(record)
		return err == nil && key.Equal(r.Key) && (r.Hashes == nil || slices.Contains(r.Hashes, "sha256")) &&
			(r.Services == nil || slices.Contains(r.Services, "*") || slices.Contains(r.Services, "email"))
	})
}

// domainRow is the row of a domain that has keys.
type domainRow struct {
	status               directory.DomainStatus
	begun, checked, seen time.Time
}

const (
	domainColumns = `status, begun, checked, seen`
	domainByName  = `SELECT ` + domainColumns + ` FROM dkim_domain WHERE organization = $1 AND domain = $2`
	// lockDomain holds the row, which whoever changes keys must have. The first who looks sets when it was begun.
	lockDomain = `UPDATE dkim_domain SET begun = CASE WHEN begun = 0 THEN $3 ELSE begun END WHERE organization = $1 AND domain = $2
		RETURNING ` + domainColumns
	updateDomain = `UPDATE dkim_domain SET status = $3, begun = $4, checked = $5, seen = $6 WHERE organization = $1 AND domain = $2`

	keyColumns = `algorithm, role, selector, public, created, since, seen`
	keysOf     = `SELECT ` + keyColumns + ` FROM dkim_key WHERE organization = $1 AND domain = $2 ORDER BY algorithm, role`
)

func scanDomain(row db.Row) (*domainRow, error) {
	var d domainRow
	var begun, checked, seen int64
	if err := row.Scan(&d.status, &begun, &checked, &seen); err != nil {
		return nil, err
	}
	d.begun, d.checked, d.seen = fromMicros(begun), fromMicros(checked), fromMicros(seen)
	return &d, nil
}

// lockTx holds the row of a domain and returns it; nil where there is none.
func (s *Service) lockTx(ctx context.Context, tx *db.Tx, org int64, domain string) (*domainRow, error) {
	d, err := scanDomain(tx.QueryRow(ctx, lockDomain, org, domain, s.Clock.Now().UnixMicro()))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock the DKIM keys of %s: %w", domain, err)
	}
	return d, nil
}

// keysTx reads the keys of a domain by algorithm and role.
func keysTx(ctx context.Context, tx *db.Tx, org int64, domain string) (keys []Key, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var k Key
		var public string
		var created, since, seen int64
		if err := row.Scan(&k.Algorithm, &k.Role, &k.Selector, &public, &created, &since, &seen); err != nil {
			return err
		}
		k.Created, k.Since, k.Seen = fromMicros(created), fromMicros(since), fromMicros(seen)
		k.Name, k.Value = k.Selector+"._domainkey."+domain, "v=DKIM1; k="+k.Algorithm.String()+"; p="+public
		keys = append(keys, k)
		return nil
	}, keysOf, org, domain)
	if err != nil {
		return nil, fmt.Errorf("read the DKIM keys of %s: %w", domain, err)
	}
	return keys, nil
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
