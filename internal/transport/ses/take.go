package ses

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/spool"
	"github.com/pennypost/pennypost/internal/transport"
	outgoing "github.com/pennypost/pennypost/internal/transport/queue"
)

const (
	maxHeader = 1 << 20 // bytes of a header that are looked at
	// tries is how often a message that fails for no known reason is tried, over hours, before it is moved aside.
	tries = 12
)

// The reasons why an object is moved aside.
const (
	tooLarge   = "too large"
	encrypted  = "encrypted"
	unreadable = "unreadable" // no message
	virus      = "virus"
	nobody     = "nobody"  // nobody is here whom it is for
	someone    = "someone" // not everybody whom it is for got it
	refused    = "refused"
	failing    = "failing"
)

// outcome is a job's progress: what became of the message, noted in the transaction that made it so.
type outcome struct {
	// Aside is the reason why the object is to be moved aside; empty for one that is delivered.
	Aside string `json:"aside,omitempty"`
	// Left is whom an object that is moved aside is for yet; nil where its header has to say so.
	Left *envelope `json:"left,omitempty"`
}

// object takes an object in, once, and then moves it.
func (s *Service) object(ctx context.Context, j job.Job) error {
	var o object
	if err := j.Decode(&o); err != nil {
		return err
	}
	from := s.sources[o.Source]
	if from == nil { // it may be done, and must not be done again when it is found again
		return fmt.Errorf("the file of settings has no ses_inbound.%q any more", o.Source)
	}
	var done outcome
	known, err := j.Progress(&done)
	if err != nil {
		return err
	}
	if !known {
		done, err = s.take(ctx, j, from, &o)
		if errors.Is(err, errGone) {
			s.stats.gone.Add(1)
			s.Log.DebugContext(ctx, "an object of mail is there no more", "source", o.Source, "key", o.Key)
			return nil
		}
		if err != nil {
			return err
		}
	}
	prefix := from.AsidePrefix
	if done.Aside == "" {
		if prefix = from.DonePrefix; from.Delete {
			prefix = ""
		}
	}
	if err := from.settle(ctx, &o, prefix, done.Left); err != nil {
		s.stats.bucket.Add(1)
		return err
	}
	return nil
}

// aside notes that an object can't be delivered to all, or at all.
func (s *Service) aside(ctx context.Context, j job.Job, o *object, reason string, why error, by *origin) (outcome, error) {
	done := outcome{Aside: reason, Left: by.left()}
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, done) })
	if err == nil {
		s.tellAside(ctx, o, reason, why, by.To)
	}
	return done, err
}

func (s *Service) tellAside(ctx context.Context, o *object, reason string, why error, to []string) {
	s.stats.setAside(reason)
	s.Log.WarnContext(ctx, "mail from Amazon SES is set aside", "source", o.Source, "key", o.Key, "reason", reason, "error", why, "recipients", to)
}

// take delivers an object's message, or finds out why it can't be. What it returns is noted.
func (s *Service) take(ctx context.Context, j job.Job, from *source, o *object) (outcome, error) {
	if isSetup(o.Key) {
		s.Log.InfoContext(ctx, "Amazon SES can write into the bucket of mail", "source", o.Source, "key", o.Key)
		return outcome{}, nil
	}
	limits := fmt.Errorf("it has %d bytes, and a message can have %d", o.Size, s.MaxMessage)
	if o.Size > s.MaxMessage {
		return s.aside(ctx, j, o, tooLarge, limits, o.origin())
	}
	fetch, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	body, sealed, left, err := from.get(fetch, o)
	if err != nil {
		if !errors.Is(err, errGone) {
			s.stats.bucket.Add(1)
		}
		return outcome{}, err
	}
	defer body.Close()
	if left != nil { // it was aside, and others may have it
		o.Envelope = left
	}
	if sealed {
		return s.aside(ctx, j, o, encrypted, errors.New("SES encrypted it; turn message encryption off in the action of the receipt rule"), o.origin())
	}
	m := spool.New(s.Spool, 0)
	defer m.Close() // nothing of it is needed any more
	trace := s.received(o)
	if _, err := m.Write(trace); err != nil {
		return outcome{}, err
	}
	returnPath, err := copyMessage(m, body, s.MaxMessage)
	switch {
	case errors.Is(err, errLarge):
		return s.aside(ctx, j, o, tooLarge, limits, o.origin())
	case err != nil:
		s.stats.bucket.Add(1)
		return outcome{}, fmt.Errorf("fetch %s: %w", o.Key, err)
	}
	header, err := headerOf(m, len(trace))
	if err != nil {
		return outcome{}, err
	}
	if !isMessage(header) {
		return s.aside(ctx, j, o, unreadable, errors.New("it is no message"), o.origin())
	}
	by := readHeader(header, returnPath)
	if o.Envelope != nil {
		by.certain, by.From, by.To = true, o.Envelope.From, o.Envelope.To
		by.Spam, by.Virus = worst(by.Spam, o.Envelope.Spam), worst(by.Virus, o.Envelope.Virus)
	}
	if by.Virus == "FAIL" {
		return s.aside(ctx, j, o, virus, errors.New("SES found a virus in it"), &by)
	}
	return s.deliver(ctx, j, o, &by, m, len(trace))
}

