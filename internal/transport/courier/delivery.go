package courier

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// delivery is one call of Deliver.
type delivery struct {
	c        *Courier
	m        *queue.Message
	outcomes []queue.Outcome
	open     []int    // the recipients without an outcome
	trouble  *trouble // why they have none
}

// note keeps why a host took nothing: of several, the last that may pass, or else the last. All of them must be down for the destination
// to be.
func (d *delivery) note(t *trouble) {
	if d.trouble == nil || d.trouble.permanent || !t.permanent {
		t.down = t.down && (d.trouble == nil || d.trouble.permanent || d.trouble.down)
		d.trouble = t
	}
}

// end gives all open recipients an outcome.
func (d *delivery) end(o queue.Outcome) {
	for _, i := range d.open {
		d.outcomes[i] = o
	}
	d.open = nil
}

// settle gives those who are left the outcome of what went wrong.
func (d *delivery) settle(ctx context.Context) {
	t := d.trouble
	switch err := ctx.Err(); {
	case errors.Is(err, context.Canceled):
		t = &trouble{status: "4.3.2", text: "this server broke the attempt off"}
	case err != nil && (t == nil || t.permanent):
		t = &trouble{status: "4.4.1", text: "the attempt took too long", down: true}
	case t == nil:
		t = &trouble{status: "4.3.0", text: "the attempt came to nothing", ours: true}
	}
	d.end(t.outcome())
}

// offer offers the message to one address, over a connection that was kept or a new one.
func (d *delivery) offer(ctx context.Context, t *target) {
	if d.m.RequireTLS && !t.requireOK {
		d.note(&trouble{
			permanent: true, status: "5.7.30",
			text: "the sender requires TLS all the way, and neither DANE nor MTA-STS says what certificate " + t.host + " has",
		})
		return
	}
	if s := d.c.kept(ctx, t); s != nil {
		d.c.stats.reused.Add(1)
		if !d.transact(ctx, s) {
			return
		}
	}
	s, why := d.c.connect(ctx, t)
	if why != nil {
		d.c.stats.refused.Add(1)
		d.c.o.Log.Debug("a host takes nothing", "host", t.host, "address", t.address, "status", why.status, "reason", why.text)
		d.note(why)
		return
	}
	d.transact(ctx, s)
}

// transact offers the message over s to those who are open. It reports whether s was kept and is of no use any more, and nothing was
// said of the message.
func (d *delivery) transact(ctx context.Context, s *session) (stale bool) {
	defer d.c.pool.put(s)
	kept := s.messages > 0
	for first := true; len(d.open) > 0; first = false {
		if !first {
			if err := s.client.Reset(ctx); err != nil {
				d.lost(s, err)
				return false
			}
		}
		s.messages++
		batch := slices.Clone(d.open[:min(len(d.open), s.most())])
		replies, err := s.client.Send(ctx, d.envelope(s, batch), d.m.Body, d.m.Size)
		d.record(s, batch, replies)
		if err == nil {
			continue
		}
		if e := (*smtpclient.Error)(nil); kept && first && ctx.Err() == nil && errors.As(err, &e) && e.During == "MAIL" && !e.Unknown {
			return true
		}
		d.lost(s, err)
		return false
	}
	return false
}

// lost says what an error of a connection means for those who are open.
func (d *delivery) lost(s *session, err error) {
	var e *smtpclient.Error
	var refusal *smtpclient.Refusal
	var unread *smtpclient.BodyError
	switch {
	case errors.As(err, &e) && e.Unknown:
		t := s.trouble("4.4.2", "the message was sent, but whether "+s.host+" has taken it is not known: "+err.Error())
		d.end(t.outcome())
	case errors.As(err, &unread):
		d.c.o.Log.Error("a queued message can't be read", "trace", d.m.Trace, "error", err)
		d.end((&trouble{status: "4.3.0", text: "this server could not read the message", ours: true}).outcome())
	case errors.As(err, &refusal) && refusal.Status == "5.7.30":
		t := s.trouble(refusal.Status, refusal.Text)
		t.permanent = true
		d.note(t) // another host may do better
	case errors.As(err, &refusal):
		t := s.trouble(refusal.Status, s.host+": "+refusal.Text)
		t.permanent = true
		d.end(t.outcome())
	default:
		t := clientTrouble(&target{key: s.key}, err)
		t.tls = s.tls
		// It may be the message, or its recipients: Postfix says 421 after 20 that it does not know.
		answered := len(d.open) < len(d.m.Recipients)
		offered := e != nil && (e.During == smtpclient.Message || e.During == "DATA" || e.During == "BDAT")
		if answered || e != nil && e.During == "RCPT" || offered && e.Reply.Code == 0 {
			t.down = false
		}
		d.note(t)
	}
}

