package spam

import (
	"context"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// Train does what the job of a mailbox does.
func (s *Service) Train(ctx context.Context, box mailbox.ID) error {
	return s.train(ctx, job.Job{Kind: trainKind, Key: box.String()})
}

// CountTx counts a message that was read before.
func (s *Service) CountTx(ctx context.Context, tx *db.Tx, box mailbox.ID) error {
	return s.countTx(ctx, tx, wish{mailbox: box, email: 1, org: 1, class: spam}, &readMessage{tokens: []int64{1}, sender: "x.example"})
}

// ForgetSenders does what Run does once a day.
func (s *Service) ForgetSenders(ctx context.Context) error {
	return s.forgetSenders(ctx, s.Clock.Now())
}

// ForgetBatch is how many senders it looks at a time.
const ForgetBatch = forgetBatch

// Tokens are those of a message.
func (s *Service) Tokens(b []byte) []int64 { return s.tokens(b) }

var (
	SenderOf = senderOf
	SenderIn = senderIn
)

// Model is what a mailbox learned, in memory.
type Model struct {
	s      *Service
	corpus counts
	tokens map[int64]counts
}

func NewModel() *Model {
	return &Model{s: New(Options{Key: []byte("key")}), tokens: map[int64]counts{}}
}

func (m *Model) Learn(text []byte, asSpam bool) {
	one := counts{0, 1}
	if asSpam {
		one = counts{1, 0}
	}
	m.corpus = counts{m.corpus.spam + one.spam, m.corpus.ham + one.ham}
	for _, t := range m.s.tokens(text) {
		m.tokens[t] = counts{m.tokens[t].spam + one.spam, m.tokens[t].ham + one.ham}
	}
}

func (m *Model) Probability(text []byte) float64 {
	var found []counts
	for _, t := range m.s.tokens(text) {
		found = append(found, m.tokens[t])
	}
	p, _ := probability(m.corpus, found)
	return p
}

// ParseAnswer is what an answer of rspamd means.
func ParseAnswer(b []byte, reject bool) (*Opinion, error) {
	a, err := parseAnswer(b)
	if err != nil {
		return nil, err
	}
	return a.opinion(reject)
}
