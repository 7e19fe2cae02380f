package directory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// Resolver looks up TXT records. It returns an error that wraps dns.ErrNotFound when it is certain that there is none.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

const checkKind = "domain-check"

// How often a domain is checked, and how long a proof may be missing. The 72 hours are those of the real service.
const (
	checkAtFirst  = time.Minute      // in the first hour, when somebody is waiting
	checkPending  = 10 * time.Minute // until proofTime is over
	checkFailed   = 6 * time.Hour
	checkVerified = 24 * time.Hour
	proofTime     = 72 * time.Hour
)

// checkPayload names the domain that a job checks.
type checkPayload struct {
	Organization int64
	Domain       string
}

func (s *Service) scheduleCheckTx(ctx context.Context, tx *db.Tx, org int64, name string, due time.Time) error {
	return job.EnqueueTx(ctx, tx, checkKind, fmt.Sprintf("%d/%s", org, name), checkPayload{org, name}, due)
}

// Handle makes runner check domains.
func (s *Service) Handle(runner *job.Runner) {
	runner.Handle(checkKind, func(ctx context.Context, j job.Job) error {
		var p checkPayload
		if err := j.Decode(&p); err != nil {
			return err
		}
		return s.checkDomain(ctx, p.Organization, p.Domain)
	})
}

// finding is what DNS said about a proof.
type finding uint8

const (
	unknown finding = iota // DNS did not answer: nothing follows from it
	proven
	missing // DNS is certain
)

// lockDomain reads a domain and holds its row: an operator who vouches for it waits, and is not overruled by a judgement that
// was made of the row as it had been.
const lockDomain = `UPDATE domain SET token = token WHERE organization = $1 AND name = $2 RETURNING ` + domainColumns

// checkDomain looks for the proof of a domain and schedules the next look.
func (s *Service) checkDomain(ctx context.Context, org int64, name string) error {
	d, err := s.domainToCheck(ctx, org, name)
	if err != nil || d == nil {
		return err
	}
	found := s.lookForProof(ctx, d)
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		now, err := scanDomain(tx.QueryRow(ctx, lockDomain, org, name))
		if err != nil || now.token != d.token || now.vouched {
			return ignoreNoRows(err) // deregistered or vouched for since
		}
		if err := s.judgeTx(ctx, tx, now, found); err != nil {
			return err
		}
		return s.scheduleCheckTx(ctx, tx, org, name, s.clock.Now().Add(s.nextCheck(now)))
	})
}

// domainToCheck returns nil when there is nothing to check any more.
func (s *Service) domainToCheck(ctx context.Context, org int64, name string) (d *domainRow, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.OrganizationByKeyTx(ctx, tx, org)
		if err != nil || o.State == OrgDeleting || o.State == OrgDeleted {
			return err
		}
		d, err = scanDomain(tx.QueryRow(ctx, domainByName, org, name))
		if err == nil && (d.test || d.vouched) {
			d = nil
		}
		return ignoreNoRows(err)
	})
	return d, err
}

func (s *Service) lookForProof(ctx context.Context, d *domainRow) finding {
	if s.resolver == nil {
		return unknown
	}
	texts, err := s.resolver.LookupTXT(ctx, proofHost+d.name)
	switch {
	case err == nil && slices.Contains(texts, d.token):
		return proven
	case err == nil || errors.Is(err, dns.ErrNotFound):
		return missing
	}
	s.log.WarnContext(ctx, "the proof of a domain could not be looked up", "domain", d.name, "error", err)
	return unknown
}

// judgeTx draws the conclusion from a finding and leaves the domain's new status in d.
func (s *Service) judgeTx(ctx context.Context, tx *db.Tx, d *domainRow, found finding) error {
	now := s.clock.Now()
	switch {
	case found == proven && d.status == DomainVerified:
		_, err := tx.Exec(ctx, `UPDATE domain SET checked = $3, proof_seen = $3 WHERE organization = $1 AND name = $2`,
			d.organization, d.name, now.UnixMicro())
		return err
	case found == proven:
		taken, err := s.provenElsewhereTx(ctx, tx, d)
		if err != nil || taken {
			return err // the proof stays good for the day when the other one gives the domain up
		}
		if err := s.verifyTx(ctx, tx, d.organization, d.name, false); err != nil {
			return err
		}
		d.status = DomainVerified
		return s.judgedTx(ctx, tx, d)
	case found == missing && d.status == DomainVerified && now.Sub(fromMicros(d.proof)) > proofTime,
		found == missing && d.status == DomainPending && now.Sub(fromMicros(d.created)) > proofTime:
		d.status = DomainFailed
		s.log.WarnContext(ctx, "the proof of a domain is missing: its mail is refused until it is there", "domain", d.name)
		_, err := tx.Exec(ctx, `UPDATE domain SET status = 2, checked = $3 WHERE organization = $1 AND name = $2`,
			d.organization, d.name, now.UnixMicro())
		if err != nil {
			return err
		}
		return s.judgedTx(ctx, tx, d)
	case found == missing:
		_, err := tx.Exec(ctx, `UPDATE domain SET checked = $3 WHERE organization = $1 AND name = $2`,
			d.organization, d.name, now.UnixMicro())
		return err
	}
	return nil
}

func (s *Service) provenElsewhereTx(ctx context.Context, tx *db.Tx, d *domainRow) (bool, error) {
	err := s.domainIsFreeTx(ctx, tx, d.name)
	if fault.Is(err, fault.InUse, fault.Domain) {
		return true, nil
	}
	return false, err
}

// judgedTx records that DNS changed a domain's status, which nobody asked for, and tells of it after the commit.
func (s *Service) judgedTx(ctx context.Context, tx *db.Tx, d *domainRow) error {
	o, err := s.OrganizationByKeyTx(ctx, tx, d.organization)
	if err != nil {
		return err
	}
	s.organizationChanged(tx, o.ID)
	r := audit.Of(principal.TheSystem("job"), string(o.ID), "MailDomainState", d.name)
	r.Detail = d.status.String()
	return s.audit.AppendTx(ctx, tx, r)
}

func (s *Service) nextCheck(d *domainRow) time.Duration {
	switch age := s.clock.Now().Sub(fromMicros(d.created)); {
	case d.status == DomainVerified:
		return checkVerified
	case d.status == DomainFailed:
		return checkFailed
	case age < time.Hour:
		return checkAtFirst
	}
	return checkPending
}
