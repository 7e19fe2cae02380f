package availability

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/principal"
)

// Provider is who knows when the users of a domain are free: exactly one of its members is set.
type Provider struct {
	EWS      *EWS
	Function string // the ARN of a Lambda function
}

// EWS is a server that speaks Exchange Web Services.
type EWS struct {
	Endpoint string // an https URL
	Username string // "user@domain", "DOMAIN\user"
	Password string // empty in what is listed
}

// Configuration says who is asked about the users of a domain.
type Configuration struct {
	Domain            string // in lower case
	Provider          Provider
	Created, Modified time.Time
}

const (
	columns       = `domain, endpoint, username, password, function, created, modified`
	byDomain      = `SELECT ` + columns + ` FROM availability_configuration WHERE organization = $1 AND domain = $2`
	listFrom      = `SELECT ` + columns + ` FROM availability_configuration WHERE organization = $1 AND domain > $2 ORDER BY domain LIMIT $3`
	countAll      = `SELECT COUNT(*) FROM availability_configuration WHERE organization = $1`
	insert        = `INSERT INTO availability_configuration (organization, ` + columns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)`
	update        = `UPDATE availability_configuration SET endpoint = $3, username = $4, password = $5, function = $6, modified = $7 WHERE organization = $1 AND domain = $2`
	deleteOne     = `DELETE FROM availability_configuration WHERE organization = $1 AND domain = $2`
	eraseAll      = `DELETE FROM availability_configuration WHERE organization = $1`
	sealPurpose   = "availability password"
	maxDomain     = 255
	maxEndpoint   = 256
	maxUsername   = 256
	maxPassword   = 256
	pageLimit     = 100
	tokensPurpose = "availability client tokens"
)

var domainName = lazyregexp.New(`\A[a-z0-9-]+(\.[a-z0-9-]+)+\z`)

// Create makes a configuration. The same token with the same input repeats the answer. Faults: Invalid for a bad domain or
// provider, Invalid (Token) for a token that was used for something else, Exists (Resource), Limit.
func (s *Service) Create(ctx context.Context, p principal.Principal, org directory.OrgID, domain string, provider Provider, clientToken string) error {
	domain, err := check(domain, provider)
	if err != nil {
		return s.directory.GateFirst(ctx, org, err)
	}
	r := s.row(org, domain, provider)
	once := directory.Once{Scope: "CreateAvailabilityConfiguration " + string(org), Token: clientToken, Input: s.fingerprint(domain, provider)}
	return s.directory.ChangeAlone(ctx, p, org, "CreateAvailabilityConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		_, err := s.directory.OnceTx(ctx, tx, once, func() (string, error) { return "", s.createTx(ctx, tx, o, r) })
		return domain, err
	})
}

func (s *Service) createTx(ctx context.Context, tx *db.Tx, o *directory.Organization, r row) error {
	if _, err := rowTx(ctx, tx, o.Key, r.domain); !missing(err) {
		if err != nil {
			return err
		}
		return fault.New(fault.Exists, fault.Resource, "domain %s has an availability configuration already; update or delete it", r.domain)
	}
	var n int
	if err := tx.QueryRow(ctx, countAll, o.Key).Scan(&n); err != nil {
		return fmt.Errorf("count availability configurations: %w", err)
	}
	if n >= s.limit {
		return fault.New(fault.Limit, fault.Resource, "the organization has %d availability configurations, which is the limit", n)
	}
	_, err := tx.Exec(ctx, insert, o.Key, r.domain, r.endpoint, r.username, r.password, r.function, s.clock.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("store the availability configuration of %s: %w", r.domain, err)
	}
	return nil
}

// Update gives a configuration another provider. Faults: Invalid, NotFound (Resource).
func (s *Service) Update(ctx context.Context, p principal.Principal, org directory.OrgID, domain string, provider Provider) error {
	domain, err := check(domain, provider)
	if err != nil {
		return s.directory.GateFirst(ctx, org, err)
	}
	r := s.row(org, domain, provider)
	return s.directory.Change(ctx, p, org, "UpdateAvailabilityConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		n, err := tx.Exec(ctx, update, o.Key, r.domain, r.endpoint, r.username, r.password, r.function, s.clock.Now().UnixMicro())
		if err != nil {
			return "", fmt.Errorf("store the availability configuration of %s: %w", domain, err)
		}
		if n == 0 {
			return "", unknown(domain)
		}
		return domain, nil
	})
}

// Delete removes a configuration; where there is none, nothing happens.
func (s *Service) Delete(ctx context.Context, p principal.Principal, org directory.OrgID, domain string) error {
	return s.directory.Change(ctx, p, org, "DeleteAvailabilityConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return directory.Fold(domain), s.DeleteTx(ctx, tx, o, domain)
	})
}

// DeleteTx is Delete in a transaction.
func (s *Service) DeleteTx(ctx context.Context, tx *db.Tx, o *directory.Organization, domain string) error {
	if _, err := tx.Exec(ctx, deleteOne, o.Key, directory.Fold(domain)); err != nil {
		return fmt.Errorf("delete the availability configuration of %s: %w", domain, err)
	}
	return nil
}

// noPassword says that a configuration that is brought here from elsewhere lacks the password, which is told by nobody.
const noPassword = "the password of its EWS user can't be read: make the configuration with CreateAvailabilityConfiguration"

// BringTx makes the configuration of a domain all that c says, with its dates, in a transaction that holds the organisation for
// itself. Faults: those of Create; BadConfiguration for an EWS server, unless the very one is configured already.
func (s *Service) BringTx(ctx context.Context, tx *db.Tx, o *directory.Organization, c Configuration) error {
	have, err := rowTx(ctx, tx, o.Key, directory.Fold(c.Domain))
	if err != nil && !missing(err) {
		return err
	}
	if ews := c.Provider.EWS; ews != nil {
		if have == nil || have.endpoint != ews.Endpoint || have.username != ews.Username {
			return fault.New(fault.BadConfiguration, fault.Resource, "%s", noPassword)
		}
		return nil
	}
	domain, err := check(c.Domain, c.Provider)
	if err != nil {
		return err
	}
	r := s.row(o.ID, domain, c.Provider)
	if have != nil {
		_, err = tx.Exec(ctx, update, o.Key, r.domain, r.endpoint, r.username, r.password, r.function, s.clock.Now().UnixMicro())
		if err != nil {
			err = fmt.Errorf("store the availability configuration of %s: %w", domain, err)
		}
	} else {
		err = s.createTx(ctx, tx, o, r)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE availability_configuration SET created = $3, modified = $4 WHERE organization = $1 AND domain = $2`,
		o.Key, domain, c.Created.UnixMicro(), c.Modified.UnixMicro())
	if err != nil {
		return fmt.Errorf("date the availability configuration of %s: %w", domain, err)
	}
	return nil
}

