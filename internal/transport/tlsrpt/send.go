package tlsrpt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
)

const (
	postTimeout = time.Minute
	maxAnswer   = 64 << 10 // bytes of what a web server says to a report
	mediaType   = "application/tlsrpt+gzip"
)

// Mailer sends reports by mail.
type Mailer interface {
	// Send makes the mail durable, as a message that is on its way, in one transaction with done; or returns an error, and is called
	// again later. done may be run more than once and does no I/O.
	//
	// RFC 8460 section 5.3 wants the message signed with DKIM by its sender's domain, and delivered whatever DANE or MTA-STS say of the
	// connection, as what it reports may be what would keep it back.
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

// mail is a report as a message (RFC 8460 section 5.3).
func (r *Reporter) mail(found *report, to string) *Mail {
	_, submitter, _ := strings.Cut(r.From, "@")
	from, until := begins(found.day), begins(found.day+1).Add(-time.Second)
	return &Mail{
		ID: found.id, From: r.From, To: to,
		Subject:     fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s@%s>", found.domain, submitter, found.id, submitter),
		Header:      [][2]string{{"TLS-Report-Domain", found.domain}, {"TLS-Report-Submitter", submitter}},
		ContentType: `multipart/report; report-type="tlsrpt"`,
		Parts: []Part{
			{ContentType: "text/plain; charset=us-ascii", Body: fmt.Appendf(nil,
				"This is an aggregate TLS report for %s of %s (UTC), from %s.\r\n", found.domain, from.Format(time.DateOnly), submitter)},
			{
				ContentType: mediaType, Body: found.body,
				FileName: fmt.Sprintf("%s!%s!%d!%d!%s.json.gz", submitter, found.domain, from.Unix(), until.Unix(), found.id),
			},
		},
	}
}

func postClient(d *dial.Dialer, roots *x509.CertPool) *http.Client {
	c := d.Client(dial.HTTPOptions{Timeout: postTimeout, MaxBody: maxAnswer, TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// post hands a report to a web server.
func (r *Reporter) post(ctx context.Context, uri string, body io.Reader) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, uri, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", mediaType)
	response, err := r.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() // what it says does not count
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the server answers %s", response.Status)
	}
	return nil
}
