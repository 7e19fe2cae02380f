package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/transport/scan"
	"github.com/pennypost/pennypost/internal/transport/spam"
)

// openHygiene wires what judges mail and what looks into it.
func (c *core) openHygiene(settings *config.Config) error {
	c.scanner = scan.New(scan.Options{
		AcceptUnscanned: settings.ClamdDown == "accept", Log: c.log,
		Types: scan.NewTypes(settings.BlockedAttachments), Inbound: settings.BlockedAttachmentsFrom == "all",
	})
	if settings.Clamd != "" {
		c.scanner.Clamd = scan.NewClamd(settings.Clamd)
	}
	rspamd, err := rspamdOf(settings)
	if err != nil {
		return err
	}
	c.spam = spam.New(spam.Options{DB: c.db, Directory: c.directory, Mailboxes: c.mailboxes, Clock: c.clock, Log: c.log, Key: c.root.Derive("spam tokens"), Rspamd: rspamd})
	c.filters = settings.SpamFilter
	c.spam.Handle(c.jobs.Beside())
	return nil
}

// filed hears of what users say of messages by filing them.
func (c *core) filed(ctx context.Context, tx *db.Tx, f mailbox.Filed) error {
	if !c.filters {
		return nil
	}
	return c.spam.FiledTx(ctx, tx, f)
}

// forget removes what others than package mailbox keep of a mailbox.
func (c *core) forget(ctx context.Context, tx *db.Tx, id mailbox.ID, limit int) (int, error) {
	n := 0
	for _, forget := range []func(context.Context, *db.Tx, mailbox.ID, int) (int, error){c.mailImport.ForgetTx, c.spam.ForgetTx, c.scripts.ForgetTx, c.replies.ForgetTx} {
		more, err := forget(ctx, tx, id, limit-n)
		if n += more; err != nil || n >= limit {
			return n, err
		}
	}
	return n, nil
}

// rspamdOf returns the rspamd of the settings; nil where there is none.
func rspamdOf(settings *config.Config) (*spam.Rspamd, error) {
	if settings.Rspamd == "" && settings.RspamdController == "" {
		return nil, nil
	}
	r := &spam.Rspamd{
		URL: settings.Rspamd, Controller: settings.RspamdController, Reject: settings.RspamdReject == "refuse",
		Client: &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}, // the operator's own choice, wherever it is, and through no proxy
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if file := settings.RspamdPasswordFile; file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("rspamd_password_file: %w", err)
		}
		if r.Password = strings.TrimSpace(string(text)); r.Password == "" || len(text) > maxSecret || strings.ContainsFunc(r.Password, notPrintable) {
			return nil, fmt.Errorf("rspamd_password_file: %s does not hold one line of printable ASCII of at most %d bytes", file, maxSecret)
		}
	}
	return r, nil
}
