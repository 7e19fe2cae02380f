package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// Report is what an operator is told of a name.
type Report struct {
	Name      string    `json:"name"`
	Directory string    `json:"directory"` // of the CA that issued the certificate; empty while there is none
	NotAfter  time.Time `json:"not_after"` // zero while there is none
	Renew     time.Time `json:"renew"`     // when it is to be replaced
	Next      time.Time `json:"next"`      // when something is done for it
	Attempts  int       `json:"attempts"`  // failures since the last success
	Failed    time.Time `json:"failed"`    // the last of them; zero where there is none
	Error     string    `json:"error"`
	Standing  Standing  `json:"standing"`
}

// Faulty reports whether a name that is to have a certificate has none, or the last attempt failed.
func (r *Report) Faulty() bool {
	return r.Standing == Wanted && (r.NotAfter.IsZero() || r.Attempts > 0)
}

// Report tells of every name, in order.
func (m *Manager) Report(ctx context.Context) ([]Report, error) {
	rows, err := m.store.rows(ctx)
	if err != nil {
		return nil, err
	}
	reports := make([]Report, 0, len(rows))
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		r := rows[name]
		reports = append(reports, Report{r.Name, r.Directory, r.NotAfter, r.renew, r.due, r.attempts, r.failed, r.trouble, r.standing})
	}
	return reports, nil
}

// Retry makes due now what waits after a failure: for one name, or for all where it is empty. With replace it has certificates replaced that are
// good, by some with another key. It returns how many names that was of. Faults: NotFound (Resource) for a name that is to have no
// certificate, State (Resource) where no CA is asked.
func (m *Manager) Retry(ctx context.Context, name string, replace bool) (int, error) {
	if m.Authority == nil {
		return 0, fault.New(fault.State, fault.Resource, "nothing is ordered from a CA: setting acme")
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	var n int64
	err := m.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, `UPDATE acme_certificate SET due = 0, attempts = 0, renew = CASE WHEN $2 THEN 0 ELSE renew END
			WHERE (name = $1 OR $1 = '') AND ($2 OR attempts > 0 OR not_after = 0)`, name, replace)
		if err == nil && n == 0 && name != "" {
			var known int
			if err = tx.QueryRow(ctx, `SELECT COUNT(*) FROM acme_certificate WHERE name = $1`, name).Scan(&known); err == nil && known == 0 {
				err = fault.New(fault.NotFound, fault.Resource, "there is no certificate for %s to be had: settings acme and acme_domains", name)
			}
		}
		tx.OnCommit(m.poke)
		return err
	})
	return int(n), err
}

// Check looks for keys that can't be opened and certificates that are not of them, and returns a line per find.
func (m *Manager) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var name string
		var chain, sealed []byte
		if err := row.Scan(&name, &chain, &sealed); err != nil {
			return err
		}
		if _, err := m.store.open(name, chain, sealed); err != nil {
			faults = append(faults, "certificates: "+err.Error())
		}
		return nil
	}, `SELECT name, chain, sealed FROM acme_certificate WHERE not_after > 0 ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	err = tx.Each(ctx, func(row db.Row) error {
		var directory string
		var sealed []byte
		if err := row.Scan(&directory, &sealed); err != nil {
			return err
		}
		if _, err := m.store.openKey(accountPurpose, directory, sealed); err != nil {
			faults = append(faults, fmt.Sprintf("certificates: the key of the account with %s: %v", directory, err))
		}
		return nil
	}, `SELECT directory, sealed FROM acme_account ORDER BY directory`)
	if err != nil {
		return nil, fmt.Errorf("read the accounts with CAs: %w", err)
	}
	return faults, nil
}

// Challenge returns the settings for a handshake in which the CA looks whether a name is ours; nil for any other.
func (m *Manager) Challenge(hello *tls.ClientHelloInfo) *tls.Config {
	if a, ok := m.Authority.(*ACME); ok {
		return a.Handshake(hello)
	}
	return nil
}
