package awsapi

import (
	"context"
	"log/slog"

	"github.com/pennypost/pennypost/internal/audit"
)

// Denials returns an Options.Audit that keeps in the audit trail what the policy of a key denied. What was carried out the
// core itself records, in the transaction of the change; every other refusal changed nothing and stands in the access log.
func Denials(l *audit.Log, log *slog.Logger) func(context.Context, Record) {
	return func(ctx context.Context, r Record) {
		if r.Code != accessDenied {
			return
		}
		err := l.Record(ctx, audit.Record{
			Organization: r.Organization, Operation: r.Operation, Outcome: "denied: policy", Detail: "on " + r.Resource, Actor: r.Actor,
		})
		if err != nil {
			log.Error("a denial is missing in the audit trail", "request_id", r.RequestID, "error", err)
		}
	}
}