// record gives an outcome to each of the batch who was answered. Those who were too many for a transaction stay open, as long as others
// were taken.
func (d *delivery) record(s *session, batch []int, replies []smtpclient.Reply) {
	var left []int
	taken := slices.ContainsFunc(replies, func(r smtpclient.Reply) bool { return r.Code/100 == 2 })
	for n, i := range batch {
		if r := replies[n]; r.Code == 0 || taken && tooMany(r) {
			left = append(left, i)
		} else {
			d.outcomes[i] = s.outcome(r)
		}
	}
	d.open = append(left, d.open[len(batch):]...)
}

// tooMany reports whether a recipient was refused for being one too many (RFC 5321 section 4.5.3.1.10).
func tooMany(r smtpclient.Reply) bool {
	return r.Code == 452 && (r.Status == "4.5.3" || r.Status == "4.3.1") || r.Code == 552 && r.Status == "5.5.3"
}

// envelope is the message's, for the recipients of a batch.
func (d *delivery) envelope(s *session, batch []int) *smtpclient.Envelope {
	e := &smtpclient.Envelope{From: path(d.m.From), ID: d.m.ID, RequireTLS: d.m.RequireTLS, SMTPUTF8: d.m.SMTPUTF8}
	if s.gateway != nil && d.m.From.IsZero() {
		e.From = s.gateway.NullSender
	}
	switch d.m.Return {
	case queue.ReturnFull:
		e.Return = "FULL"
	case queue.ReturnHeaders:
		e.Return = "HDRS"
	}
	for _, i := range batch {
		r := d.m.Recipients[i]
		e.Recipients = append(e.Recipients, smtpclient.Recipient{Address: path(r.Address), Notify: notify(r.Notify), Original: r.Original})
	}
	return e
}

// path is an address as a server without SMTPUTF8 takes it, where only its domain is beyond ASCII.
func path(a message.Address) string {
	if !a.IsASCII() {
		if folded := (message.Address{Local: a.Local, Domain: message.FoldDomain(a.Domain)}); folded.IsASCII() {
			return folded.String()
		}
	}
	return a.String()
}

func notify(n queue.Notify) string {
	if n&queue.Never != 0 {
		return "NEVER"
	}
	var words []string
	for _, w := range []struct {
		bit  queue.Notify
		word string
	}{{queue.OnSuccess, "SUCCESS"}, {queue.OnFailure, "FAILURE"}, {queue.OnDelay, "DELAY"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// log writes one line for the delivery.
func (d *delivery) log(to queue.Destination, took time.Duration) {
	var n [3]int
	worst := 0
	for i, o := range d.outcomes {
		n[o.Result]++
		if o.Result != queue.Delivered {
			worst = i
		}
	}
	attributes := []slog.Attr{
		slog.String("trace", d.m.Trace), slog.String("domain", to.Domain), slog.Int("delivered", n[queue.Delivered]), slog.Int("deferred", n[queue.Deferred]),
		slog.Int("failed", n[queue.Failed]), slog.Duration("took", took),
	}
	if to.Route != "" {
		attributes = append(attributes, slog.String("route", to.Route))
	}
	if len(d.outcomes) > 0 {
		o := d.outcomes[worst]
		attributes = append(attributes, slog.String("host", o.Host), slog.String("tls", o.TLS), slog.String("status", o.Status), slog.String("reply", o.Reply))
	}
	d.c.o.Log.LogAttrs(context.Background(), slog.LevelInfo, "sent", attributes...)
}
