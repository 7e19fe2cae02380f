package config

import (
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

var attachmentType = lazyregexp.New(`\A\.?[a-z0-9_+-]+\*?\z`)

// checkHygiene tells what is wrong with the settings of filters and scanners.
func (c *Config) checkHygiene(wrong func(key, format string, args ...any)) {
	for _, s := range []struct {
		key, value string
		allowed    []string
	}{
		{"rspamd_reject", c.RspamdReject, []string{"junk", "refuse"}},
		{"clamd_down", c.ClamdDown, []string{"defer", "accept"}},
		{"blocked_attachments_from", c.BlockedAttachmentsFrom, []string{"users", "all"}},
	} {
		if !slices.Contains(s.allowed, s.value) {
			wrong(s.key, "%q is neither %s", s.value, strings.Join(s.allowed, " nor "))
		}
	}
	for _, s := range []struct{ key, value string }{{"rspamd", c.Rspamd}, {"rspamd_controller", c.RspamdController}} {
		if u, err := url.Parse(s.value); s.value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil) {
			wrong(s.key, "this is not of the form http://host:port (a password stands in the file of rspamd_password_file)")
		}
	}
	if (c.Rspamd != "" || c.RspamdController != "") && !c.SpamFilter {
		wrong("spam_filter", "rspamd is asked only where there is a filter")
	}
	if path, unix := strings.CutPrefix(c.Clamd, "unix:"); unix && !filepath.IsAbs(path) {
		wrong("clamd", "%q: the path of a socket is absolute", c.Clamd)
	} else if !unix && c.Clamd != "" {
		if err := checkAddress(c.Clamd); err != nil {
			wrong("clamd", "%v (or unix:/path)", err)
		}
	}
	for _, t := range c.BlockedAttachments {
		if !attachmentType.MatchString(t) {
			wrong("blocked_attachments", "%q is not an extension of a file name", t)
		}
	}
}
