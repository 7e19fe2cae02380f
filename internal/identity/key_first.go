package identity

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// NewKeyPair returns a new access key id and secret, which nothing knows yet.
func NewKeyPair() (id, secret string) {
	return "AKIA" + base32.StdEncoding.EncodeToString(random(10)), base64.StdEncoding.EncodeToString(random(30))
}

// Import takes a key made by NewKeyPair into a database that never had one: it is how the first administrator comes in. A
// database that has had keys, revoked ones included, gives a Conflict fault.
func (k *Keys) Import(ctx context.Context, id, secret, label, policy string) error {
	if err := k.policy(policy); err != nil {
		return fmt.Errorf("the first access key's policy: %w", err)
	}
	sealed := k.seal.Seal(sealPurpose, id, []byte(secret))
	err := k.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		n, err := tx.Exec(ctx, `INSERT INTO access_key (id, label, policy, secret, created)
			SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT 1 FROM access_key)`,
			id, label, policy, sealed, k.clock.Now().UnixMicro())
		if err == nil && n == 0 {
			return fault.New(fault.Conflict, fault.Key, "the database has access keys already")
		}
		return err
	})
	if fault.KindOf(err) == fault.Conflict {
		return err
	}
	if err != nil {
		return fmt.Errorf("store the first access key: %w", err)
	}
	return nil
}

// Any reports whether the database has, or had, any access key.
func (k *Keys) Any(ctx context.Context) (bool, error) {
	keys, err := k.List(ctx, "", 1)
	return len(keys) > 0, err
}
