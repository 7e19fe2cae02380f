package certificate

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/secret"
)

// What is sealed, and for what.
const (
	keyPurpose     = "certificate key"
	accountPurpose = "ACME account key"
)

// store is where certificates and accounts are kept.
type store struct {
	db   *db.DB
	root *secret.Key
}

// State is what is known of a name.
type State struct {
	Name      string
	Directory string    // of the CA that issued its certificate; empty while it has none
	Issued    time.Time // zero while it has none, as NotAfter
	NotAfter  time.Time
}

// Standing says what is to become of a name.
type Standing string

const (
	Wanted    Standing = "wanted"    // it is to have a certificate
	Elsewhere Standing = "elsewhere" // it would, if it led here
	Unwanted  Standing = "unwanted"  // its certificate is kept until it expires
)

// row is a State with what is to be done.
type row struct {
	State
	renew, due time.Time
	attempts   int
	failed     time.Time
	trouble    string
	standing   Standing
	stored     int64 // due as it is in the store: another there is an operator's, who wants something now
}

func (r *row) has() bool { return !r.NotAfter.IsZero() }

const columns = `name, directory, issued, not_after, renew, due, attempts, failed, error, standing`

func scan(s db.Row) (*row, error) {
	var r row
	var issued, until, renew, due, failed int64
	if err := s.Scan(&r.Name, &r.Directory, &issued, &until, &renew, &due, &r.attempts, &failed, &r.trouble, &r.standing); err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	r.stored = due
	r.Issued, r.NotAfter, r.renew, r.due, r.failed = at(issued), at(until), at(renew), at(due), at(failed)
	return &r, nil
}

// at is a time of the tables, and micro the reverse.
func at(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func rowsTx(ctx context.Context, tx *db.Tx) (map[string]*row, error) {
	rows := map[string]*row{}
	err := tx.Each(ctx, func(row db.Row) error {
		r, err := scan(row)
		if err != nil {
			return err
		}
		rows[r.Name] = r
		return nil
	}, `SELECT `+columns+` FROM acme_certificate`)
	if err != nil {
		return nil, fmt.Errorf("read the certificates: %w", err)
	}
	return rows, nil
}

func (s store) rows(ctx context.Context) (rows map[string]*row, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		rows, err = rowsTx(ctx, tx)
		return err
	})
	return rows, err
}

// writeSize bounds a transaction.
const writeSize = 500

// sync adds what is wanted and not there, removes what is not wanted and of no use any more, and returns what is there then.
func (s store) sync(ctx context.Context, wanted []string, now time.Time) (map[string]*row, error) {
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	var add, gone, back, kept []string
	for _, name := range wanted {
		if rows[name] == nil {
			add = append(add, name)
			rows[name] = &row{State: State{Name: name}, standing: Wanted}
		} else if rows[name].standing == Unwanted {
			back, rows[name].standing = append(back, name), Wanted
		}
	}
	want := make(map[string]bool, len(wanted))
	for _, name := range wanted {
		want[name] = true
	}
	for name, r := range rows {
		switch {
		case want[name]:
		case !r.NotAfter.After(now):
			gone = append(gone, name)
			delete(rows, name)
		case r.standing != Unwanted:
			kept = append(kept, name)
		}
	}
	for names := range slices.Chunk(add, writeSize) {
		err = errors.Join(err, s.each(ctx, names, `INSERT INTO acme_certificate (name, directory, chain, sealed, issued, not_after, renew, due, attempts, failed, error)
			VALUES ($1, '', $2, $2, 0, 0, 0, 0, 0, 0, '') ON CONFLICT (name) DO NOTHING`, []byte{}))
	}
	for names := range slices.Chunk(gone, writeSize) {
		err = errors.Join(err, s.each(ctx, names, `DELETE FROM acme_certificate WHERE name = $1`))
	}
	for standing, list := range map[Standing][]string{Wanted: back, Unwanted: kept} {
		for names := range slices.Chunk(list, writeSize) {
			err = errors.Join(err, s.each(ctx, names, `UPDATE acme_certificate SET standing = $2 WHERE name = $1`, string(standing)))
		}
	}
	return rows, err
}

// each runs a statement for each of the names.
func (s store) each(ctx context.Context, names []string, query string, more ...any) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, name := range names {
			if _, err := tx.Exec(ctx, query, append([]any{name}, more...)...); err != nil {
				return fmt.Errorf("write the certificates: %w", err)
			}
		}
		return nil
	})
}

