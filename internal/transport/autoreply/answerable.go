package autoreply

import (
	"iter"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// Answerable reports whether a message with the header may have an automatic reply to its reverse-path: not one that a program sent, and
// none of a list (RFC 3834 section 2).
func Answerable(header []byte, from message.Address) bool {
	if from.IsZero() || program(from.Local) {
		return false
	}
	for f := range message.Fields(header) {
		value := strings.ToLower(strings.TrimSpace(f.Value()))
		name := strings.ToLower(string(f.Name))
		switch name {
		case "auto-submitted":
			if kind, _, _ := strings.Cut(value, ";"); strings.TrimSpace(kind) != "no" {
				return false
			}
		case "precedence":
			if value == "bulk" || value == "list" || value == "junk" {
				return false
			}
		case "x-auto-response-suppress": // Exchange's: a list
			for what := range strings.SplitSeq(value, ",") {
				if what = strings.TrimSpace(what); what == "all" || what == "oof" || what == "autoreply" {
					return false
				}
			}
		case "return-path":
			if value == "<>" {
				return false
			}
		case "content-type":
			if strings.HasPrefix(value, "multipart/report") {
				return false
			}
		case "mailing-list", "x-loop", "feedback-id":
			return false
		default:
			if strings.HasPrefix(name, "list-") { // RFC 2369, RFC 2919
				return false
			}
		}
	}
	return true
}

// program reports whether the local part is that of programs (RFC 3834 section 2, RFC 5230 section 4.6).
func program(local string) bool {
	local = message.FoldLocal(local)
	switch local {
	case "mailer-daemon", "postmaster", "listserv", "majordomo", "noreply", "no-reply", "donotreply", "do-not-reply":
		return true
	}
	return strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-owner") || strings.HasSuffix(local, "-request") ||
		strings.HasPrefix(local, "bounce-") || strings.HasPrefix(local, "bounces+") || strings.HasSuffix(local, "-bounces")
}

// maxNamed is how many recipients in the header of a message are looked at.
const maxNamed = 100

// Named are the addresses that the header names as recipients: who is not among them got the message by a list or a group, and does not
// reply.
func Named(header []byte) iter.Seq[message.Address] {
	return func(yield func(message.Address) bool) {
		n := 0
		for f := range message.Fields(header) {
			if !f.Is("to") && !f.Is("cc") && !f.Is("bcc") && !f.Is("resent-to") && !f.Is("resent-cc") && !f.Is("resent-bcc") {
				continue
			}
			for _, e := range message.ParseAddressList(f.Value()) {
				if e.Kind != message.Mailbox || e.Local == "" || e.Domain == "" {
					continue
				}
				if n++; n > maxNamed || !yield(message.Address{Local: e.Local, Domain: e.Domain}) {
					return
				}
			}
		}
	}
}
