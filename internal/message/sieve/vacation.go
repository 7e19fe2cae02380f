package sieve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// The time for which a sender isn't answered again, in seconds.
const (
	day          = 24 * 60 * 60
	usualAgain   = 7 * day
	longestAgain = 90 * day
)

func checkVacation(_ *compiler, n *node) error {
	if n.has("from") {
		if err := n.tags["from"].constants(checkAddressText); err != nil {
			return err
		}
	}
	if n.has("mime") {
		return n.args[0].constants(checkEntity)
	}
	return nil
}

// checkEntity says what is wrong with the header of a MIME entity (RFC 5230 section 5).
func checkEntity(s string) error {
	header := []byte(s)[:message.HeaderEnd([]byte(s))]
	if slices.ContainsFunc(header, func(c byte) bool { return c >= 128 }) {
		return errors.New(`the header of the text behind ":mime" holds characters that are not ASCII; or it has no header, and the empty line behind it is missing`)
	}
	return nil
}

func (r *run) vacation(_ context.Context, n *node) error {
	if err := r.beside(n, n.name, r.rejected); err != nil {
		return err
	}
	if r.answered {
		return n.at.errorf(`a second "vacation" on this message: a run of the script can answer once`)
	}
	r.answered = true

	reason := strings.ToValidUTF8(r.expand(&n.args[0].texts[0]), "\uFFFD")
	a := &Vacation{Subject: oneLine(r.tagText(n, "subject")), Reason: reason, MIME: n.has("mime"), Again: usualAgain * time.Second}
	if n.has("from") {
		a.From = oneLine(r.tagText(n, "from"))
		if err := checkAddressText(a.From); err != nil {
			return n.tags["from"].at.errorf("%s", err)
		}
	}
	if a.MIME {
		if err := checkEntity(a.Reason); err != nil {
			return n.at.errorf("%s", err)
		}
	}
	if v, ok := n.tags["days"]; ok {
		a.Again = time.Duration(min(max(v.number, 1), longestAgain/day)*day) * time.Second
	}
	if v, ok := n.tags["seconds"]; ok {
		a.Again = time.Duration(min(max(v.number, 1), longestAgain)) * time.Second
	}
	a.Handle = vacationHandle(n)
	if n.has("handle") {
		a.Handle = ":" + r.tagText(n, "handle")
	}
	if ok, err := r.answerable(n); !ok || err != nil {
		return err
	}
	return r.act(n, a)
}

// vacationHandle hashes the arguments, before variables are put in (RFC 5230 section 4.2).
func vacationHandle(n *node) string {
	h := sha256.New()
	write := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	for _, tag := range []string{"subject", "from"} {
		write(tag)
		if v, ok := n.tags[tag]; ok {
			write(v.texts[0].raw)
		}
	}
	write(fmt.Sprint(n.has("mime")))
	write(n.args[0].texts[0].raw)
	return hex.EncodeToString(h.Sum(nil))
}

// listFields are those of mailing lists (RFC 2369, RFC 2919).
var listFields = []string{
	"list-id", "list-help", "list-subscribe", "list-unsubscribe", "list-post", "list-owner", "list-archive",
}

// answerable reports whether the message is from a person to this recipient (RFC 5230 sections 4.5 and 4.6, RFC 3834 section 2).
func (r *run) answerable(n *node) (bool, error) {
	sender, err := message.ParseAddress(r.env.From)
	own := r.ownAddresses(n)
	if err != nil || isAutomatic(sender.Local) || own.has(sender) {
		return false, nil
	}
	lines := r.mail.header()
	if r.mail.edited { // as it arrived too: a script can't make a list a person
		lines = slices.Concat(r.mail.first, lines)
	}
	if err := r.spend(n, 8*len(lines)); err != nil {
		return false, err
	}
	for _, f := range lines {
		if slices.Contains(listFields, f.name) {
			return false, nil
		}
		switch f.name {
		case "auto-submitted":
			if firstWord(f) != "no" {
				return false, nil
			}
		case "precedence": // RFC 2076 section 3.9
			if slices.Contains([]string{"bulk", "list", "junk"}, firstWord(f)) {
				return false, nil
			}
		case "x-auto-response-suppress": // Exchange's
			for word := range strings.SplitSeq(lower(f.unfolded()), ",") {
				if slices.Contains([]string{"all", "oof", "autoreply"}, strings.Trim(word, " \t")) {
					return false, nil
				}
			}
		}
	}
	return r.named(n, own)
}

// firstWord returns the value up to a semicolon, a comment or a space, in lower case.
func firstWord(f *field) string {
	s := lower(f.unfolded())
	if i := strings.IndexAny(s, "; (\t"); i >= 0 {
		s = s[:i]
	}
	return s
}

// addressSet holds addresses as they are compared.
type addressSet map[message.Address]bool

// has reports whether an address is among them, with a tag or without.
func (s addressSet) has(a message.Address) bool {
	a = a.Fold()
	base, _, tagged := a.Subaddress()
	return s[a] || tagged && s[base]
}

// ownAddresses are those of the recipient.
func (r *run) ownAddresses(n *node) addressSet {
	own := addressSet{}
	for _, s := range append([]string{r.env.To}, r.env.Own...) {
		if a, err := message.ParseAddress(s); err == nil {
			own[a.Fold()] = true
		}
	}
	if n.has("addresses") {
		for _, s := range r.expandAll(n.tags["addresses"]) {
			if a, err := parseMailbox(s); err == nil {
				own[a.Fold()] = true
			}
		}
	}
	return own
}

// named reports whether an address of the recipient stands among those that the message is to.
func (r *run) named(n *node, own addressSet) (bool, error) {
	for _, name := range []string{"to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"} {
		fields, err := r.fields(n, name)
		if err != nil {
			return false, err
		}
		for _, f := range fields {
			entries, err := r.addresses(n, f)
			if err != nil {
				return false, err
			}
			for _, e := range entries {
				if e.Kind == message.Mailbox && e.Domain != "" && own.has(message.Address{Local: e.Local, Domain: e.Domain}) {
					return true, nil
				}
			}
		}
	}
	return false, nil
}

// isAutomatic reports whether a local part is one of programs. Postmaster is none: people read that (RFC 5230 section 4.6).
func isAutomatic(local string) bool {
	local = lower(local)
	for _, word := range []string{"mailer-daemon", "listserv", "majordomo", "noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "do_not_reply"} {
		if local == word || strings.HasPrefix(local, word+"+") || strings.HasPrefix(local, word+"-") {
			return true
		}
	}
	return strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-owner") || strings.HasSuffix(local, "-request") ||
		strings.HasSuffix(local, "-bounces") || strings.Contains(local, "-bounces+") || strings.Contains(local, "-bounces-")
}