// ConfigurationsTx reads all configurations of an organisation, without passwords.
func (s *Service) ConfigurationsTx(ctx context.Context, tx *db.Tx, o *directory.Organization) (all []Configuration, err error) {
	rows, err := rowsTx(ctx, tx, listFrom, o.Key, "", int64(1)<<30)
	for i := range rows {
		all = append(all, rows[i].configuration())
	}
	return all, err
}

// List lists configurations by domain, without passwords. Fault: Invalid (Token).
func (s *Service) List(ctx context.Context, p principal.Principal, org directory.OrgID, page directory.Page) (list []Configuration, next string, err error) {
	limit := page.Limit
	if limit <= 0 || limit > pageLimit {
		limit = pageLimit
	}
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		if len(page.After) > maxDomain {
			return fault.New(fault.Invalid, fault.Token, "the page token is not one that this list gave out; begin again without a token")
		}
		rows, err := rowsTx(ctx, tx, listFrom, o.Key, page.After, limit+1)
		if err != nil {
			return err
		}
		list, next = nil, ""
		for i := range rows {
			if i == limit {
				next = rows[i-1].domain
				break
			}
			list = append(list, rows[i].configuration())
		}
		return nil
	})
	return list, next, err
}

// EraseTx removes the configurations of an organisation that is being deleted.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	if _, err := tx.Exec(ctx, eraseAll, o.Key); err != nil {
		return fmt.Errorf("erase the availability configurations of organization %s: %w", o.ID, err)
	}
	return nil
}

// check returns the domain as it is stored, or what is wrong with a configuration.
func check(domain string, provider Provider) (string, error) {
	domain = directory.Fold(domain)
	if len(domain) > maxDomain || !domainName.MatchString(domain) {
		return "", fault.New(fault.Invalid, fault.Domain, "%q is not a domain name", domain)
	}
	return domain, provider.check()
}

