package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/mailbox/content"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/internal/transport/script"
)

// The rules of mailboxes are Sieve scripts. They run when all else about a message is decided, before the transaction that stores it: that
// transaction does all that they decided, or nothing of it. A mailbox that has the message as junk is not asked.

// Scripts is package script's Service.
type Scripts interface {
	// Active returns the active scripts of those mailboxes that have one. It must not be called in a transaction.
	Active(ctx context.Context, ids ...mailbox.ID) (map[mailbox.ID]*sieve.Script, error)
	// ActiveName returns what the mailbox's active script is called.
	ActiveName(ctx context.Context, id mailbox.ID) (string, error)
	SeenTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind script.Kind, text string) (bool, error)
	RememberTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind script.Kind, text string, until time.Time) error
	ClaimTx(ctx context.Context, tx *db.Tx, id mailbox.ID, kind script.Kind, text string, until time.Time) (bool, error)
}

const (
	runTime   = 2 * time.Second  // of a script
	rulesTime = 20 * time.Second // of all scripts and replies of a message; those that are left keep it, and do not answer
)

// ruling is what becomes of a message in a mailbox by the rules of its user.
type ruling struct {
	name    string
	filings []filing // none where it is not kept
	events  []mailEvent
	then    []func(context.Context, *db.Tx) error // done in the transaction that stores the message
	answers bool
	rejects bool
}

// filing is a place for the message in a mailbox.
type filing struct {
	folder mailbox.FolderID
	path   string
	flags  mailbox.Flags
	added  []byte // lines in front of the message
	body   []byte // the message as it was edited, with its mailbox's own lines; nil as it came
}

// copied is a message on its way to a mailbox by the rules of another.
type copied struct {
	via          string     // the address that it was passed on for
	organization int64      // of that
	origin       mailbox.ID // whose recipient the message is
}

// origin is the mailbox of one of the message's recipients that it came by.
func (t target) origin() mailbox.ID {
	if t.copied != nil {
		return t.copied.origin
	}
	return t.mailbox
}

// ruleMailboxes runs the rules of the mailboxes that the message is about to go to, which may add some, and orders automatic replies. What it
// returns gives back the memory of edited messages. Faults: Denied Message (the only recipient rejects it), Temporary Message.
func (x *Transaction) ruleMailboxes(ctx context.Context, b []byte, traceLength int) (release func(), err error) {
	release = func() {}
	r := ruler{Transaction: x, plain: b, header: b[traceLength:]}
	r.header = r.header[:message.HeaderEnd(r.header)]
	for next := 0; next < len(x.targets); {
		boxes := make([]mailbox.ID, 0, len(x.targets)-next)
		for _, t := range x.targets[next:] {
			if folder, _ := x.folder(t); folder != mailbox.JunkID {
				boxes = append(boxes, t.mailbox)
			}
		}
		scripts, replies, err := x.asked(ctx, boxes)
		if err != nil || len(scripts)+len(replies) == 0 {
			return release, err
		}
		if len(scripts) > 0 && r.edited == 0 {
			enough, err := x.transport.ruling.hold(ctx, 3*int64(len(b)+mailbox.MaxPrefix)) // that of the run, and twice as much edited
			if err != nil {
				return release, err
			}
			release, r.edited = enough, 2*(len(b)+mailbox.MaxPrefix)
		}
		if r.deadline == nil {
			var cancel context.CancelFunc
			r.deadline, cancel = context.WithTimeout(ctx, rulesTime)
			defer cancel()
		}
		for end := len(x.targets); next < end; next++ {
			t := x.targets[next]
			if s := scripts[t.mailbox]; s != nil {
				if err := r.rule(ctx, s, t); err != nil {
					return release, err
				}
			}
			if standing, ok := replies[t.mailbox]; ok {
				if err := r.answer(ctx, t, standing); err != nil {
					return release, err
				}
			}
		}
	}
	return release, nil
}

// ruler is one call of ruleMailboxes.
type ruler struct {
	*Transaction
	plain    []byte // the message with the server's trace
	header   []byte // without it
	deadline context.Context
	room     []byte // plain behind room for a mailbox's own lines
	edited   int    // how many bytes of edited messages there may still be
}

