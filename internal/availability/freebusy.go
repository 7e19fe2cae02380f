package availability

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/principal"
)

const (
	// MaxMailboxes is how many mailboxes one question may name, as in Exchange.
	MaxMailboxes = 100
	// MaxWindow is how long the window of a question may be, as in Exchange.
	MaxWindow = 62 * 24 * time.Hour
	// maxEvents is how many events of one mailbox are taken.
	maxEvents = 1000
	// maxText is how many characters of a subject, a place or a name of a zone are kept.
	maxText = 256
)

// Question asks when the owners of mailboxes of other domains are free.
type Question struct {
	Email      string // the primary address of who asks
	Mailboxes  []string
	Start, End time.Time
}

// Mailbox is what is known of one mailbox: events and working hours, or why there are none.
type Mailbox struct {
	Address string // as it was asked for
	// Error is empty, or says why nothing else is there.
	Error        ErrorWord
	Events       []Event
	WorkingHours *WorkingHours // nil where the provider tells none
}

// ErrorWord says why the free/busy of a mailbox is not known, in the words of the real service.
type ErrorWord string

// The words.
const (
	MailboxNotFound  ErrorWord = "MailboxNotFound"
	ConfigNotFound   ErrorWord = "ErrorAvailabilityConfigNotFound"
	ServerBusy       ErrorWord = "ErrorServerBusy"
	TimeoutExpired   ErrorWord = "ErrorTimeoutExpired"
	GenerationFailed ErrorWord = "ErrorFreeBusyGenerationFailed"
	SchemaValidation ErrorWord = "ErrorResponseSchemaValidation"
)

// BusyType says what an event means for others, in the words of Exchange.
type BusyType string

// The busy types. A function tells the first three only.
const (
	Free             BusyType = "Free"
	Busy             BusyType = "Busy"
	Tentative        BusyType = "Tentative"
	OutOfOffice      BusyType = "OOF"
	WorkingElsewhere BusyType = "WorkingElsewhere"
	NoData           BusyType = "NoData"
)

// Event is a time in a calendar. It is not cut at the window.
type Event struct {
	Start, End time.Time // UTC
	Busy       BusyType
	Details    *Details // nil where the requester may not see them
}

// Details are what an event is about.
type Details struct {
	Subject, Location             string // at most 256 characters
	Instance                      Instance
	Meeting, ReminderSet, Private bool
}

// Instance says whether an event is one of a series.
type Instance string

// The instances.
const (
	Single    Instance = "SINGLE_INSTANCE"
	Recurring Instance = "RECURRING_INSTANCE"
	Exception Instance = "EXCEPTION"
)

// WorkingHours are those of a mailbox's owner, in that one's zone.
type WorkingHours struct {
	Zone    Zone
	Periods []Period
}

// Zone is a time zone in the words of Windows: UTC is local time plus the biases.
type Zone struct {
	Name               string // empty where the provider tells none
	Bias               int    // minutes
	Standard, Daylight *Transition
}

// Transition says when, each year, a further bias begins to count.
type Transition struct {
	Bias  int           // minutes
	Time  time.Duration // of the day, local
	Month time.Month
	Week  int // 1 to 4, or 5 for the last
	Day   time.Weekday
}

// Period is the same time on some days, in minutes of the day.
type Period struct {
	Start, End int
	Days       []time.Weekday
}

// failure is why a provider has no answer: a word for who asked, and a reason for who set the provider up.
type failure struct {
	word   ErrorWord
	reason string
}

func failed(word ErrorWord, format string, args ...any) *failure {
	return &failure{word, fmt.Sprintf(format, args...)}
}

// inquiry is a question on its way to one provider.
type inquiry struct {
	requester  requester
	addresses  []string
	start, end time.Time
}

// requester is who asks, as a function is told.
type requester struct {
	Email        string `json:"email"`
	UserName     string `json:"userName"`
	Organization string `json:"organization"`
	UserID       string `json:"userId"`
	Origin       string `json:"origin,omitempty"`
}

