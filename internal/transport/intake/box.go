package intake

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
)

// The local parts of the addresses that take reports, at each domain of an organisation.
const (
	DMARCReports = "dmarc-reports"
	TLSReports   = "tls-reports"
)

const (
	// KeptDays is how long reports are kept.
	KeptDays = 400
	// maxDayReports and maxDayBytes are how many reports, and how many bytes of them, a domain gets in a day; the rest is dropped.
	maxDayReports = 1000
	maxDayBytes   = 16 << 20
	// maxBody is how many packed bytes of a report are kept; its last records are left out.
	maxBody = 512 << 10
	// patience is how long a message waits for others to be read. Its sender tries again.
	patience = 10 * time.Second
)

// Options are what a Box needs.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Clock     clock.Clock
	Log       *slog.Logger
}

// Box keeps reports. It is safe for concurrent use.
type Box struct {
	Options
	reading *semaphore.Weighted // one report at a time, which can be large once it is unpacked
	stats   [outcomes]atomic.Uint64
}

// New returns a Box.
func New(o Options) *Box {
	return &Box{Options: o, reading: semaphore.NewWeighted(1)}
}

// outcome is what became of a report, or of a message without one.
type outcome int

const (
	kept       outcome = iota
	duplicate          // it is kept already
	unreadable         // there is no report in the message
	foreign            // it is on a domain that is not the organisation's
	excess             // there were too many that day
	outcomes
)

// Stats are what became of messages to the addresses of reports since the start.
type Stats struct{ Kept, Duplicate, Unreadable, Foreign, Excess uint64 }

// Stats returns them.
func (b *Box) Stats() Stats {
	return Stats{b.stats[kept].Load(), b.stats[duplicate].Load(), b.stats[unreadable].Load(), b.stats[foreign].Load(), b.stats[excess].Load()}
}

// Address is an address that takes reports, and whose it is.
type Address struct {
	Organization directory.OrgID
	Key          int64 // of the organisation
	Domain       string
}

// AddressTx returns whose an address for reports is, and nil for one that is none. Whether somebody has the address is for the caller to know.
func (b *Box) AddressTx(ctx context.Context, tx *db.Tx, a message.Address) (*Address, error) {
	if !strings.EqualFold(a.Local, DMARCReports) && !strings.EqualFold(a.Local, TLSReports) || a.Domain == "" {
		return nil, nil
	}
	domain := message.FoldDomain(a.Domain)
	o, err := b.Directory.DomainOrganizationTx(ctx, tx, domain)
	if fault.Is(err, fault.NotFound, fault.Domain) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Address{o.ID, o.Key, domain}, nil
}

// Kind is what a report is on.
type Kind string

// The kinds.
const (
	DMARC Kind = "DMARC"
	TLS   Kind = "TLS"
)

// kinds are the kinds at the places that stand in the table.
var kinds = [...]Kind{1: DMARC, 2: TLS}

func (k Kind) place() int64 {
	for i, other := range kinds {
		if k == other {
			return int64(i)
		}
	}
	return 0
}

// Summary is a report without what it counts.
type Summary struct {
	ID     int64
	Kind   Kind
	Domain string // the organisation's own, which the report is on or below
	// Reporter, ReportID and Contact are what the report says of itself, in whoever's words.
	Reporter, ReportID, Contact string
	// Sender is the domain that sent the report, as far as DMARC proves it; empty where it does not.
	Sender     string
	Begin, End time.Time
	Received   time.Time
	// Total is how many messages or sessions are reported, Failed how many of them failed.
	Total, Failed int64
}