// whole is the message as the mailbox would have it. It is good until the next call.
func (r *ruler) whole(t target) []byte {
	prefix := r.prefix(t, r.results())
	if len(prefix) > mailbox.MaxPrefix {
		return slices.Concat([]byte(prefix), r.plain)
	}
	if r.room == nil {
		r.room = append(make([]byte, mailbox.MaxPrefix, mailbox.MaxPrefix+len(r.plain)), r.plain...)
	}
	start := mailbox.MaxPrefix - len(prefix)
	copy(r.room[start:], prefix)
	return r.room[start:]
}

// rule runs a mailbox's script.
func (r *ruler) rule(ctx context.Context, s *sieve.Script, t target) error {
	n := &ruling{}
	if r.rulings == nil {
		r.rulings = map[mailbox.ID]*ruling{}
	}
	r.rulings[t.mailbox] = n
	var err error
	if r.watched[t.organization].group != "" {
		if n.name, err = r.transport.Scripts.ActiveName(ctx, t.mailbox); err != nil {
			return err
		}
	}
	whole := r.whole(t)
	result, err := r.run(s, t, whole)
	counts := &r.transport.stats.rules
	var broken *sieve.Error
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return ctx.Err()
	case !errors.As(err, &broken) && !errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Temporary, fault.Message, "the message could not be stored now")
	default:
		counts.failed.Add(1)
		r.transport.Log.WarnContext(ctx, "the rules of a mailbox fail, and the message is kept", "recipient", t.address, "trace", r.trace, "error", err)
		n.act(t, "FAILED", mailEvent{})
		n.file(filing{folder: mailbox.InboxID, path: inboxName})
		return nil
	}
	if err := r.follow(ctx, n, t, whole, result); err != nil {
		if fault.Is(err, fault.Denied, fault.Message) {
			counts.rejected.Add(1)
		}
		return err
	}
	switch {
	case len(n.events) == 0:
		counts.kept.Add(1)
	case len(result.Actions) == 0:
		counts.discarded.Add(1)
	default:
		counts.acted.Add(1)
	}
	return nil
}

// run runs a script in its time. What goes wrong in it ends nothing else.
func (r *ruler) run(s *sieve.Script, t target, whole []byte) (result *sieve.Result, err error) {
	ctx, cancel := context.WithTimeout(r.deadline, runTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, &sieve.Error{Text: fmt.Sprintf("panic: %v\n%s", p, debug.Stack())}
		} else if err != nil && ctx.Err() != nil { // a database says in words of its own that its time was over
			err = ctx.Err()
		}
	}()
	tr, box := r.transport, t.mailbox
	env := sieve.Environment{
		From: r.sender.From.String(), To: t.address, Now: tr.Clock.Now(), Items: map[string]string{"host": tr.Hostname},
		Exists: func(ctx context.Context, path string) (bool, error) {
			f, err := r.folderAt(ctx, box, path)
			return f != 0, err
		},
		Uses: func(ctx context.Context, path string, uses []string) (bool, error) {
			return tr.hasUses(ctx, box, path, uses)
		},
		Seen: func(ctx context.Context, id string) (seen bool, err error) {
			err = tr.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
				seen, err = tr.Scripts.SeenTx(ctx, tx, box, script.Duplicate, id)
				return err
			})
			return seen, err
		},
	}
	if from := r.sender.Principal.Address; from.IsValid() {
		env.Items["remote-ip"] = from.Unmap().String()
	}
	if s.Requires("vacation") {
		if env.Own, err = r.own(ctx, t); err != nil {
			return nil, err
		}
	}
	return s.Run(ctx, env, whole)
}

// folderAt returns the folder of that path that messages can be put into; 0 for none.
func (r *ruler) folderAt(ctx context.Context, box mailbox.ID, path string) (mailbox.FolderID, error) {
	return selectable(r.transport.Mailboxes.Folder(ctx, box, path))
}

