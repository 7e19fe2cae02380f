package migration

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// Config is what a Service is made of. All are required.
type Config struct {
	DB            *db.DB
	Directory     *directory.Service
	Policy        *policy.Service
	Center        *identity.Center
	Availability  *availability.Service
	Organizations *organization.Service
	Audit         *audit.Log
}

// Service takes organisations in. It is safe for concurrent use.
type Service struct {
	db            *db.DB
	directory     *directory.Service
	policy        *policy.Service
	center        *identity.Center
	availability  *availability.Service
	organizations *organization.Service
	audit         *audit.Log
}

// New returns the service.
func New(c Config) *Service {
	return &Service{
		db: c.DB, directory: c.Directory, policy: c.Policy, center: c.Center, availability: c.Availability,
		organizations: c.Organizations, audit: c.Audit,
	}
}

// BatchItems is how many items a batch should have at most, so that its transaction touches a few hundred rows.
const BatchItems = 32

// Batch asks for changes of one organisation.
type Batch struct {
	Organization string `json:"organization"`
	// Remove are items that are here and shall not be, in the order in which they go; Make those that shall be here, and be as they
	// say. What is so already stays so: a batch may be applied again.
	Remove []Item `json:"remove,omitempty"`
	Make   []Item `json:"make,omitempty"`
	// Dry tries all and changes nothing. Given are then the items that Make stands on, which are made first and not told of.
	Dry   bool   `json:"dry,omitempty"`
	Given []Item `json:"given,omitempty"`
}

// Refusal says of an item why it could not be made or removed.
type Refusal struct {
	Ref
	Action string `json:"action"` // "make" or "remove"
	Reason string `json:"reason"`
}

// step is one change of a batch.
type step struct {
	Item
	remove, given bool
}

// Apply carries out a batch: in one transaction, or where an item is refused, each item in one of its own, so that the others are
// made. Faults: NotFound, State and Exists (Organization) for an organisation that can't be changed, Denied.
func (s *Service) Apply(ctx context.Context, p principal.Principal, b Batch) ([]Refusal, error) {
	if p.Kind == principal.User || p.Kind == principal.Role {
		return nil, fault.New(fault.Denied, fault.None, "a user may not bring organizations here")
	}
	var steps []step
	for _, item := range b.Remove {
		steps = append(steps, step{Item: item, remove: true})
	}
	if b.Dry {
		for _, item := range b.Given {
			steps = append(steps, step{Item: item, given: true})
		}
	}
	for _, item := range b.Make {
		steps = append(steps, step{Item: item})
	}
	if b.Dry {
		return s.try(ctx, p, b.Organization, steps)
	}
	refusals, err := s.carryOut(ctx, p, b.Organization, steps)
	if err != nil || len(refusals) == 0 || len(steps) == 1 {
		return refusals, err
	}
	refusals = nil
	for i := range steps {
		refused, err := s.carryOut(ctx, p, b.Organization, steps[i:i+1])
		if err != nil {
			return nil, err
		}
		refusals = append(refusals, refused...)
	}
	return refusals, nil
}

// carryOut carries out all steps or, where one is refused, none; then that one is told.
func (s *Service) carryOut(ctx context.Context, p principal.Principal, org string, steps []step) (refusals []Refusal, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		refusals = nil
		var o *directory.Organization
		for _, st := range steps {
			o, err = s.stepTx(ctx, tx, p, org, o, st)
			if o != nil && fault.As(err) != nil {
				refusals = []Refusal{refusal(st, err)}
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if len(refusals) > 0 {
		return refusals, nil
	}
	return nil, err
}

// errDry undoes what a dry run did.
var errDry = errors.New("a dry run changes nothing")

// try carries out all steps as far as they go and undoes them.
func (s *Service) try(ctx context.Context, p principal.Principal, org string, steps []step) (refusals []Refusal, err error) {
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		refusals = nil
		var o *directory.Organization
		for _, st := range steps {
			var in *directory.Organization
			in, err = s.stepTx(ctx, tx, p, org, o, st)
			if fault.As(err) != nil && (in != nil || st.Kind == KindOrganization) {
				if !st.given {
					refusals = append(refusals, refusal(st, err))
				}
				if in == nil { // nothing else can be tried
					return errDry
				}
				err = nil
			}
			if err != nil {
				return err
			}
			o = in
		}
		return errDry
	})
	if errors.Is(err, errDry) {
		err = nil
	}
	return refusals, err
}

