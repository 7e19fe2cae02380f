package policy

import (
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/directory"
)

// Service is the policy of all organisations of a server. It is safe for concurrent use.
type Service struct {
	directory *directory.Service
	clock     clock.Clock

	remembered accessMemory
}

// New returns the policy kept where d keeps the directory.
func New(d *directory.Service, c clock.Clock) *Service { return &Service{directory: d, clock: c} }