func (p Provider) check() error {
	if (p.EWS == nil) == (p.Function == "") {
		return fault.New(fault.Invalid, fault.Resource, "give exactly one of EwsProvider and LambdaProvider")
	}
	if p.EWS == nil {
		return nil
	}
	u, err := url.Parse(p.EWS.Endpoint)
	switch {
	case len(p.EWS.Endpoint) > maxEndpoint || err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil:
		return fault.New(fault.Invalid, fault.Resource, "the EWS endpoint must be an https URL of at most %d characters: the password is sent there", maxEndpoint)
	case p.EWS.Username == "" || len(p.EWS.Username) > 2*maxUsername || strings.Contains(p.EWS.Username, ":"):
		return fault.New(fault.Invalid, fault.Resource, "the EWS user name must have 1 to %d characters and no colon", maxUsername)
	case p.EWS.Password == "" || len(p.EWS.Password) > 2*maxPassword:
		return fault.New(fault.Invalid, fault.Resource, "the EWS password must have 1 to %d characters", maxPassword)
	}
	return nil
}

// row is a configuration as it is stored.
type row struct {
	domain, endpoint, username string
	password                   []byte // sealed; empty for a function
	function                   string
	created, modified          int64
}

func (s *Service) row(org directory.OrgID, domain string, p Provider) row {
	r := row{domain: domain, function: p.Function, password: []byte{}}
	if p.EWS != nil {
		r.endpoint, r.username = p.EWS.Endpoint, p.EWS.Username
		r.password = s.root.Seal(sealPurpose, sealedRow(org, domain), []byte(p.EWS.Password))
	}
	return r
}

func sealedRow(org directory.OrgID, domain string) string { return string(org) + "/" + domain }

func (r *row) configuration() Configuration {
	c := Configuration{Domain: r.domain, Created: time.UnixMicro(r.created).UTC(), Modified: time.UnixMicro(r.modified).UTC()}
	if c.Provider.Function = r.function; r.function == "" {
		c.Provider.EWS = &EWS{Endpoint: r.endpoint, Username: r.username}
	}
	return c
}

// provider is the stored one with its password.
func (s *Service) provider(org directory.OrgID, r *row) (Provider, error) {
	p := r.configuration().Provider
	if p.EWS == nil {
		return p, nil
	}
	plain, err := s.root.Open(sealPurpose, sealedRow(org, r.domain), r.password)
	if err != nil {
		return Provider{}, fmt.Errorf("availability configuration of %s in %s: %w", r.domain, org, err)
	}
	p.EWS.Password = string(plain)
	return p, nil
}

// fingerprint stands for a request in the memory of client tokens. It is keyed, so that it can't be used to guess the password.
func (s *Service) fingerprint(domain string, p Provider) []byte {
	h := hmac.New(sha256.New, s.root.Derive(tokensPurpose))
	parts := []string{domain, p.Function}
	if p.EWS != nil {
		parts = append(parts, p.EWS.Endpoint, p.EWS.Username, p.EWS.Password)
	}
	for _, part := range parts {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part))
	}
	return h.Sum(nil)
}

func rowTx(ctx context.Context, tx *db.Tx, org int64, domain string) (*row, error) {
	r, err := scan(tx.QueryRow(ctx, byDomain, org, domain))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, unknown(domain)
	}
	if err != nil {
		return nil, fmt.Errorf("read the availability configuration of %s: %w", domain, err)
	}
	return r, nil
}

func rowsTx(ctx context.Context, tx *db.Tx, query string, args ...any) ([]row, error) {
	var all []row
	err := tx.Each(ctx, func(row db.Row) error {
		r, err := scan(row)
		if err != nil {
			return err
		}
		all = append(all, *r)
		return nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list availability configurations: %w", err)
	}
	return all, nil
}

func scan(from db.Row) (*row, error) {
	var r row
	err := from.Scan(&r.domain, &r.endpoint, &r.username, &r.password, &r.function, &r.created, &r.modified)
	return &r, err
}

func unknown(domain string) error {
	return fault.New(fault.NotFound, fault.Resource, "domain %s has no availability configuration", domain)
}

func missing(err error) bool { return fault.Is(err, fault.NotFound, fault.Resource) }