// worst is the verdict that counts of two.
func worst(a, b string) string {
	if a == "FAIL" || b == "" {
		return a
	}
	return b
}

// origin is what is known without the object's own header.
func (o *object) origin() *origin {
	if o.Envelope == nil {
		return &origin{}
	}
	return &origin{certain: true, envelope: *o.Envelope}
}

// deliver hands the message in, and notes in the transaction that stores it what became of it.
func (s *Service) deliver(ctx context.Context, j job.Job, o *object, by *origin, m *spool.Spool, traceLength int) (outcome, error) {
	var done outcome
	sender := transport.Sender{
		Principal: principal.TheSystem("Amazon SES"), Hello: by.hello, Size: m.Size() - int64(traceLength), Taken: true,
		Also: func(ctx context.Context, tx *db.Tx) error { return j.SaveTx(ctx, tx, done) },
	}
	sender.Principal.Address = by.client
	if by.From != "" {
		a, err := message.ParseAddress(by.From)
		if err != nil {
			s.Log.InfoContext(ctx, "a reverse-path is no address", "source", o.Source, "key", o.Key, "error", err)
		}
		sender.From = a
	}
	if by.Spam == "FAIL" {
		sender.Listed = []string{"amazonses.com"}
	}
	failed := func(err error) (outcome, error) {
		if fault.As(err) == nil && j.Attempts >= tries && ctx.Err() == nil {
			return s.aside(ctx, j, o, failing, err, by)
		}
		return done, err
	}
	x, err := s.Mail.Begin(ctx, sender)
	if err != nil {
		return failed(err)
	}
	taken, told, lost, err := s.add(ctx, x, by)
	switch {
	case err != nil:
		return failed(err)
	case taken+told == 0:
		return s.aside(ctx, j, o, nobody, errors.New("nobody is here whom it names"), by)
	case taken == 0:
		done.Aside = nobody
	case len(lost) > 0:
		done.Aside = someone
	}
	if done.Aside != "" {
		done.Left = &envelope{by.From, lost, by.Spam, by.Virus}
	}
	err = x.Store(ctx, m, traceLength)
	switch f := fault.As(err); {
	case err == nil:
	case f == nil || passes(f):
		return failed(err)
	default:
		return s.aside(ctx, j, o, refused, err, by)
	}
	s.stats.unable.Add(uint64(len(lost)))
	if done.Aside != "" {
		s.tellAside(ctx, o, done.Aside, errors.New("not everybody is here whom it is for"), lost)
		return done, nil
	}
	s.stats.delivered.Add(1)
	s.Log.InfoContext(ctx, "taken from Amazon SES", "source", o.Source, "key", o.Key, "trace", x.Trace(), "remote", by.client, "from", by.From,
		"recipients", taken, "bytes", m.Size())
	return done, nil
}