func selectable(f mailbox.Folder, err error) (mailbox.FolderID, error) {
	switch {
	case err == nil && f.Selectable():
		return f.ID, nil
	case err == nil, fault.Is(err, fault.NotFound, fault.Folder), fault.Is(err, fault.Invalid, fault.Folder):
		return 0, nil
	}
	return 0, err
}

// useOf is the use of a folder that a special-use attribute names.
func useOf(attribute string) mailbox.Use {
	return map[string]mailbox.Use{
		`\archive`: mailbox.Archive, `\drafts`: mailbox.Drafts, `\junk`: mailbox.JunkMail, `\sent`: mailbox.Sent, `\trash`: mailbox.Trash,
	}[strings.ToLower(attribute)]
}

// hasUses reports whether the folder at the path has all of the special uses, or some folder each where there is no path.
func (t *Transport) hasUses(ctx context.Context, box mailbox.ID, path string, uses []string) (bool, error) {
	for _, attribute := range uses {
		use := useOf(attribute)
		if use == mailbox.NoUse {
			return false, nil
		}
		f, err := t.Mailboxes.FolderByUse(ctx, box, use)
		id, err := selectable(f, err)
		if id == 0 || err != nil {
			return false, err
		}
		if path == "" {
			continue
		}
		at, err := selectable(t.Mailboxes.Folder(ctx, box, path))
		if at != id || err != nil {
			return false, err
		}
	}
	return true, nil
}

// follow turns what a script decided into a ruling. Faults: Denied Message.
func (r *ruler) follow(ctx context.Context, n *ruling, t target, whole []byte, result *sieve.Result) error {
	for _, d := range result.Duplicates {
		n.then = append(n.then, func(ctx context.Context, tx *db.Tx) error {
			return r.transport.Scripts.RememberTx(ctx, tx, t.mailbox, script.Duplicate, d.ID, d.Until)
		})
	}
	keep := false // what could not be done keeps the message
	for _, action := range result.Actions {
		switch a := action.(type) {
		case *sieve.Keep:
			f, err := r.filing(ctx, t, mailbox.InboxID, inboxName, a.Flags, whole, a.Message)
			if err != nil {
				return err
			}
			n.file(f)
			if f.flags != 0 || a.Message != nil {
				n.act(t, "MARK", mailEvent{})
			}
		case *sieve.FileInto:
			folder, path, err := r.place(ctx, t, a)
			if err != nil {
				return err
			}
			f, err := r.filing(ctx, t, folder, path, a.Flags, whole, a.Message)
			if err != nil {
				return err
			}
			n.file(f)
			n.act(t, "MOVE", mailEvent{TargetFolder: path})
		case *sieve.Redirect:
			done, err := r.redirect(ctx, n, t, a, whole)
			if err != nil {
				return err
			}
			if keep = keep || !done; done {
				n.act(t, "REDIRECT", mailEvent{TargetRecipient: a.To})
			}
		case *sieve.Reject:
			done, err := r.reject(n, t, a.Reason)
			if err != nil {
				return err
			}
			keep = keep || !done
		case *sieve.Vacation:
			if err := r.vacation(ctx, n, t, a); err != nil {
				return err
			}
		}
	}
	if len(result.Actions) == 0 {
		n.act(t, "DELETE", mailEvent{})
	}
	if keep && len(n.filings) == 0 {
		n.file(filing{folder: mailbox.InboxID, path: inboxName})
	}
	return r.fit(ctx, n, t)
}

// act notes an event.
func (n *ruling) act(t target, action string, e mailEvent) {
	e.Name, e.RuleType, e.RuleActions = "RULE_APPLIED", "MAILBOX_RULE", []ruleAction{{action, []string{t.address}}}
	e.RuleName = n.name
	n.events = append(n.events, e)
}

// file puts the message into one more folder, once.
func (n *ruling) file(f filing) {
	if i := slices.IndexFunc(n.filings, func(o filing) bool { return o.folder == f.folder }); i >= 0 {
		n.filings[i].flags |= f.flags
		return
	}
	n.filings = append(n.filings, f)
}

