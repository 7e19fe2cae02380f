package tlsrpt

import (
	"bytes"
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
	"github.com/pennypost/pennypost/internal/message/mailreport"
	"github.com/pennypost/pennypost/internal/transport/dayreport"
)

const (
	postTimeout = time.Minute
	maxAnswer   = 64 << 10 // bytes of what a web server says to a report
	mediaType   = "application/tlsrpt+gzip"
)

// deliver mails a report, or posts it.
func (r *Reporter) deliver(ctx context.Context, found *dayreport.Report, uri string, done func(context.Context, *db.Tx) error) error {
	if to := dayreport.Mailto(uri); !to.IsZero() {
		return r.Mailer.Send(ctx, r.mail(found, to.String()), done)
	}
	if err := r.post(ctx, uri, bytes.NewReader(found.Body)); err != nil {
		return err
	}
	return r.DB.Write(ctx, done)
}

// mail is a report as a message (RFC 8460 section 5.3).
func (r *Reporter) mail(found *dayreport.Report, to string) *dayreport.Mail {
	_, submitter, _ := strings.Cut(r.From, "@")
	return &dayreport.Mail{
		ID: found.ID, From: r.From, To: to,
		Subject:     fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s@%s>", found.Domain, submitter, found.ID, submitter),
		Header:      [][2]string{{"TLS-Report-Domain", found.Domain}, {"TLS-Report-Submitter", submitter}},
		ContentType: `multipart/report; report-type="tlsrpt"`,
		Parts: []dayreport.Part{
			{ContentType: "text/plain; charset=us-ascii", Body: fmt.Appendf(nil,
				"This is an aggregate TLS report for %s of %s (UTC), from %s.\r\n", found.Domain, found.Day, submitter)},
			{
				ContentType: mediaType, Body: found.Body,
				FileName: mailreport.FileName(submitter, found.Domain, found.Day.Begin(), found.Day.End(), found.ID, "json.gz"),
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
