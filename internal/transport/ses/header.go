package ses

import (
	"net/netip"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/message"
)

// origin is what SES wrote on top of a message: whom it came from, and for whom.
type origin struct {
	client netip.Addr // invalid where SES does not say
	hello  string
	envelope
	// certain says that To is of the SMTP envelope; otherwise it is what the header names, in which those are missing whom it hides.
	certain bool
}

// left is whom a message is for that nobody got; nil where its header has to say so.
func (o *origin) left() *envelope {
	if !o.certain {
		return nil
	}
	return &o.envelope
}

var (
	// from HELO (NAME [192.0.2.1]) by inbound-smtp.us-east-1.amazonaws.com with SMTP id … for ann@example.com; …
	sesReceived = lazyregexp.New(`\Afrom (\S+)\s[^\[\];]*\[(?:IPv6:)?([0-9A-Fa-f:.]+)\][^;]*? by inbound-smtp\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)? with E?SMTPS? id \S+(?: for <?([^\s<>;]+)>?)?\s*;`)
	spaces      = lazyregexp.New(`\s+`)
)

// readHeader reads the header of an object that SES wrote. returnPath is the value of its first field where that is Return-Path. Believed is
// what stands above the fields that the client sent: SES writes on top, and nobody else writes into the bucket. The client's own fields
// begin behind X-SES-RECEIPT or, without it, at the next Received.
func readHeader(header []byte, returnPath string) (o origin) {
	o.From = strings.Trim(strings.TrimSpace(returnPath), "<>")
	received := 0
fields:
	for f := range message.Fields(header) {
		switch {
		case f.Is("received"):
			if received++; received > 1 {
				break fields
			}
			m := sesReceived.FindStringSubmatch(spaces.ReplaceAllString(f.Value(), " "))
			if m == nil { // not as SES writes it; its verdicts may stand below all the same
				continue
			}
			o.client, _ = netip.ParseAddr(m[2]) // one that is none stays invalid
			o.hello = m[1]
			if m[3] != "" {
				o.To, o.certain = []string{m[3]}, true
			}
		case f.Is("x-ses-spam-verdict") && o.Spam == "":
			o.Spam = word(f.Value())
		case f.Is("x-ses-virus-verdict") && o.Virus == "":
			o.Virus = word(f.Value())
		case f.Is("x-ses-receipt"):
			break fields
		}
	}
	if o.certain {
		return o
	}
	e := message.ParseEnvelope(header)
	for _, list := range [][]message.Entry{e.To, e.Cc, e.Bcc} {
		for _, entry := range list {
			if entry.Kind == message.Mailbox && entry.Domain != "" && len(o.To) < maxTo {
				o.To = append(o.To, message.Address{Local: entry.Local, Domain: entry.Domain}.String())
			}
		}
	}
	return o
}