// place finds the folder of an action, or makes it; where that can't be, it is the inbox.
func (r *ruler) place(ctx context.Context, t target, a *sieve.FileInto) (mailbox.FolderID, string, error) {
	m, use := r.transport.Mailboxes, useOf(a.SpecialUse)
	if use != mailbox.NoUse {
		f, err := m.FolderByUse(ctx, t.mailbox, use)
		if id, err := selectable(f, err); id != 0 || err != nil {
			return id, f.Path, err
		}
	}
	f, err := m.Folder(ctx, t.mailbox, a.Mailbox)
	if id, err := selectable(f, err); id != 0 || err != nil {
		return id, f.Path, err
	}
	if a.Create {
		switch f, err = m.CreateFolder(ctx, t.mailbox, a.Mailbox, mailbox.Mail, use); {
		case err == nil:
			return f.ID, f.Path, m.Subscribe(ctx, t.mailbox, f.Path, true) // many programs show no others
		case fault.Is(err, fault.Exists, fault.Folder): // somebody was faster
			if id, err := selectable(m.Folder(ctx, t.mailbox, a.Mailbox)); id != 0 || err != nil {
				return id, a.Mailbox, err
			}
		case fault.As(err) == nil:
			return 0, "", err
		}
	}
	r.transport.Log.InfoContext(ctx, "a rule names a folder that is not there; the message goes to the inbox", "recipient", t.address, "trace", r.trace)
	return mailbox.InboxID, inboxName, nil
}

// filing makes a place for the message as it is, or as it was edited.
func (r *ruler) filing(ctx context.Context, t target, folder mailbox.FolderID, path string, flags []string, whole, edited []byte) (f filing, err error) {
	f = filing{folder: folder, path: path}
	if f.flags, err = r.flags(ctx, t, flags); err != nil || edited == nil {
		return f, err
	}
	rest, added := bytes.CutSuffix(edited, whole)
	switch {
	case added && len(whole)-len(r.plain)+len(rest) <= mailbox.MaxPrefix:
		f.added = bytes.Clone(rest)
	case r.spend(edited, whole):
		f.body = edited
	default:
		r.transport.Log.WarnContext(ctx, "a message is too large for what rules make of it, and stays as it came", "recipient", t.address, "trace", r.trace)
	}
	return f, nil
}

// spend takes memory for an edited message, and reports whether there is enough.
func (r *ruler) spend(edited, whole []byte) bool {
	if len(edited) > len(whole)+mailbox.MaxPrefix || len(edited) > r.edited {
		return false
	}
	r.edited -= len(edited)
	return true
}

