package identity

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// AccessKey is an administrator's access key, without its secret.
type AccessKey struct {
	ID      string // "AKIA" and 16 characters of base 32, the shape of an AWS access key id
	Label   string // what the operator calls it, at most 128 characters
	Policy  string // the IAM-style policy document, or the name of a managed policy, as it was given
	Created time.Time
	Revoked time.Time // zero while the key is good
}

// Credential is what the verification of a signature needs of a good key.
type Credential struct {
	AccessKey
	Secret string
}

// Keys holds the access keys of administrators. The secrets are sealed under the root key: the database alone reveals none.
type Keys struct {
	db     *db.DB
	audit  *audit.Log
	seal   *secret.Key
	feed   *feed.Feed
	clock  clock.Clock
	policy func(document string) error // refuses a policy that is not implemented
	good   *goodKeys
}

const (
	sealPurpose    = "access key"
	keyTopic       = "key" // of the feed: a key was revoked
	maxLabel       = 128
	maxPolicyBytes = 20 << 10
)

// NewKeys returns the access keys kept in d. checkPolicy says whether a policy document or name is one that the server
// enforces; a key is never created with another. The database must belong to the root key: BindRoot is called first.
func NewKeys(d *db.DB, a *audit.Log, root *secret.Key, f *feed.Feed, c clock.Clock, checkPolicy func(document string) error) *Keys {
	k := &Keys{db: d, audit: a, seal: root, feed: f, clock: c, policy: checkPolicy, good: newGoodKeys(c)}
	f.Watch(keyTopic, k.good.forget)
	return k
}

// RootID returns the id of the root key that this database's secrets are sealed under, empty for a database without any.
func RootID(ctx context.Context, d *db.DB) (string, error) {
	var keyID string
	err := d.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		err := tx.QueryRow(ctx, `SELECT key_id FROM sealed_under WHERE one = 1`).Scan(&keyID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("read which secret key the database belongs to: %w", err)
	}
	return keyID, nil
}

// BindRoot records that the database's secrets are sealed under root, or refuses a root key that is not the recorded one:
// it could open nothing.
func BindRoot(ctx context.Context, d *db.DB, root *secret.Key) error {
	bound, err := RootID(ctx, d)
	if err == nil && bound == "" {
		err = d.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			return tx.QueryRow(ctx, `INSERT INTO sealed_under (one, key_id) VALUES (1, $1)
				ON CONFLICT (one) DO UPDATE SET key_id = sealed_under.key_id RETURNING key_id`, root.ID()).Scan(&bound)
		})
	}
	if err != nil {
		return fmt.Errorf("record which secret key the database belongs to: %w", err)
	}
	if bound != root.ID() {
		return fmt.Errorf("the secret key file holds key %s, but the database's secrets are sealed under key %s: "+
			"give the right file with secret_key_file", root.ID(), bound)
	}
	return nil
}

// Create makes a key with a policy (a JSON document or a managed policy's name) and returns its secret, which can't be had
// again.
func (k *Keys) Create(ctx context.Context, p principal.Principal, label, policy string) (Credential, error) {
	if n := utf8.RuneCountInString(label); n > maxLabel || !utf8.ValidString(label) {
		return Credential{}, fault.New(fault.Invalid, fault.Key, "the label has %d characters: at most %d of UTF-8 are allowed", n, maxLabel)
	}
	if len(policy) > maxPolicyBytes {
		return Credential{}, fault.New(fault.Invalid, fault.Key, "the policy has %d bytes: at most %d are allowed", len(policy), maxPolicyBytes)
	}
	if err := k.policy(policy); err != nil {
		return Credential{}, fault.Wrap(err, fault.Invalid, fault.Key, "the policy can't be enforced")
	}
	c := Credential{AccessKey: AccessKey{Label: label, Policy: policy, Created: k.clock.Now()}}
	c.ID, c.Secret = NewKeyPair()
	sealed := k.seal.Seal(sealPurpose, c.ID, []byte(c.Secret))
	err := k.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO access_key (id, label, policy, secret, created) VALUES ($1, $2, $3, $4, $5)`,
			c.ID, c.Label, c.Policy, sealed, c.Created.UnixMicro())
		if err != nil {
			return err
		}
		return k.audit.AppendTx(ctx, tx, audit.Of(p, "", "CreateAccessKey", c.ID))
	})
	if err != nil {
		return Credential{}, fmt.Errorf("store access key %s: %w", c.ID, err)
	}
	return c, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // documented never to fail
	return b
}

// Lookup returns the good key with the id and its secret, or a NotFound fault: an unknown key and a revoked one are the same
// to the caller. A revoked key is refused as soon as Revoke returns. Good keys are remembered in memory (goodKeys says why that
// is safe).
func (k *Keys) Lookup(ctx context.Context, id string) (Credential, error) {
	c, changes, ok := k.good.get(id)
	if ok {
		return c, nil
	}
	c, err := k.read(ctx, id)
	if err == nil {
		k.good.add(c, changes)
	}
	return c, err
}

func (k *Keys) read(ctx context.Context, id string) (Credential, error) {
	c := Credential{AccessKey: AccessKey{ID: id}}
	var sealed []byte
	var created int64
	err := k.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT label, policy, secret, created FROM access_key WHERE id = $1 AND revoked IS NULL`, id).
			Scan(&c.Label, &c.Policy, &sealed, &created)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Credential{}, fault.New(fault.NotFound, fault.Key, "there is no access key %q", id)
	}
	if err != nil {
		return Credential{}, fmt.Errorf("look up access key %s: %w", id, err)
	}
	plain, err := k.seal.Open(sealPurpose, id, sealed)
	if err != nil {
		return Credential{}, fmt.Errorf("access key %s: %w", id, err)
	}
	c.Secret, c.Created = string(plain), time.UnixMicro(created).UTC()
	return c, nil
}

// List returns up to limit keys, revoked ones included, in the order of their ids, from the one behind after.
func (k *Keys) List(ctx context.Context, after string, limit int) ([]AccessKey, error) {
	var keys []AccessKey
	err := k.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var key AccessKey
			var created, revoked int64
			if err := row.Scan(&key.ID, &key.Label, &key.Policy, &created, &revoked); err != nil {
				return err
			}
			key.Created = time.UnixMicro(created).UTC()
			if revoked != 0 {
				key.Revoked = time.UnixMicro(revoked).UTC()
			}
			keys = append(keys, key)
			return nil
		}, `SELECT id, label, policy, created, COALESCE(revoked, 0) FROM access_key WHERE id > $1 ORDER BY id LIMIT $2`,
			after, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("list access keys: %w", err)
	}
	return keys, nil
}

// Revoke ends a key for good. Revoking a revoked key changes nothing; an unknown one is a NotFound fault.
func (k *Keys) Revoke(ctx context.Context, p principal.Principal, id string) error {
	err := k.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE access_key SET revoked = COALESCE(revoked, $2) WHERE id = $1`, id, k.clock.Now().UnixMicro())
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.NotFound, fault.Key, "there is no access key %q: see pennypost key list", id)
		}
		tx.OnCommit(func() { k.feed.Publish(feed.Topic{Kind: keyTopic, Key: id}) })
		return k.audit.AppendTx(ctx, tx, audit.Of(p, "", "RevokeAccessKey", id))
	})
	if err != nil {
		k.good.forget(id) // a commit whose answer was lost announces nothing
		return fmt.Errorf("revoke access key: %w", err)
	}
	return nil
}
