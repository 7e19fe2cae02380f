package imap

import (
	"context"

	"github.com/pennypost/pennypost/internal/imap/wire"
)

// A mailbox has one quota root, "", that all its folders belong to (RFC 9208 section 3.2).

// getQuota answers GETQUOTA.
func (c *conn) getQuota(ctx context.Context, a wire.GetQuota) (result, error) {
	if a.Root != "" {
		return result{}, no("NONEXISTENT", `the only quota root is ""`)
	}
	return result{}, c.tellQuota(ctx)
}

// getQuotaRoot answers GETQUOTAROOT.
func (c *conn) getQuotaRoot(ctx context.Context, a wire.GetQuotaRoot) (result, error) {
	f, err := c.s.Mailboxes.Folder(ctx, c.box, canonical(a.Mailbox))
	if err != nil {
		return result{}, err
	}
	c.w.Raw("* QUOTAROOT ")
	c.w.Mailbox(f.Path)
	c.w.Raw(` ""`)
	c.w.End()
	return result{}, c.tellQuota(ctx)
}

// tellQuota sends QUOTA, in units of 1024 bytes. What is used is rounded up, what is allowed down.
func (c *conn) tellQuota(ctx context.Context) error {
	d, err := c.s.Mailboxes.Details(ctx, c.box)
	if err != nil {
		return err
	}
	b := appendNumber(append(c.w.Buf(), `* QUOTA "" (STORAGE `...), (d.Bytes+1023)/1024)
	b = appendNumber(append(b, ' '), d.Quota/1024)
	c.w.SetBuf(append(b, ")\r\n"...))
	return nil
}
