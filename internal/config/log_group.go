package config

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/lazyregexp"
)

// LogGroup is a log group.
type LogGroup struct {
	// Kind is "file" (JSON lines), "https" (POST of JSON lines), "otlp" (OpenTelemetry logs over HTTP) or "cloudwatch" (Amazon
	// CloudWatch Logs, by the credentials of the AWS environment).
	Kind string `toml:"kind"`
	// Path is the file, from the root.
	Path string `toml:"path"`
	// URL is where https and otlp post to; for cloudwatch another endpoint than Amazon's. Addresses that are not public need
	// AllowedNetworks. Without TLS only otlp and cloudwatch are reached.
	URL string `toml:"url"`
	// TokenFile holds a bearer token for https and otlp.
	TokenFile string `toml:"token_file"`
	// CAFile holds the certificates, PEM, that the server at URL is trusted by, in place of the system's.
	CAFile string `toml:"ca_file"`
	// AuditLogs are the types of audit logs that go here, such as "AUTHENTICATION_LOGS", of Organizations ("m-…"), or of all
	// where that is empty.
	AuditLogs     []string `toml:"audit_logs"`
	Organizations []string `toml:"organizations"`
}

// auditLogs are WorkMail's types of audit logs.
var auditLogs = []string{
	"ACCESS_CONTROL_LOGS", "AUTHENTICATION_LOGS", "WORKMAIL_MAILBOX_ACCESS_LOGS", "WORKMAIL_AVAILABILITY_PROVIDER_LOGS",
	"WORKMAIL_PERSONAL_ACCESS_TOKEN_LOGS",
}

var (
	logGroupARN    = lazyregexp.New(`\Aarn:aws:logs:[a-z\-0-9]*:[0-9]{12}:log-group:[\.\-_/#A-Za-z0-9]+:\*\z`)
	organizationID = lazyregexp.New(`\Am-[0-9a-f]{32}\z`)
)

func (c *Config) checkLogGroups() (faults []error) {
	for _, arn := range slices.Sorted(maps.Keys(c.LogGroups)) {
		g := c.LogGroups[arn]
		wrong := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("log_group.%q: %s", arn, fmt.Sprintf(format, args...)))
		}
		if !logGroupARN.MatchString(arn) {
			wrong("this is not of the form arn:aws:logs:REGION:ACCOUNT:log-group:NAME:*")
		}
		u, err := url.Parse(g.URL)
		web := err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http")
		switch {
		case g.Kind == "file" && !filepath.IsAbs(g.Path):
			wrong("a file needs its path, from the root")
		case g.Kind == "https" && (!web || u.Scheme != "https"):
			wrong("https needs its url, https://…")
		case g.Kind == "otlp" && !web, g.Kind == "cloudwatch" && g.URL != "" && !web:
			wrong("url %q is neither https://… nor http://…", g.URL)
		case !slices.Contains([]string{"file", "https", "otlp", "cloudwatch"}, g.Kind):
			wrong("kind %q is none of file, https, otlp, cloudwatch", g.Kind)
		case g.Kind != "file" && g.Path != "" || g.Kind == "file" && (g.URL != "" || g.CAFile != "") ||
			(g.Kind == "file" || g.Kind == "cloudwatch") && g.TokenFile != "":
			wrong("a setting does not go with the kind %s", g.Kind)
		}
		for _, name := range g.AuditLogs {
			if !slices.Contains(auditLogs, name) {
				wrong("audit log %q is none of %s", name, strings.Join(auditLogs, ", "))
			}
		}
		for _, id := range g.Organizations {
			if !organizationID.MatchString(id) {
				wrong("%q is not the id of an organization", id)
			}
		}
	}
	return faults
}
