package transport

import (
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
)

// listID is the List-Id field (RFC 2919) by which mail that comes through a group is known, also to what answers by itself: the group's primary address
// with a dot for the @. It is empty where that has something that can't stand there.
func listID(group *directory.Entity) string {
	local, domain, _ := strings.Cut(directory.Fold(group.Email), "@")
	local = strings.Join(strings.FieldsFunc(local, func(r rune) bool { return r == '.' }), ".")
	domain = message.FoldDomain(domain)
	if local == "" || domain == "" || strings.Trim(local+domain, "abcdefghijklmnopqrstuvwxyz0123456789._%+-") != "" {
		return ""
	}
	return "List-Id: <" + local + "." + domain + ">\r\n"
}

// nameLists settles which copies of the message with the header say through which group they come: those of mailboxes that no recipient leads to
// directly. None does where the message names a list already, of which there is one, or where a signature would break.
func (x *Transaction) nameLists(header []byte) {
	x.lists = nil
	grouped := slices.ContainsFunc(x.accepted, func(r recipient) bool { return r.reach.list != "" })
	if !grouped {
		return
	}
	if !mayNameList(header) {
		for i := range x.forwards {
			x.forwards[i].list = ""
		}
		return
	}
	x.lists = map[mailbox.ID]string{}
	for i := range x.accepted {
		r := &x.accepted[i]
		if !r.stays() {
			continue
		}
		for _, t := range r.reach.targets {
			if known, ok := x.lists[t.mailbox]; !ok || r.reach.group == "" && known != "" {
				x.lists[t.mailbox] = r.reach.list
			}
		}
	}
}

// mayNameList reports whether a message with the header has no List-Id, and no signature (DKIM, or that of an ARC set) that says so.
func mayNameList(header []byte) bool {
	for f := range message.Fields(header) {
		switch {
		case f.Is("list-id"):
			return false
		case f.Is("dkim-signature"), f.Is("arc-message-signature"):
			for tag := range strings.SplitSeq(f.Value(), ";") {
				name, value, _ := strings.Cut(tag, "=")
				if strings.TrimSpace(name) != "h" {
					continue
				}
				for field := range strings.SplitSeq(value, ":") {
					if strings.EqualFold(strings.TrimSpace(field), "list-id") {
						return false
					}
				}
			}
		}
	}
	return true
}
