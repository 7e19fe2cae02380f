package transport

import (
	"context"

	"github.com/pennypost/pennypost/internal/job"
)

// FillingKind are the jobs that TellFilling does.
const FillingKind = fillingKind

// TellFilling does what such a job does.
func (t *Transport) TellFilling(ctx context.Context, j job.Job) error { return t.tellFilling(ctx, j) }
