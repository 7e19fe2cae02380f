package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// SenderName is the local part of the address that journal reports are from. Nobody can have it (package directory).
const SenderName = "amazonjournaling"

// Settings are an organisation's journaling rules, as administrators see them.
type Settings struct {
	Enabled bool
	// Address gets the journal reports, ReportAddress the notices of those that can't be delivered. Both are set where Enabled is.
	Address, ReportAddress string
	Modified               time.Time // zero where nothing was ever set
}

// Rule is where the journal reports of an organisation go.
type Rule struct {
	To       message.Address
	Failures message.Address
	From     message.Address
}

// Options is what a Service stands on. All but NoneLeaves are required.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Clock     clock.Clock
	Root      *secret.Key // by which reports of this server are known
	// NoneLeaves says that this server sends no mail to others, and so no reports.
	NoneLeaves bool
}

// Service keeps the journaling rules of all organisations. It is safe for concurrent use.
type Service struct {
	Options
	key []byte // of the mark in reports

	mu         sync.Mutex
	rules      map[int64]*Rule // of those who journal, by organisation; nil until they are read
	generation uint64          // counts the changes
}

// New returns the service.
func New(o Options) *Service { return &Service{Options: o, key: o.Root.Derive("journal report")} }

const (
	selectSettings = `SELECT enabled, address, report_address, modified FROM journaling WHERE organization = $1`
	selectRules    = `SELECT organization, address, report_address, sender FROM journaling WHERE enabled = 1`
	upsertSettings = `INSERT INTO journaling (organization, enabled, address, report_address, sender, modified) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (organization) DO UPDATE SET enabled = excluded.enabled, address = excluded.address, report_address = excluded.report_address,
		sender = excluded.sender, modified = excluded.modified`
	deleteSettings = `DELETE FROM journaling WHERE organization = $1`
)

// SetRules sets an organisation's journaling rules anew, from the next message on. Faults: Invalid Address.
func (s *Service) SetRules(ctx context.Context, p principal.Principal, org directory.OrgID, n Settings) error {
	if err := n.check(); err != nil {
		return s.Directory.GateFirst(ctx, org, err)
	}
	return s.Directory.Change(ctx, p, org, "SetJournalingRules", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		var enabled int64
		if n.Enabled {
			enabled = 1
			if err := s.checkWayTx(ctx, tx, n.Address); err != nil {
				return "", err
			}
		}
		sender := SenderName + "@" + s.Directory.TestDomain(o.Alias)
		_, err := tx.Exec(ctx, upsertSettings, o.Key, enabled, n.Address, n.ReportAddress, sender, s.Clock.Now().UnixMicro())
		if err != nil {
			return "", fmt.Errorf("store the journaling rules of organization %s: %w", o.ID, err)
		}
		s.forgetTx(tx)
		return n.Address, nil
	})
}

// checkWayTx refuses a journaling address that no report would reach.
func (s *Service) checkWayTx(ctx context.Context, tx *db.Tx, to string) error {
	a, err := message.ParseAddress(to)
	if err != nil || !s.NoneLeaves {
		return err
	}
	here, err := s.Directory.IsLocalDomainTx(ctx, tx, message.FoldDomain(a.Domain))
	if err == nil && !here {
		err = fault.New(fault.Invalid, fault.Address, "%s is on another server; this one is set not to send mail to others (setting outbound)", to)
	}
	return err
}

func (n *Settings) check() error {
	var addresses []message.Address
	for _, text := range []string{n.Address, n.ReportAddress} {
		if text == "" && !n.Enabled {
			continue
		}
		if text == "" {
			return fault.New(fault.Invalid, fault.Address, "the journaling address and the report address are both needed")
		}
		a, err := message.ParseAddress(text)
		if err != nil || a.Domain == "" {
			return fault.New(fault.Invalid, fault.Address, "%.100q is not an address", text)
		}
		if a = a.Fold(); a.Local == SenderName {
			return fault.New(fault.Invalid, fault.Address, "journal reports come from %s: they can't go there", text)
		}
		addresses = append(addresses, a)
	}
	if len(addresses) == 2 && addresses[0] == addresses[1] {
		return fault.New(fault.Invalid, fault.Address, "the report address is told where the journaling address fails: it must be another one")
	}
	return nil
}

// Rules returns an organisation's journaling rules.
func (s *Service) Rules(ctx context.Context, p principal.Principal, org directory.OrgID) (n Settings, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		n = Settings{}
		var enabled, modified int64
		err := tx.QueryRow(ctx, selectSettings, o.Key).Scan(&enabled, &n.Address, &n.ReportAddress, &modified)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		n.Enabled, n.Modified = enabled != 0, time.UnixMicro(modified).UTC()
		return err
	})
	return n, err
}

// Rule returns where an organisation's journal reports go, nil where it does not journal. It costs no query but the first after a change of
// anybody's, and must not be called in a transaction.
func (s *Service) Rule(ctx context.Context, org int64) (*Rule, error) {
	s.mu.Lock()
	rules, generation := s.rules, s.generation
	s.mu.Unlock()
	if rules != nil {
		return rules[org], nil
	}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		rules, err = rulesTx(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read journaling rules: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation == generation { // what was read before a change is not kept
		s.rules = rules
	}
	return rules[org], nil
}

func rulesTx(ctx context.Context, tx *db.Tx) (map[int64]*Rule, error) {
	rules := map[int64]*Rule{}
	err := tx.Each(ctx, func(row db.Row) error {
		var org int64
		var to, failures, from string
		if err := row.Scan(&org, &to, &failures, &from); err != nil {
			return err
		}
		r, errs := &Rule{}, [3]error{}
		r.To, errs[0] = message.ParseAddress(to)
		r.Failures, errs[1] = message.ParseAddress(failures)
		r.From, errs[2] = message.ParseAddress(from)
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("of organization %d: %w", org, err)
		}
		rules[org] = r
		return nil
	}, selectRules)
	return rules, err
}

// forgetTx has the rules read anew once the transaction is durable.
func (s *Service) forgetTx(tx *db.Tx) {
	tx.OnCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rules = nil
		s.generation++
	})
}

// EraseTx removes the rules of an organisation that is being deleted, and returns how many rows that were.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, _ int) (int, error) {
	n, err := tx.Exec(ctx, deleteSettings, o.Key)
	if err != nil {
		return 0, fmt.Errorf("erase the journaling rules of organization %s: %w", o.ID, err)
	}
	if n > 0 {
		s.forgetTx(tx)
	}
	return int(n), nil
}
