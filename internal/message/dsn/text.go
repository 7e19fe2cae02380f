package dsn

import (
	"strings"
)

// text returns the part for people.
func (n *Notice) text(o *original) []byte {
	t := &writer{}
	t.para("", "This is the mail system at "+hostName(n.Host)+". It tells you what became of your message:")
	if o.subject != "" {
		t.para("  ", "Subject: "+o.subject)
	}
	if !n.Arrived.IsZero() {
		t.para("  ", "Received: "+date(n.Arrived))
	}
	t.section(n.of(Failed), "It could not be delivered to:", "It is not tried again for them. Send it anew once the cause is gone.")
	t.section(n.of(Delayed), "It has not been delivered yet to:", "You need not do anything: it is tried again by itself, and you are told should it fail in the end.")
	t.section(n.of(Delivered), "It was delivered to:", "")
	t.section(n.of(Expanded), "It was passed on to the members of the group:", "Some of them have their mailboxes on other servers.")
	t.section(n.of(Relayed), "It was taken by another server, which won't tell when it is delivered, for:", "")
	t.b.WriteString("\r\n")
	t.para("", "What follows is for programs, and what is returned of your message.")
	return []byte(t.b.String())
}

// writer makes paragraphs of words.
type writer struct{ b strings.Builder }

// para writes words in lines with an indent.
func (t *writer) para(indent, s string) {
	for _, line := range fold(s, len(indent)) {
		t.b.WriteString(indent + line + "\r\n")
	}
}

func (t *writer) section(list []*Recipient, begin, end string) {
	if len(list) == 0 {
		return
	}
	t.b.WriteString("\r\n")
	t.para("", begin)
	for _, r := range list {
		t.b.WriteString("\r\n")
		t.recipient(r)
	}
	if end != "" {
		t.b.WriteString("\r\n")
		t.para("", end)
	}
}

func (t *writer) recipient(r *Recipient) {
	address := clean(r.Address.String(), true)
	if _, original, ok := DecodeOriginal(r.Original); ok && !strings.EqualFold(original, address) {
		address = original + " (now " + address + ")"
	}
	t.para("  ", address)
	host, reply := hostName(r.Host), clean(cut(r.Reply, maxReply), true)
	switch {
	case r.action() == Delivered:
		return
	case r.Host == "" && reply == "":
	case r.Host == "":
		t.para("    ", reply)
	case reply == "":
		t.para("    ", "The other server was "+host+".")
	case isSMTPReply(reply):
		t.para("    ", "The server "+host+" said:")
		t.para("      ", reply)
	default:
		t.para("    ", "With the server "+host+": "+reply)
	}
	switch r.action() {
	case Failed:
		t.para("    ", advice(r.status()))
	case Delayed:
		if !r.Until.IsZero() {
			t.para("    ", "It is tried until "+date(r.Until)+".")
		}
	}
}

// advice says what to do about a failure with the status (RFC 3463, and IANA's list of enhanced status codes).
func advice(status string) string {
	switch detail := status[2:]; {
	case detail == "1.1" || detail == "1.3" || detail == "1.6" || detail == "1.0":
		return "There is no such recipient: look for a mistake in the address."
	case detail == "1.2" || detail == "1.10" || detail == "4.4":
		return "What stands behind the @ does not exist, or takes no mail: look for a mistake there."
	case detail == "1.7" || detail == "1.8":
		return "Your own address was refused: tell those who run your mail."
	case detail == "2.1":
		return "The mailbox takes no mail now: reach the recipient in another way."
	case detail == "2.2":
		return "The mailbox is full: reach the recipient in another way, or try again later."
	case detail == "2.3" || detail == "3.4":
		return "The message is too large there: send it without attachments, or in parts."
	case detail == "4.6" || detail == "4.8":
		return "The message went round in a circle: tell those who run the recipient's mail."
	case strings.HasPrefix(detail, "4."):
		return "The other server could not be reached, or was not ready, for too long: try again later, or reach the recipient in another way."
	case detail == "6.7" || detail == "6.9":
		return "The other server can't take addresses and headers beyond ASCII."
	case detail == "7.30":
		return "The message may only go over protected connections, and there is none to the other server."
	case strings.HasPrefix(detail, "7."):
		return "The other side refuses the message by a rule of its own: ask the recipient, or those who run the recipient's mail, and show them this."
	}
	return "If that does not tell you what to do, show this to those who run your mail."
}
