package spam

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

// Message is a message from another server.
type Message struct {
	Client mailauth.Client
	// Verdict is what became of the check of who it is from; nil where it was not checked.
	Verdict *mailauth.Verdict
	// Listed are the lists in DNS, named by the operator, that say that the client sends spam.
	Listed     []string
	Recipients []Recipient // one at least
	Addresses  []message.Address
	Trace      string
	Bytes      []byte // as the client sent it
}

// Recipient is a mailbox that a message goes to.
type Recipient struct {
	Mailbox mailbox.ID
	Org     int64
}

// Verdict is what was made of a message, in the words of SES.
type Verdict string

// The verdicts, the worst last but for Failed, which says nothing.
const (
	Pass   Verdict = "PASS"
	Gray   Verdict = "GRAY"
	Fail   Verdict = "FAIL" // spam
	Failed Verdict = "PROCESSING_FAILED"
)

const (
	required = 5.0 // points of spam
	gray     = 2.5
)

// Opinion is what is made of a message for one mailbox.
type Opinion struct {
	Verdict         Verdict
	Score, Required float64 // points, and how many are spam
	// Reasons are what the score is of, in words; none where nothing is known.
	Reasons []string
	org     int64
}

// Spam reports whether the message goes to Junk E-mail.
func (o *Opinion) Spam() bool { return o != nil && o.Verdict == Fail }

// Judgement is what is made of a message for each of its mailboxes.
type Judgement struct {
	opinions map[mailbox.ID]*Opinion
	sender   string
}

// Of returns the opinion for a mailbox; nil for one that was not asked about.
func (j *Judgement) Of(id mailbox.ID) *Opinion {
	if j == nil {
		return nil
	}
	return j.opinions[id]
}

// Verdict returns the worst that was found for the mailboxes of an organisation, all for 0; empty where it has none.
func (j *Judgement) Verdict(org int64) (worst Verdict) {
	if j == nil {
		return ""
	}
	order := []Verdict{"", Pass, Failed, Gray, Fail}
	for _, o := range j.opinions {
		if (org == 0 || o.org == org) && slices.Index(order, o.Verdict) > slices.Index(order, worst) {
			worst = o.Verdict
		}
	}
	return worst
}

// Fields returns what the message of a mailbox says of the opinion, in whole lines; nothing where nothing is known.
func (o *Opinion) Fields() string {
	if o == nil || len(o.Reasons) == 0 {
		return ""
	}
	answer := "No"
	if o.Spam() {
		answer = "Yes"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "X-Spam-Status: %s, score=%.1f required=%.1f", answer, o.Score, o.Required)
	for _, r := range o.Reasons {
		b.WriteString(";\r\n\t" + printable(r))
	}
	fmt.Fprintf(&b, "\r\nX-Spam-Score: %.1f\r\n", o.Score)
	return b.String()
}

const (
	maxReasons = 10
	maxReason  = 120 // bytes
)

// printable is s as a line of a header can hold it: printable ASCII, and not too long.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > 126 {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxReason)]
}

// Judge judges a message. Faults, both of rspamd: Temporary Message (try again later), Denied Message. What can't be found out counts for
// nothing: mail is not lost for want of a verdict.
func (s *Service) Judge(ctx context.Context, m Message) (*Judgement, error) {
	j := &Judgement{opinions: make(map[mailbox.ID]*Opinion, len(m.Recipients)), sender: senderOf(m.Verdict)}
	down := false
	if s.Rspamd != nil && s.Rspamd.URL != "" {
		o, err := s.Rspamd.check(ctx, &m)
		switch {
		case err == nil:
			for _, r := range m.Recipients {
				of := *o
				of.org = r.Org
				j.opinions[r.Mailbox] = &of
			}
			s.count(j.Verdict(0))
			return j, nil
		case fault.Is(err, fault.Denied, fault.Message):
			s.stats.refused.Add(1)
			return nil, err
		case fault.Is(err, fault.Temporary, fault.Message):
			s.stats.deferred.Add(1)
			return nil, err
		}
		down = true
		s.failed(ctx, err)
	}
	s.judge(ctx, &m, j)
	for _, o := range j.opinions {
		switch {
		case o.Score >= o.Required:
			o.Verdict = Fail
		case down:
			o.Verdict = Failed
		case o.Score >= gray:
			o.Verdict = Gray
		}
	}
	s.count(j.Verdict(0))
	return j, nil
}

// judge forms opinions without anybody's help.
func (s *Service) judge(ctx context.Context, m *Message, j *Judgement) {
	var orgs []int64
	for _, r := range m.Recipients {
		j.opinions[r.Mailbox] = &Opinion{Verdict: Pass, Required: required, org: r.Org}
		if !slices.Contains(orgs, r.Org) {
			orgs = append(orgs, r.Org)
		}
	}
	standings, err := s.standings(ctx, j.sender, orgs)
	if err != nil {
		s.failed(ctx, err)
	}
	corpora, err := s.corpora(ctx, m.Recipients)
	if err != nil {
		s.failed(ctx, err)
	}
	var tokens []int64
	if len(corpora) > 0 {
		tokens = s.tokens(m.Bytes[:min(len(m.Bytes), maxMessage)])
	}
	proven := !strings.Contains(j.sender, "/")
	for id, o := range j.opinions {
		for _, list := range m.Listed {
			o.add(required, "the client is listed by "+list)
		}
		if t, ok := standings[o.org]; ok {
			if p := t.points(proven); p > 0.05 || p < -0.05 {
				o.add(p, fmt.Sprintf("sender %s %+.1f: %.0f of %.0f called spam by %d", j.sender, p, t.junk, max(t.delivered, t.junk+t.good), t.reporters))
			}
		}
		if c, ok := corpora[id]; ok {
			found, err := s.lookUp(ctx, id, tokens)
			if err != nil {
				s.failed(ctx, err)
				continue
			}
			if p, n := probability(c, found); n > 0 {
				points := 12.5 * (p - 0.5) // 0.9 is spam alone
				o.add(points, fmt.Sprintf("words %+.1f: %.3f by %d tokens of %d spam and %d ham", points, p, n, c.spam, c.ham))
			}
		}
	}
}

func (o *Opinion) add(points float64, reason string) {
	o.Score += points
	if len(o.Reasons) < maxReasons {
		o.Reasons = append(o.Reasons, reason)
	}
}

func (s *Service) count(v Verdict) {
	switch v {
	case Fail:
		s.stats.spam.Add(1)
	case Gray:
		s.stats.gray.Add(1)
	case Failed:
		s.stats.unknown.Add(1)
	default:
		s.stats.pass.Add(1)
	}
}

// complainEvery is how often the log says that something doesn't answer.
const complainEvery = time.Minute

// failed notes that something did not answer.
func (s *Service) failed(ctx context.Context, err error) {
	s.stats.filterFailures.Add(1)
	if n, now := s.failures.tell(s.Clock.Now()); now {
		s.Log.ErrorContext(ctx, "the spam filter could not be asked; mail is judged without", "error", err, "failures", n)
	}
}
