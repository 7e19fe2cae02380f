package policy

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// Monitoring says where an organisation wants the events of its mail to be told.
type Monitoring struct {
	LogGroup string // the ARN of a log group
	Role     string // the ARN that the organisation gave; kept, and not needed here. May be empty
}

// PutMonitoringTx sets an organisation's monitoring.
func (s *Service) PutMonitoringTx(ctx context.Context, tx *db.Tx, o *directory.Organization, m Monitoring) error {
	_, err := tx.Exec(ctx, `INSERT INTO monitoring (organization, log_group, role) VALUES ($1, $2, $3)
		ON CONFLICT (organization) DO UPDATE SET log_group = excluded.log_group, role = excluded.role`, o.Key, m.LogGroup, m.Role)
	if err != nil {
		return fmt.Errorf("set the monitoring: %w", err)
	}
	return nil
}

// DeleteMonitoringTx ends an organisation's monitoring. Where there is none, nothing happens.
func (s *Service) DeleteMonitoringTx(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	if _, err := tx.Exec(ctx, `DELETE FROM monitoring WHERE organization = $1`, o.Key); err != nil {
		return fmt.Errorf("delete the monitoring: %w", err)
	}
	return nil
}

// MonitoringTx reads an organisation's monitoring. Faults: NotFound (Resource).
func (s *Service) MonitoringTx(ctx context.Context, tx *db.Tx, org int64) (m Monitoring, err error) {
	err = tx.QueryRow(ctx, `SELECT log_group, role FROM monitoring WHERE organization = $1`, org).Scan(&m.LogGroup, &m.Role)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return m, fault.New(fault.NotFound, fault.Resource, "the organization has no email monitoring configuration")
	case err != nil:
		return m, fmt.Errorf("read the monitoring: %w", err)
	}
	return m, nil
}