// flags returns the flags of those names; none that a mailbox can't have.
func (r *ruler) flags(ctx context.Context, t target, names []string) (flags mailbox.Flags, err error) {
	var keywords []string
	for _, name := range names {
		if strings.HasPrefix(name, `\`) {
			flags |= map[string]mailbox.Flags{
				`\seen`: mailbox.Seen, `\answered`: mailbox.Answered, `\flagged`: mailbox.Flagged, `\deleted`: mailbox.Deleted, `\draft`: mailbox.Draft,
			}[strings.ToLower(name)]
		} else {
			keywords = append(keywords, name)
		}
	}
	for _, name := range keywords { // one by one, as one that can't be is left out
		bit, err := r.transport.Mailboxes.DefineKeywords(ctx, t.mailbox, []string{name})
		if err != nil && fault.As(err) == nil {
			return 0, err
		}
		flags |= bit
	}
	return flags, nil
}

// fit leaves a mailbox that has no room for all copies of the message with one, and as it came where it has none for what was edited.
func (r *ruler) fit(ctx context.Context, n *ruling, t target) error {
	places := 0
	for _, other := range r.targets {
		if o := r.rulings[other.mailbox]; o != nil && o != n {
			places += max(len(o.filings)-1, 0)
		}
	}
	if most := maxMailboxes - len(r.targets) - places; len(n.filings)-1 > max(most, 0) {
		n.filings = n.filings[:max(most, 0)+1]
	}
	prefix := r.prefix(t, r.results())
	size := func() (bytes int64, edited bool) {
		for _, f := range n.filings {
			if edited = edited || f.added != nil || f.body != nil; f.body != nil {
				bytes += int64(len(f.body))
			} else {
				bytes += int64(len(r.plain) + len(prefix) + len(f.added))
			}
		}
		return bytes, edited
	}
	needed, edited := size()
	if len(n.filings) < 2 && !edited {
		return nil
	}
	d, err := r.transport.Mailboxes.Details(ctx, t.mailbox)
	if fault.As(err) != nil {
		return nil // storing it tells what is the matter
	}
	if err == nil && d.Bytes+needed > d.Quota {
		n.filings = n.filings[:1]
		if needed, _ = size(); d.Bytes+needed > d.Quota {
			n.filings[0].added, n.filings[0].body = nil, nil
		}
	}
	return err
}

// parcels are the messages that go into mailboxes, with their places.
func (x *Transaction) parcels(b []byte) (list []mailbox.Parcel) {
	results := x.results()
	var plain []mailbox.Target
	for _, t := range x.targets {
		prefix := []byte(x.prefix(t, results))
		n := x.rulings[t.mailbox]
		if n == nil {
			n = &ruling{filings: []filing{{}}}
			n.filings[0].folder, _ = x.folder(t)
		}
		for i, f := range n.filings {
			to := mailbox.Target{Mailbox: t.mailbox, Folder: f.folder, Flags: f.flags, Prefix: slices.Concat(prefix, f.added), Unwarned: x.unwarned}
			switch {
			case f.body != nil:
				to.Prefix = nil
				if i > 0 && len(f.body) > 0 && bytes.Equal(f.body, n.filings[i-1].body) {
					last := &list[len(list)-1]
					last.Targets = append(last.Targets, to)
				} else {
					list = append(list, parcel(f.body, to))
				}
			default:
				plain = append(plain, to)
			}
		}
	}
	if len(plain) > 0 {
		list = append(list, parcel(b, plain...))
	}
	return list
}

func parcel(b []byte, to ...mailbox.Target) mailbox.Parcel {
	return mailbox.Parcel{Message: content.Message(b, mailbox.Source{Bytes: b}), Targets: to}
}

// ruled returns what mailboxes' rules want done in the transaction that stores the message; nil for nothing.
func (x *Transaction) ruled() func(context.Context, *db.Tx) error {
	var then []func(context.Context, *db.Tx) error
	for _, t := range x.targets {
		if n := x.rulings[t.mailbox]; n != nil {
			then = append(then, n.then...)
		}
	}
	return inOne(then...)
}

// mailboxEvents are the events of the mailboxes of an organisation.
func (x *Transaction) mailboxEvents(org int64, _ mailEvent) (events []any) {
	for _, t := range x.targets {
		if t.organization != org {
			continue
		}
		n := x.rulings[t.mailbox]
		_, folder := x.folder(t)
		if n != nil {
			for _, e := range n.events {
				events = append(events, mailRecord{e, x.trace})
			}
			if len(n.filings) == 0 {
				continue
			}
			folder = n.filings[0].path
		}
		events = append(events, mailRecord{mailEvent{Name: "MAILBOX_EMAIL_DELIVERED", Recipient: t.address, Folder: folder}, x.trace})
	}
	return events
}

// ruleCounts count runs of the rules of mailboxes.
type ruleCounts struct {
	kept, acted, discarded, rejected, failed, answered, replied atomic.Uint64
}

// RuleStats are how many runs of the rules of mailboxes came to what since the start, and how many automatic replies were ordered.
type RuleStats struct {
	Kept      uint64 // as without rules
	Acted     uint64
	Discarded uint64
	Rejected  uint64 // refused in the protocol
	Failed    uint64
	Vacations uint64 // replies of scripts
	Replies   uint64 // replies of mailboxes
}

// RuleStats returns what was counted.
func (t *Transport) RuleStats() RuleStats {
	c := &t.stats.rules
	return RuleStats{c.kept.Load(), c.acted.Load(), c.discarded.Load(), c.rejected.Load(), c.failed.Load(), c.answered.Load(), c.replied.Load()}
}
