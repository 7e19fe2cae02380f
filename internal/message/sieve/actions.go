package sieve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

// deliver adds an action that delivers the message, or takes the place of an earlier one to the same end (RFC 5228 section 2.10.3), so that the
// last flags win (RFC 5232 section 3).
func (r *run) deliver(n *node, a Action, same func(Action) bool) error {
	if err := r.beside(n, n.name, r.rejected); err != nil {
		return err
	}
	for i, other := range r.result.Actions {
		if same(other) {
			r.result.Actions[i] = a
			return nil
		}
	}
	return r.act(n, a)
}

// beside fails where the message was rejected before what is done now, or the other way round.
func (r *run) beside(n *node, what string, conflict bool) error {
	if conflict {
		return n.at.errorf("%s can't be done with this message beside what the script did before: it is either rejected, once, or delivered and answered",
			show(what))
	}
	return nil
}

func isInbox(mailbox string) bool { return lower(mailbox) == "inbox" }

// sameMailbox returns whether an action stores the message in that mailbox.
func sameMailbox(mailbox, use string) func(Action) bool {
	return func(a Action) bool {
		switch a := a.(type) {
		case *Keep:
			return isInbox(mailbox) && use == ""
		case *FileInto:
			return a.SpecialUse == use && (a.Mailbox == mailbox || isInbox(a.Mailbox) && isInbox(mailbox))
		}
		return false
	}
}

func (r *run) keep(_ context.Context, n *node) error {
	flags, err := r.deliveryFlags(n)
	if err != nil {
		return err
	}
	r.explicit = true
	edited, err := r.edited(n)
	if err != nil {
		return err
	}
	return r.deliver(n, &Keep{Flags: flags, Message: edited}, sameMailbox("INBOX", ""))
}

// implicitKeep is what is done without an action that cancels it.
func (r *run) implicitKeep() {
	keep := &Keep{Flags: appendFlags(nil, r.flags), Message: r.mail.message()}
	for i, other := range r.result.Actions {
		if sameMailbox("INBOX", "")(other) { // fileinto with ":copy"
			r.result.Actions[i] = keep
			return
		}
	}
	r.result.Actions = append(r.result.Actions, keep)
}

func (r *run) discard(context.Context, *node) error {
	r.explicit = true
	return nil
}

// checkMailbox says what is wrong with a mailbox's name.
func checkMailbox(s string) error {
	switch {
	case s == "":
		return errors.New("a mailbox has a name")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 127 }):
		return fmt.Errorf("%s is no name of a mailbox: it holds a control character or is not UTF-8", show(s))
	case len(s) > 1000:
		return fmt.Errorf("the mailbox name %s is too long", show(s))
	}
	return nil
}

func checkFileInto(_ *compiler, n *node) error {
	if n.has("specialuse") {
		if err := n.tags["specialuse"].constants(checkUse); err != nil {
			return err
		}
	}
	return n.args[0].constants(checkMailbox)
}

func (r *run) fileInto(_ context.Context, n *node) error {
	flags, err := r.deliveryFlags(n)
	if err != nil {
		return err
	}
	a := &FileInto{Mailbox: r.expand(&n.args[0].texts[0]), SpecialUse: r.tagText(n, "specialuse"), Create: n.has("create"), Flags: flags}
	if err := checkMailbox(a.Mailbox); err != nil {
		return n.at.errorf("%s", err)
	}
	if n.has("specialuse") {
		if err := checkUse(a.SpecialUse); err != nil {
			return n.at.errorf("%s", err)
		}
	}
	if a.Message, err = r.edited(n); err != nil {
		return err
	}
	r.explicit = r.explicit || !n.has("copy")
	if isInbox(a.Mailbox) && a.SpecialUse == "" {
		return r.deliver(n, &Keep{Flags: flags, Message: a.Message}, sameMailbox("INBOX", ""))
	}
	return r.deliver(n, a, sameMailbox(a.Mailbox, a.SpecialUse))
}

// parseMailbox reads an address that may have a name before it (RFC 5228 section 2.4.2.3).
func parseMailbox(s string) (message.Address, error) {
	s = strings.Trim(s, " \t")
	if a, err := message.ParseAddress(s); err == nil {
		return a, nil
	}
	entries := message.ParseAddressList(s)
	if len(entries) != 1 || entries[0].Kind != message.Mailbox || entries[0].Route != "" || entries[0].Domain == "" || !utf8.ValidString(s) {
		return message.Address{}, fmt.Errorf("%s is no address", show(s))
	}
	a, err := message.ParseAddress(message.Address{Local: entries[0].Local, Domain: entries[0].Domain}.String())
	if err != nil {
		return message.Address{}, fmt.Errorf("%s is no address: %w", show(s), err)
	}
	return a, nil
}

func checkAddressText(s string) error {
	_, err := parseMailbox(s)
	return err
}

func checkRedirect(_ *compiler, n *node) error { return n.args[0].constants(checkAddressText) }

func (r *run) redirect(_ context.Context, n *node) error {
	a, err := parseMailbox(r.expand(&n.args[0].texts[0]))
	if err != nil {
		return n.at.errorf("%s", err)
	}
	edited, err := r.edited(n)
	if err != nil {
		return err
	}
	redirects := 0
	known := false
	same := func(other Action) bool {
		b, ok := other.(*Redirect)
		if !ok {
			return false
		}
		to, err := message.ParseAddress(b.To)
		return err == nil && to.Fold() == a.Fold()
	}
	for _, other := range r.result.Actions {
		if _, ok := other.(*Redirect); ok {
			redirects++
			known = known || same(other)
		}
	}
	if !known && redirects >= r.script.limits.Redirects {
		return n.at.errorf("the script redirects this message more than %d times", r.script.limits.Redirects)
	}
	r.explicit = r.explicit || !n.has("copy")
	return r.deliver(n, &Redirect{To: a.String(), Message: edited}, same)
}

func (r *run) reject(_ context.Context, n *node) error {
	if err := r.beside(n, n.name, len(r.result.Actions) > 0 || r.answered); err != nil {
		return err
	}
	r.explicit, r.rejected = true, true
	return r.act(n, &Reject{Reason: strings.ToValidUTF8(r.expand(&n.args[0].texts[0]), "\uFFFD"), Extended: n.name == "ereject"})
}
