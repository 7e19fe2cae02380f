package organization

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// domainsAtCreation is how many domains can be registered with a new organisation.
const domainsAtCreation = 5

// Request asks for an organisation.
type Request struct {
	Alias string // 1 to 62 characters, unique on the server
	// DirectoryID names an external directory; empty makes one of the server's own.
	DirectoryID string
	// Domains are registered as RegisterMailDomain does; at most five.
	Domains          []string
	KeyARN           string
	Interoperability bool
	// ClientToken makes a repetition give the same answer; empty means that every call is a new one.
	ClientToken string
}

// Create begins an organisation and returns its id at once; a job makes it Active soon. Faults: Invalid, Invalid (Token),
// Exists (Organization) for a taken alias, InUse and DirectoryDown (Directory), Limit (Organization).
func (s *Service) Create(ctx context.Context, p principal.Principal, r Request) (directory.OrgID, error) {
	if err := mayAdminister(p); err != nil {
		return "", err
	}
	if len(r.Domains) > domainsAtCreation {
		return "", fault.New(fault.Invalid, fault.Domain, "%d domains were given; at most %d can be registered at creation", len(r.Domains), domainsAtCreation)
	}
	if err := s.directory.Probe(ctx, r.DirectoryID); err != nil {
		return "", err
	}
	token := r.ClientToken
	r.ClientToken = ""
	input, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("create organization: %w", err)
	}
	var created string
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		created, err = s.directory.OnceTx(ctx, tx, directory.Once{Scope: "CreateOrganization", Token: token, Input: input},
			func() (string, error) { return s.createTx(ctx, tx, p, r) })
		return err
	})
	return directory.OrgID(created), err
}

func (s *Service) createTx(ctx context.Context, tx *db.Tx, p principal.Principal, r Request) (string, error) {
	o, err := s.directory.InsertOrganizationTx(ctx, tx, directory.NewOrganization{
		Alias: r.Alias, DirectoryID: r.DirectoryID, Account: s.account, Region: s.region, KeyARN: r.KeyARN,
		Interoperability: r.Interoperability,
	})
	if err != nil {
		return "", err
	}
	for _, name := range r.Domains {
		err := s.directory.RegisterDomainTx(ctx, tx, o, name)
		if fault.Is(err, fault.InUse, fault.Domain) { // CreateOrganization lists no MailDomainInUse
			return "", fault.New(fault.Invalid, fault.Domain, "%s", fault.As(err).Message)
		}
		if err != nil {
			return "", err
		}
	}
	if err := job.EnqueueTx(ctx, tx, createKind, string(o.ID), nil, s.clock.Now()); err != nil {
		return "", err
	}
	return string(o.ID), s.audit.AppendTx(ctx, tx, audit.Of(p, string(o.ID), "CreateOrganization", string(o.ID)))
}

func mayAdminister(p principal.Principal) error {
	if p.Kind == principal.User || p.Kind == principal.Role {
		return fault.New(fault.Denied, fault.None, "a user may not administer organizations")
	}
	return nil
}

// finishCreation takes an organisation from Requested to Creating to Active, or to Failed with the reason.
func (s *Service) finishCreation(ctx context.Context, j job.Job) error {
	id := directory.OrgID(j.Key)
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.HoldTx(ctx, tx, id)
		if err != nil {
			return err
		}
		_, err = s.directory.SetStateTx(ctx, tx, o, directory.OrgRequested, directory.OrgCreating, "")
		return err
	})
	if err != nil {
		return fmt.Errorf("begin creating organization %s: %w", id, err)
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.provisionTx(ctx, tx, id) })
	if f := fault.As(err); f != nil && f.Kind == fault.InUse {
		return s.fail(ctx, id, f)
	}
	if err != nil {
		return fmt.Errorf("create organization %s: %w", id, err)
	}
	return nil
}

// provisionTx gives an organisation what it starts with and makes it Active. A repetition changes nothing.
func (s *Service) provisionTx(ctx context.Context, tx *db.Tx, id directory.OrgID) error {
	o, err := s.directory.HoldTx(ctx, tx, id)
	if err != nil || o.State != directory.OrgCreating {
		return err
	}
	if err := s.directory.AddTestDomainTx(ctx, tx, o); err != nil {
		return err
	}
	if err := s.policy.BeginTx(ctx, tx, o); err != nil {
		return err
	}
	if _, err := s.directory.SetStateTx(ctx, tx, o, directory.OrgCreating, directory.OrgActive, ""); err != nil {
		return err
	}
	if mirrored, err := s.directory.Mirrored(o); err == nil && mirrored != nil {
		if err := s.scheduleMirrorTx(ctx, tx, o, s.clock.Now()); err != nil {
			return err
		}
	}
	return s.audit.AppendTx(ctx, tx, stateRecord(o, directory.OrgActive))
}

func (s *Service) fail(ctx context.Context, id directory.OrgID, why *fault.Error) error {
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.HoldTx(ctx, tx, id)
		if err != nil {
			return err
		}
		if _, err := s.directory.SetStateTx(ctx, tx, o, directory.OrgCreating, directory.OrgFailed, why.Message); err != nil {
			return err
		}
		return s.audit.AppendTx(ctx, tx, stateRecord(o, directory.OrgFailed))
	})
}

// stateRecord tells the audit trail of a state that the server itself brought about.
func stateRecord(o *directory.Organization, to directory.OrgState) audit.Record {
	r := audit.Of(principal.TheSystem("job"), string(o.ID), "OrganizationState", string(o.ID))
	r.Detail = string(to)
	return r
}
