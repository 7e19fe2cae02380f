package flow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
)

// Gateway is a server that takes an organisation's mail for anybody. It is always reached under TLS 1.2 or newer, with a certificate for
// its name from a public authority: from the first byte at port 465, by STARTTLS at others.
type Gateway struct {
	Name string // unique in its organisation, without case
	Host string // a domain name or an IP address
	Port uint16
	// Username and Password sign in; empty ones don't. What is listed has no password.
	Username, Password string
	Created, Modified  time.Time
	// Revision is another one after each change.
	Revision int64
}

const (
	maxGateways    = 100 // of an organisation
	maxCredential  = 256 // bytes of a user name or a password
	gatewayPurpose = "smtp gateway password"

	gatewayColumns = `name, host, port, username, password, revision, created, modified`

	selectGateway  = `SELECT ` + gatewayColumns + ` FROM flow_gateway WHERE organization = $1 AND name_key = $2`
	selectGateways = `SELECT ` + gatewayColumns + ` FROM flow_gateway WHERE organization = $1 AND name_key > $2 ORDER BY name_key LIMIT $3`
	countGateways  = `SELECT COUNT(*) FROM flow_gateway WHERE organization = $1`

	insertGateway = `INSERT INTO flow_gateway (organization, name_key, ` + gatewayColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)`

	updateGateway = `UPDATE flow_gateway SET name = $3, host = $4, port = $5, username = $6, password = $7, revision = $8, modified = $9
		WHERE organization = $1 AND name_key = $2`

	deleteGateway = `DELETE FROM flow_gateway WHERE organization = $1 AND name_key = $2`
	selectUser    = `SELECT name FROM flow_rule WHERE organization = $1 AND gateway_key = $2 ORDER BY direction, name_key LIMIT 1`
)

func (g Gateway) check() (_ Gateway, err error) {
	if g.Name, err = checkName(g.Name); err != nil {
		return g, err
	}
	g.Host = strings.TrimSpace(g.Host)
	if a, err := netip.ParseAddr(g.Host); err != nil || a.Zone() != "" {
		if g.Host = message.FoldDomain(g.Host); !isDomain(g.Host) {
			return g, invalid("the host of a gateway is a domain name or an IP address")
		}
	}
	switch {
	case g.Port == 0:
		return g, invalid("the port of a gateway is 1 to 65535")
	case (g.Username == "") != (g.Password == ""):
		return g, invalid("a user name and a password come together")
	case len(g.Username) > maxCredential, len(g.Password) > maxCredential, strings.ContainsRune(g.Username+g.Password, 0):
		return g, invalid("a user name and a password have at most %d bytes, and no NUL", maxCredential)
	}
	return g, nil
}

// CreateGateway makes a gateway. Faults: Invalid, Exists Resource, Limit.
func (s *Service) CreateGateway(ctx context.Context, p principal.Principal, org directory.OrgID, g Gateway) error {
	return s.changeGateway(ctx, p, org, "CreateSmtpGateway", g, insertGateway, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		if _, err := gatewayTx(ctx, tx, o.Key, g.Name); !fault.Is(err, fault.NotFound, fault.Resource) {
			if err != nil {
				return err
			}
			return fault.New(fault.Exists, fault.Resource, "there is an SMTP gateway %q already", strings.TrimSpace(g.Name))
		}
		var n int64
		if err := tx.QueryRow(ctx, countGateways, o.Key).Scan(&n); err != nil {
			return fmt.Errorf("count SMTP gateways: %w", err)
		}
		if n >= maxGateways {
			return fault.New(fault.Limit, fault.Resource, "an organization can have %d SMTP gateways", maxGateways)
		}
		return nil
	})
}

// UpdateGateway makes the gateway of that name what g says: also for messages that wait for it. Faults: Invalid, NotFound Resource.
func (s *Service) UpdateGateway(ctx context.Context, p principal.Principal, org directory.OrgID, g Gateway) error {
	return s.changeGateway(ctx, p, org, "UpdateSmtpGateway", g, updateGateway, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		_, err := gatewayTx(ctx, tx, o.Key, g.Name)
		return err
	})
}

func (s *Service) changeGateway(ctx context.Context, p principal.Principal, org directory.OrgID, operation string, g Gateway, statement string,
	may func(context.Context, *db.Tx, *directory.Organization) error,
) error {
	g, err := g.check()
	if err != nil {
		return s.Directory.GateFirst(ctx, org, err)
	}
	return s.Directory.ChangeAlone(ctx, p, org, operation, func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if err := may(ctx, tx, o); err != nil {
			return "", err
		}
		sealed := s.Root.Seal(gatewayPurpose, gatewayRow(o.Key, g.Name), []byte(g.Password))
		_, err := tx.Exec(ctx, statement, o.Key, directory.Fold(g.Name), g.Name, g.Host, int64(g.Port), g.Username, sealed, id.Key(), s.Clock.Now().UnixMicro())
		if err != nil {
			return "", fmt.Errorf("store the SMTP gateway %q: %w", g.Name, err)
		}
		s.forgetTx(tx, o.Key) // rules have its name
		return g.Name, nil
	})
}

// gatewayRow is what a password is bound to.
func gatewayRow(org int64, name string) string {
	return strconv.FormatInt(org, 10) + "/" + directory.Fold(name)
}

// DeleteGateway removes a gateway; where there is none, nothing happens. Messages that wait for it wait until they expire, or it is made
// again. Faults: State Resource (a rule names it).
func (s *Service) DeleteGateway(ctx context.Context, p principal.Principal, org directory.OrgID, name string) error {
	return s.Directory.ChangeAlone(ctx, p, org, "DeleteSmtpGateway", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		var rule string
		switch err := tx.QueryRow(ctx, selectUser, o.Key, nameKey(name)).Scan(&rule); {
		case err == nil:
			return "", fault.New(fault.State, fault.Resource, "the rule %q sends mail through the SMTP gateway %q; change or delete the rule first", rule, strings.TrimSpace(name))
		case !errors.Is(err, sql.ErrNoRows):
			return "", fmt.Errorf("look for rules with an SMTP gateway: %w", err)
		}
		_, err := tx.Exec(ctx, deleteGateway, o.Key, nameKey(name))
		return strings.TrimSpace(name), err
	})
}

// DescribeGateway returns a gateway without its password. Faults: NotFound Resource.
func (s *Service) DescribeGateway(ctx context.Context, p principal.Principal, org directory.OrgID, name string) (g *Gateway, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		r, err := gatewayTx(ctx, tx, o.Key, name)
		if err == nil {
			g = &r.Gateway
		}
		return err
	})
	return g, err
}

// ListGateways lists gateways by name, without their passwords. Fault: Invalid (Token).
func (s *Service) ListGateways(ctx context.Context, p principal.Principal, org directory.OrgID, page directory.Page) (list []Gateway, next string, err error) {
	limit := limitOf(page)
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		list, next = nil, ""
		rows, err := tx.Query(ctx, selectGateways, o.Key, page.After, limit+1)
		if err != nil {
			return fmt.Errorf("list SMTP gateways: %w", err)
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanGateway(rows)
			if err != nil {
				return fmt.Errorf("list SMTP gateways: %w", err)
			}
			list = append(list, r.Gateway)
		}
		if len(list) > limit {
			list, next = list[:limit], directory.Fold(list[limit-1].Name)
		}
		return rows.Err()
	})
	return list, next, err
}

// routePrefix begins the routes of queued messages that go through an organisation's gateway. The operator's gateways, which the
// configuration names, have no slash in their names.
const routePrefix = "org/"

// RouteOf is the route (queue.Recipient) of an organisation's gateway.
func RouteOf(org int64, gateway string) string {
	return routePrefix + strconv.FormatInt(org, 10) + "/" + directory.Fold(gateway)
}

// Gateway returns the gateway of a route, with its password. Faults: NotFound Resource, for a route of no organisation too.
func (s *Service) Gateway(ctx context.Context, route string) (*Gateway, error) {
	rest, ours := strings.CutPrefix(route, routePrefix)
	number, name, _ := strings.Cut(rest, "/")
	org, err := strconv.ParseInt(number, 10, 64)
	if !ours || err != nil {
		return nil, noGateway(route)
	}
	var r *gatewayRecord
	err = s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		r, err = gatewayTx(ctx, tx, org, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	plain, err := s.Root.Open(gatewayPurpose, gatewayRow(org, r.Name), r.sealed)
	if err != nil {
		return nil, fmt.Errorf("the password of SMTP gateway %q of organization %d: %w", r.Name, org, err)
	}
	r.Password = string(plain)
	return &r.Gateway, nil
}

// gatewayRecord is a gateway as it is kept.
type gatewayRecord struct {
	Gateway
	sealed []byte
}

func gatewayTx(ctx context.Context, tx *db.Tx, org int64, name string) (*gatewayRecord, error) {
	r, err := scanGateway(tx.QueryRow(ctx, selectGateway, org, nameKey(name)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noGateway(strings.TrimSpace(name))
	}
	if err != nil {
		return nil, fmt.Errorf("read the SMTP gateway %q: %w", name, err)
	}
	return r, nil
}

func noGateway(name string) error {
	return fault.New(fault.NotFound, fault.Resource, "there is no SMTP gateway %q", name)
}

func scanGateway(from db.Row) (*gatewayRecord, error) {
	var r gatewayRecord
	var port, created, modified int64
	err := from.Scan(&r.Name, &r.Host, &port, &r.Username, &r.sealed, &r.Revision, &created, &modified)
	r.Port, r.Created, r.Modified = uint16(port), time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return &r, err
}
