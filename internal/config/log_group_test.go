package config

import (
	"strings"
	"testing"
)

func TestLogGroups(t *testing.T) {
	const arn = "arn:aws:logs:us-east-1:000000000000:log-group:/mail:*"
	group := func(text string) string { return "[log_group.\"" + arn + "\"]\n" + text }
	c, err := Load(Sources{File: file(t, "region = 'eu-west-1'\n"+group("kind = 'file'\npath = '/x'\naudit_logs = ['AUTHENTICATION_LOGS']\n"))})
	if err != nil {
		t.Fatal(err)
	}
	if g := c.LogGroups[arn]; g.Kind != "file" || g.Path != "/x" || len(g.AuditLogs) != 1 || c.Region != "eu-west-1" {
		t.Errorf("loaded %+v", c.LogGroups)
	}
	for text, want := range map[string]string{
		group("kind = 'file'\npath = '/x'\nurl = 'https://x'\n"):        "does not go with",
		group("kind = 'file'\npath = 'x'\n"):                            "from the root",
		group("kind = 'file'\npath = '/x'\npaths = '/y'\n"):             "there is no setting",
		group("kind = 'https'\nurl = 'http://x'\n"):                     "https needs",
		group("kind = 'otlp'\n"):                                        "neither https",
		group("kind = 'tape'\n"):                                        "none of file",
		group("kind = 'file'\npath = '/x'\naudit_logs = ['ALL']\n"):     "is none of ACCESS",
		group("kind = 'file'\npath = '/x'\norganizations = ['acme']\n"): "not the id",
		"[log_group.x]\nkind = 'file'\npath = '/x'\n":                   "not of the form",
		"log_group = 'x'\n":                                             "log_group",
	} {
		if _, err := Load(Sources{File: file(t, text)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(Sources{Env: table(map[string]string{"PENNYPOST_AUDIT_RETENTION_DAYS": "0"})}); err == nil {
		t.Error("a trail that is kept for no day was accepted")
	}
}