// FreeBusy asks the providers of the organisation's configurations about mailboxes of other domains, all at once, and returns
// one Mailbox for each that was asked for, in that order. What one provider fails in is told in its own mailboxes. Faults: Invalid
// for a bad window or too many mailboxes, Denied for a user of another organisation, NotFound and State (Organization).
func (s *Service) FreeBusy(ctx context.Context, p principal.Principal, org directory.OrgID, q Question) ([]Mailbox, error) {
	switch {
	case p.Kind == principal.User && p.Organization != string(org):
		return nil, fault.New(fault.Denied, fault.Organization, "the user is not of organization %s", org)
	case len(q.Mailboxes) > MaxMailboxes:
		return nil, fault.New(fault.Invalid, fault.Mailbox, "%d mailboxes were asked for; at most %d are allowed", len(q.Mailboxes), MaxMailboxes)
	case !q.Start.Before(q.End) || q.End.Sub(q.Start) > MaxWindow:
		return nil, fault.New(fault.Invalid, fault.None, "the window must end after it begins and be no longer than %d days", MaxWindow/(24*time.Hour))
	}
	answer := make([]Mailbox, len(q.Mailboxes))
	domains := map[string][]int{} // indexes of mailboxes
	for i, address := range q.Mailboxes {
		answer[i] = Mailbox{Address: address, Error: ConfigNotFound}
		if at := strings.LastIndexByte(address, '@'); at > 0 {
			domain := directory.Fold(address[at+1:])
			domains[domain] = append(domains[domain], i)
		}
	}
	rows, err := s.configured(ctx, org, domains)
	if err != nil {
		return nil, err
	}
	who := requester{Email: q.Email, UserName: p.Name, Organization: string(org), UserID: p.ID}
	if p.Address.IsValid() {
		who.Origin = p.Address.Unmap().String()
	}
	var all sync.WaitGroup
	for i := range rows {
		r, indexes := &rows[i], domains[rows[i].domain]
		ask := inquiry{requester: who, start: q.Start.UTC(), end: q.End.UTC()}
		for _, i := range indexes {
			ask.addresses = append(ask.addresses, q.Mailboxes[i])
		}
		all.Go(func() {
			mailboxes, failure := s.askStored(ctx, org, r, ask)
			s.tell(p, org, r.domain, r.configuration().Provider, failure)
			if failure != nil {
				s.log.LogAttrs(ctx, slog.LevelWarn, "no free/busy from a provider", attributes(org, r, failure)...)
			}
			for at, i := range indexes { // no other goroutine has these
				if failure != nil {
					answer[i].Error = failure.word
					continue
				}
				address := answer[i].Address
				answer[i] = mailboxes[at]
				answer[i].Address = address
			}
		})
	}
	all.Wait()
	return answer, nil
}

// configured reads the configurations that an organisation has for domains.
func (s *Service) configured(ctx context.Context, org directory.OrgID, domains map[string][]int) (rows []row, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.ActiveTx(ctx, tx, org)
		if err != nil {
			return err
		}
		rows = nil
		for domain := range domains {
			if len(domain) > maxDomain || !domainName.MatchString(domain) {
				continue // none can be configured
			}
			r, err := rowTx(ctx, tx, o.Key, domain)
			if missing(err) {
				continue
			}
			if err != nil {
				return err
			}
			rows = append(rows, *r)
		}
		return nil
	})
	return rows, err
}

// askStored asks the provider of a stored configuration.
func (s *Service) askStored(ctx context.Context, org directory.OrgID, r *row, ask inquiry) ([]Mailbox, *failure) {
	p, err := s.provider(org, r)
	if err != nil {
		return nil, failed(GenerationFailed, "the stored password can't be opened: %v", err)
	}
	leave, ok := s.gate.enter(string(org), r.domain)
	if !ok {
		return nil, failed(ServerBusy, "too many questions are waiting for an answer already")
	}
	defer leave()
	return s.ask(ctx, p, ask)
}

// ask returns one Mailbox for each address of the inquiry, in that order.
func (s *Service) ask(ctx context.Context, p Provider, ask inquiry) ([]Mailbox, *failure) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var mailboxes []Mailbox
	var failure *failure
	if p.EWS != nil {
		mailboxes, failure = s.askEWS(ctx, p.EWS, ask)
	} else {
		mailboxes, failure = s.askFunction(ctx, p.Function, ask)
	}
	if err := ctx.Err(); failure != nil && err != nil { // a server that sees us leave may end its answer as if it were whole
		failure = explain(err)
	}
	return mailboxes, failure
}

// within leaves out the events that don't touch the window, and refuses what no calendar has.
func (q inquiry) within(events []Event) ([]Event, *failure) {
	if len(events) > maxEvents {
		return nil, failed(SchemaValidation, "the answer has %d events of one mailbox; at most %d are taken", len(events), maxEvents)
	}
	kept := events[:0]
	for _, e := range events {
		if e.End.Before(e.Start) {
			return nil, failed(SchemaValidation, "an event of the answer ends before it begins")
		}
		if e.Start.Before(q.end) && e.End.After(q.start) {
			kept = append(kept, e)
		}
	}
	return kept, nil
}

// check refuses working hours that no clock has.
func (w *WorkingHours) check() *failure {
	if len(w.Periods) > 7*24 {
		return failed(SchemaValidation, "the answer has %d working periods", len(w.Periods))
	}
	for _, p := range w.Periods {
		if p.Start < 0 || p.End < p.Start || p.End > 24*60 {
			return failed(SchemaValidation, "the working period from minute %d to %d is none of a day", p.Start, p.End)
		}
	}
	for _, t := range []*Transition{w.Zone.Standard, w.Zone.Daylight} {
		if t != nil && (t.Week < 1 || t.Week > 5 || t.Month < time.January || t.Month > time.December || t.Time < 0 || t.Time >= 24*time.Hour || far(t.Bias)) {
			return failed(SchemaValidation, "the time zone of the working hours changes at a time that does not exist")
		}
	}
	if far(w.Zone.Bias) {
		return failed(SchemaValidation, "the time zone of the working hours is %d minutes from UTC", w.Zone.Bias)
	}
	return nil
}

// far reports whether a bias is more than a day.
func far(bias int) bool { return bias < -24*60 || bias > 24*60 }

// timeOfDay reads hh:mm:ss.
func timeOfDay(text string) (time.Duration, error) {
	t, err := time.Parse(time.TimeOnly, text)
	if err != nil {
		return 0, err
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, nil
}

// short cuts a text at maxText characters.
func short(text string) string {
	n := 0
	for i := range text {
		if n == maxText {
			return text[:i]
		}
		n++
	}
	return text
}