func refusal(st step, err error) Refusal {
	r := Refusal{Ref: st.Ref, Action: "make", Reason: fault.As(err).Message}
	if st.remove {
		r.Action = "remove"
	}
	return r
}

// stepTx carries out a step. It returns the organisation where there is one to be changed; a fault is that of the step then.
func (s *Service) stepTx(ctx context.Context, tx *db.Tx, p principal.Principal, org string, o *directory.Organization, st step) (*directory.Organization, error) {
	var err error
	if o == nil {
		o, err = s.holdTx(ctx, tx, org)
		if fault.Is(err, fault.NotFound, fault.Organization) && st.Kind == KindOrganization && !st.remove {
			return s.createTx(ctx, tx, p, st.Item)
		}
		if err != nil {
			return nil, err
		}
	}
	if st.remove {
		err = s.removeTx(ctx, tx, o, st.Item)
	} else {
		err = s.makeTx(ctx, tx, o, st.Item)
	}
	if err != nil {
		return o, err
	}
	return o, s.tellTx(ctx, tx, p, o, st)
}

// tellTx writes a step into the ledger and the audit trail.
func (s *Service) tellTx(ctx context.Context, tx *db.Tx, p principal.Principal, o *directory.Organization, st step) error {
	statement, operation := insertBrought, "ImportItem"
	if st.remove {
		statement, operation = deleteBrought, "ImportRemoval"
	}
	if _, err := tx.Exec(ctx, statement, o.Key, string(st.Kind), st.ID); err != nil {
		return fmt.Errorf("remember what was brought: %w", err)
	}
	return s.audit.AppendTx(ctx, tx, audit.Of(p, string(o.ID), operation, st.Ref.String()))
}

// holdTx reads an organisation that an import brought here, and lets no other writer into it.
func (s *Service) holdTx(ctx context.Context, tx *db.Tx, org string) (*directory.Organization, error) {
	o, err := s.directory.ExclusiveTx(ctx, tx, directory.OrgID(org))
	if err != nil {
		return nil, err
	}
	return o, broughtTx(ctx, tx, o)
}

// broughtTx returns an Exists (Organization) fault unless an import made the organisation.
func broughtTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	var one int
	err := tx.QueryRow(ctx, isBrought, o.Key, string(KindOrganization), string(o.ID)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.Exists, fault.Organization, "organization %s is here and was not made by an import: it is left alone", o.ID)
	}
	if err != nil {
		return fmt.Errorf("look whether organization %s was brought: %w", o.ID, err)
	}
	return nil
}

// createTx makes the organisation of an item. The rules that a new one begins with make way for those of the source: until they
// come, nobody gets in.
func (s *Service) createTx(ctx context.Context, tx *db.Tx, p principal.Principal, i Item) (*directory.Organization, error) {
	v, err := decode[Organization](i)
	if err != nil {
		return nil, err
	}
	if v.Account == "" || v.Region == "" || len(v.Account) > 64 || len(v.Region) > 64 {
		return nil, fault.New(fault.Invalid, fault.Organization, "organization %s has no account or region", i.ID)
	}
	o, err := s.organizations.BringTx(ctx, tx, p, organization.Brought{
		NewOrganization: directory.NewOrganization{
			ID: directory.OrgID(i.ID), Alias: v.Alias, Account: v.Account, Region: v.Region, OwnDirectoryID: v.DirectoryID,
		},
		Completed: at(v.Completed), MigrationAdmin: v.MigrationAdmin,
	})
	if err != nil {
		return nil, err
	}
	begun, err := s.ruleItemsTx(ctx, tx, o)
	if err != nil {
		return nil, err
	}
	for _, rule := range begun {
		if rule.Kind == KindDMARC { // a setting, which is always there
			continue
		}
		if err := s.removeTx(ctx, tx, o, rule); err != nil {
			return nil, err
		}
	}
	return o, s.tellTx(ctx, tx, p, o, step{Item: i})
}

func decode[T any](i Item) (v T, err error) {
	if err := json.Unmarshal(i.Value, &v); err != nil {
		return v, fault.New(fault.Invalid, fault.None, "%s is not understood: %v", i.Ref, err)
	}
	return v, nil
}
