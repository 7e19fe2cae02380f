package dayreport

import (
	"context"
	"net/url"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/message"
)

// Mailer sends reports by mail.
type Mailer interface {
	// Send makes the mail durable, as a message that is on its way, in one transaction with done; or returns an error, and is called
	// again later. done may be run more than once and does no I/O.
	//
	// The message is signed with DKIM by its sender's domain (RFC 8460 section 5.3, RFC 9990 section 3.5). RFC 8460 wants it delivered
	// whatever DANE or MTA-STS say of the connection, as what it reports may be what would keep it back.
	Send(ctx context.Context, m *Mail, done func(context.Context, *db.Tx) error) error
}

// Mail is a report as a message.
type Mail struct {
	ID                string // of the report, and of nothing else
	From, To, Subject string
	// Header are fields beside the usual ones: name and value.
	Header [][2]string
	// ContentType is the whole's, but for the boundary.
	ContentType string
	Parts       []Part
}

// Part is a part of a Mail.
type Part struct {
	ContentType string
	FileName    string // of an attachment
	Body        []byte
}

// maxURI is how many bytes of a URI are read; a longer one is none.
const maxURI = 1024

// IsURI reports whether uri has no characters but those of URIs, and not too many.
func IsURI(uri string) bool {
	return len(uri) <= maxURI && !strings.ContainsFunc(uri, func(c rune) bool { return c <= ' ' || c > '~' })
}

// Mailto returns the address of a mailto URI; the zero address where it is none.
func Mailto(uri string) message.Address {
	u, err := url.Parse(uri)
	if err != nil || !IsURI(uri) || u.Scheme != "mailto" {
		return message.Address{}
	}
	to, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return message.Address{}
	}
	a, err := message.ParseAddress(to)
	if err != nil || a.Domain == "" {
		return message.Address{}
	}
	return a
}
