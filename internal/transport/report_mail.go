package transport

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
	"github.com/pennypost/pennypost/internal/transport/intake"
)

// Send sends a report for package dayreport.
func (t *Transport) Send(ctx context.Context, m *dayreport.Mail, done func(context.Context, *db.Tx) error) error {
	to, err := message.ParseAddress(m.To)
	_, from, _ := strings.Cut(m.From, "@")
	if err != nil {
		return fault.Wrap(err, fault.Invalid, fault.Address, "a report can't be sent to %q", m.To)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, p := range m.Parts {
		h := textproto.MIMEHeader{"Content-Type": {p.ContentType}, "Content-Transfer-Encoding": {"base64"}}
		if p.FileName != "" {
			h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": p.FileName}))
		}
		part, err := w.CreatePart(h)
		if err != nil {
			return err
		}
		if _, err := part.Write(base64Lines(p.Body)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n", m.From, m.To,
		mime.QEncoding.Encode("utf-8", m.Subject), t.Clock.Now().Format("Mon, 2 Jan 2006 15:04:05 -0700"), m.ID, t.Hostname)
	for _, f := range m.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: %s; boundary=%q\r\n\r\n", m.ContentType, w.Boundary())
	b.Write(body.Bytes())
	here, err := t.reportsHere(ctx, to)
	if err != nil {
		return err
	}
	if here != nil {
		keep, err := t.Reports.Receive(ctx, b.Bytes(), from, []intake.Address{*here})
		if err != nil {
			return err
		}
		return t.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			if err := keep(ctx, tx); err != nil {
				return err
			}
			return done(ctx, tx)
		})
	}
	return t.sendNotice(ctx, &notice{to: to, since: t.Clock.Now(), trace: m.ID, text: b.Bytes()}, done)
}

// base64Lines encodes b in lines of 76 characters (RFC 2045 section 6.8).
func base64Lines(b []byte) []byte {
	text := base64.StdEncoding.EncodeToString(b)
	var out bytes.Buffer
	for len(text) > 76 {
		out.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	out.WriteString(text + "\r\n")
	return out.Bytes()
}
