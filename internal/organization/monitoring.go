package organization

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/principal"
)

// PutMonitoring has the events of an organisation's mail told to a log group. Faults: NotFound (Resource) for a log group that
// this server is not configured with.
func (s *Service) PutMonitoring(ctx context.Context, p principal.Principal, org directory.OrgID, m policy.Monitoring) error {
	return s.directory.Change(ctx, p, org, "PutEmailMonitoringConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return m.LogGroup, s.PutMonitoringTx(ctx, tx, o, m)
	})
}

// PutMonitoringTx is PutMonitoring in a transaction.
func (s *Service) PutMonitoringTx(ctx context.Context, tx *db.Tx, o *directory.Organization, m policy.Monitoring) error {
	if !s.audit.Knows(m.LogGroup) {
		return fault.New(fault.NotFound, fault.Resource, "there is no log group %s: the operator of this server has not configured it", m.LogGroup)
	}
	return s.policy.PutMonitoringTx(ctx, tx, o, m)
}

// DeleteMonitoring ends what PutMonitoring began. Where there is none, nothing happens.
func (s *Service) DeleteMonitoring(ctx context.Context, p principal.Principal, org directory.OrgID) error {
	return s.directory.Change(ctx, p, org, "DeleteEmailMonitoringConfiguration", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		return "", s.policy.DeleteMonitoringTx(ctx, tx, o)
	})
}

// Monitoring tells where the events of an organisation's mail go. Faults: NotFound (Resource) where they go nowhere.
func (s *Service) Monitoring(ctx context.Context, p principal.Principal, org directory.OrgID) (m policy.Monitoring, err error) {
	err = s.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		m, err = s.policy.MonitoringTx(ctx, tx, o.Key)
		return err
	})
	return m, err
}