// add adds the recipients. Who can't get it is lost if it is certain that the message was for them; what its header names may be anybody.
// told is how many of the lost were told to the transaction: those whose address is one.
func (s *Service) add(ctx context.Context, x *transport.Transaction, by *origin) (taken, told int, lost []string, err error) {
	for _, text := range by.To {
		to, err := message.ParseAddress(text)
		if err != nil {
			if by.certain {
				lost = append(lost, text)
			}
			continue
		}
		asked := outgoing.Recipient{Address: to}
		err = x.Add(ctx, asked)
		f := fault.As(err)
		switch {
		case err == nil:
			taken++
			continue
		case f == nil || passes(f):
			return 0, 0, nil, err
		}
		if !by.certain && (f.Kind == fault.NotFound || f.Kind == fault.Denied) {
			continue
		}
		lost = append(lost, text)
		if err := x.Lose(ctx, asked, f); err != nil {
			return 0, 0, nil, err
		}
		told++
	}
	return taken, told, lost, nil
}

// passes reports whether a fault may be over when it is tried again.
func passes(f *fault.Error) bool {
	switch f.Kind {
	case fault.Internal, fault.Temporary, fault.Conflict, fault.DirectoryDown, fault.DirectoryRefusedUs:
		return true
	case fault.Limit:
		return f.Subject == fault.Organization // too much waits for other servers
	}
	return false
}

// received is the trace that this server puts on top (RFC 5321 section 4.4).
func (s *Service) received(o *object) []byte {
	id := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 127 || strings.ContainsRune("()<>;\"\\,@", r) {
			return '?'
		}
		return r
	}, path.Base(o.Key))
	return fmt.Appendf(nil, "Received: from Amazon.SES\r\n\tby %s with HTTP id %s;\r\n\t%s\r\n", s.Hostname, id[:min(len(id), 200)],
		s.Clock.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
}

// copyMessage copies a message of at most limit bytes with CR LF at the end of its lines. The first field, where it is Return-Path, is SES's
// and is returned: the server writes one of its own.
func copyMessage(to io.Writer, body io.Reader, limit int64) (returnPath string, err error) {
	in := bufio.NewReaderSize(body, 32<<10)
	out := &lines{to: to, left: limit}
	const name = "return-path:"
	if begin, _ := in.Peek(len(name)); strings.EqualFold(string(begin), name) {
		var field []byte
		for more := true; more; {
			line, err := in.ReadSlice('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return "", errors.Join(err, errLarge) // a line that is longer than a buffer
			}
			if field = append(field, line...); len(field) > 32<<10 {
				return "", errLarge
			}
			next, _ := in.Peek(1)
			more = len(next) == 1 && (next[0] == ' ' || next[0] == '\t')
		}
		for f := range message.Fields(field) {
			returnPath = f.Value()
		}
	}
	if _, err := io.Copy(out, in); err != nil {
		return "", err
	}
	return returnPath, out.end()
}

// lines is a writer that ends lines with CR LF, whatever they ended with.
type lines struct {
	to   io.Writer
	left int64
	cr   bool // the last byte was a CR, and what follows is not known yet
}

// Write writes p.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, errLarge
	}
	for len(p) > 0 {
		if l.cr {
			l.cr = false
			if p[0] == '\n' {
				p = p[1:]
			}
			if _, err := io.WriteString(l.to, "\r\n"); err != nil {
				return 0, err
			}
			continue
		}
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			i = len(p)
		}
		if i > 0 {
			if _, err := l.to.Write(p[:i]); err != nil {
				return 0, err
			}
			p = p[i:]
			continue
		}
		if p[0] == '\r' {
			l.cr = true
		} else if _, err := io.WriteString(l.to, "\r\n"); err != nil {
			return 0, err
		}
		p = p[1:]
	}
	return n, nil
}

// end writes what is still owed.
func (l *lines) end() error {
	if !l.cr {
		return nil
	}
	_, err := io.WriteString(l.to, "\r\n")
	return err
}

// headerOf returns the header of the message behind the trace, as far as it is looked at.
func headerOf(m *spool.Spool, traceLength int) ([]byte, error) {
	r, err := m.Reader()
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, int64(traceLength)+maxHeader))
	if err != nil {
		return nil, err
	}
	b = b[traceLength:]
	return b[:message.HeaderEnd(b)], nil
}

// isMessage reports whether a header has a field.
func isMessage(header []byte) bool {
	for range message.Fields(header) {
		return true
	}
	return false
}
