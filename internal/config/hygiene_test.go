package config

import (
	"slices"
	"strings"
	"testing"
)

func TestFiltersAndScanners(t *testing.T) {
	for _, c := range []struct {
		text, says string // says is empty for what is taken
	}{
		{"", ""},
		{`rspamd = "http://127.0.0.1:11333"` + "\n" + `rspamd_controller = "https://spam.example"` + "\n" + `rspamd_reject = "refuse"`, ""},
		{`rspamd = "127.0.0.1:11333"`, "http://host:port"},
		{`rspamd_controller = "http://x:secret@127.0.0.1:11334"`, "http://host:port"},
		{`rspamd_reject = "drop"`, `"drop" is neither junk nor refuse`},
		{"spam_filter = false\n" + `rspamd = "http://127.0.0.1:11333"`, "only where there is a filter"},
		{`clamd = "unix:/run/clamav/clamd.ctl"`, ""},
		{`clamd = "127.0.0.1:3310"`, ""},
		{`clamd = "unix:clamd.ctl"`, "absolute"},
		{`clamd = "/run/clamav/clamd.ctl"`, "or unix:/path"},
		{`clamd_down = "drop"`, `"drop" is neither defer nor accept`},
		{`blocked_attachments = ""`, ""},
		{`blocked_attachments = "workmail, .ISO, doc*"`, ""},
		{`blocked_attachments = "*.exe"`, `"*.exe" is not an extension`},
		{`blocked_attachments_from = "me"`, "neither users nor all"},
	} {
		_, err := Load(Sources{File: file(t, c.text+"\n")})
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.text, err, c.says)
		}
	}
	c, err := Load(Sources{})
	if err != nil || !c.SpamFilter || !slices.Equal(c.BlockedAttachments, []string{"workmail"}) || c.BlockedAttachmentsFrom != "users" || c.ClamdDown != "defer" {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
}