const scheduleSQL = `UPDATE acme_certificate SET renew = CASE WHEN due = $7 THEN $2 ELSE renew END, due = CASE WHEN due = $7 THEN $3 ELSE due END,
	attempts = $4, failed = $5, error = $6, standing = $8 WHERE name = $1`

// schedule writes what is to be done for a name.
func (s store) schedule(ctx context.Context, r *row) error {
	err := s.each(ctx, []string{r.Name}, scheduleSQL, micro(r.renew), micro(r.due), r.attempts, micro(r.failed), r.trouble, r.stored, string(r.standing))
	if err == nil {
		r.stored = micro(r.due)
	}
	return err
}

// keepSQL leaves it due where an operator wanted a certificate replaced while this one was made.
const keepSQL = `UPDATE acme_certificate SET directory = $2, chain = $3, sealed = $4, issued = $5, not_after = $6,
	renew = CASE WHEN due <> $9 AND renew = 0 AND not_after > 0 THEN renew ELSE $7 END,
	due = CASE WHEN due <> $9 AND renew = 0 AND not_after > 0 THEN due ELSE $8 END, attempts = 0, failed = 0, error = '', standing = 'wanted' WHERE name = $1`

// keep writes a certificate.
func (s store) keep(ctx context.Context, r *row, chain []byte, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	sealed := s.root.Seal(keyPurpose, r.Name, der)
	return s.each(ctx, []string{r.Name}, keepSQL, r.Directory, chain, sealed, micro(r.Issued), micro(r.NotAfter), micro(r.renew), micro(r.due), r.stored)
}

// load reads the certificate of a name.
func (s store) load(ctx context.Context, name string) (c *tls.Certificate, err error) {
	var chain, sealed []byte
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT chain, sealed FROM acme_certificate WHERE name = $1`, name).Scan(&chain, &sealed)
	})
	if err != nil {
		return nil, fmt.Errorf("read the certificate of %s: %w", name, err)
	}
	return s.open(name, chain, sealed)
}

func (s store) open(name string, chain, sealed []byte) (*tls.Certificate, error) {
	key, err := s.openKey(keyPurpose, name, sealed)
	if err != nil {
		return nil, fmt.Errorf("the key of %s: %w", name, err)
	}
	c, err := pair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("the certificate of %s: %w", name, err)
	}
	return c, nil
}

func (s store) openKey(purpose, row string, sealed []byte) (crypto.Signer, error) {
	der, err := s.root.Open(purpose, row, sealed)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("it can't sign")
	}
	return signer, nil
}

// account is one with a CA.
type account struct {
	url, email string
	key        crypto.Signer
}

// account reads the account with a CA; nil where there is none.
func (s store) account(ctx context.Context, directory string) (*account, error) {
	var a account
	var sealed []byte
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT url, email, sealed FROM acme_account WHERE directory = $1`, directory).Scan(&a.url, &a.email, &sealed)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		a.key, err = s.openKey(accountPurpose, directory, sealed)
	}
	if err != nil {
		return nil, fmt.Errorf("read the account with the CA: %w", err)
	}
	return &a, nil
}

// keepAccount writes the account with a CA.
func (s store) keepAccount(ctx context.Context, directory string, a *account, now time.Time) error {
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	return s.each(ctx, []string{directory}, `INSERT INTO acme_account (directory, url, email, sealed, created) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (directory) DO UPDATE SET url = $2, email = $3, sealed = $4`,
		a.url, a.email, s.root.Seal(accountPurpose, directory, der), micro(now))
}

// addRecord writes down a record before it is in its zone, and removeRecord forgets it.
func (s store) addRecord(ctx context.Context, r Record, now time.Time) error {
	return s.each(ctx, []string{r.Zone}, `INSERT INTO acme_record (zone, name, text, made) VALUES ($1, $2, $3, $4) ON CONFLICT (zone, name, text) DO NOTHING`,
		r.Name, r.Text, micro(now))
}

func (s store) removeRecord(ctx context.Context, r Record) error {
	return s.each(ctx, []string{r.Zone}, `DELETE FROM acme_record WHERE zone = $1 AND name = $2 AND text = $3`, r.Name, r.Text)
}

// records are the records that may be in zones, and since when.
func (s store) records(ctx context.Context) (map[Record]time.Time, error) {
	records := map[Record]time.Time{}
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var r Record
			var made int64
			if err := row.Scan(&r.Zone, &r.Name, &r.Text, &made); err != nil {
				return err
			}
			records[r] = at(made)
			return nil
		}, `SELECT zone, name, text, made FROM acme_record`)
	})
	return records, err
}
