package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// SESInbound is a bucket into which receipt rules of Amazon SES put mail: [ses_inbound.NAME].
type SESInbound struct {
	// URL is s3://bucket/prefix, with the parameters of blob_url (region, endpoint, path_style). An endpoint in a private network must be in
	// AllowedNetworks.
	URL string `toml:"url"`
	// AccessKeyID and the key in SecretAccessKeyFile sign the requests. Without them the AWS environment does.
	AccessKeyID         string `toml:"access_key_id"`
	SecretAccessKeyFile string `toml:"secret_access_key_file"`
	// QueueURL is the SQS queue that the bucket's notifications go to. Without it the bucket is listed.
	QueueURL string `toml:"queue_url"`
	// QueueEndpoint is another server that speaks SQS, in place of Amazon's.
	QueueEndpoint string `toml:"queue_endpoint"`
	// PollSeconds is the pause between two listings; 60 where it is 0.
	PollSeconds int `toml:"poll_seconds"`
	// Done is what becomes of an object whose message is delivered: "move" (the default), to DonePrefix, or "delete".
	Done string `toml:"done"`
	// DonePrefix and AsidePrefix are where objects go that are delivered, and that can't be; "delivered/" and "aside/" where they are empty.
	DonePrefix  string `toml:"done_prefix"`
	AsidePrefix string `toml:"aside_prefix"`
}

func (c *Config) checkSESInbound() (faults []error) {
	queues := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.SESInbound)) {
		s := c.SESInbound[name]
		wrong := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("ses_inbound.%q: %s", name, fmt.Sprintf(format, args...)))
		}
		if u, err := url.Parse(s.URL); err != nil || u.Scheme != "s3" || u.Host == "" || u.User != nil {
			wrong("url is not of the form s3://bucket/prefix")
		}
		for key, text := range map[string]string{"queue_url": s.QueueURL, "queue_endpoint": s.QueueEndpoint} {
			if u, err := url.Parse(text); text != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
				wrong("%s %q is neither https://… nor http://…", key, text)
			}
		}
		switch {
		case s.QueueEndpoint != "" && s.QueueURL == "":
			wrong("queue_endpoint goes with queue_url")
		case s.QueueURL != "" && queues[s.QueueURL] != "":
			wrong("queue_url is that of ses_inbound.%q, too, which would take this one's notifications for nothing", queues[s.QueueURL])
		case (s.AccessKeyID == "") != (s.SecretAccessKeyFile == ""):
			wrong("access_key_id and secret_access_key_file go together")
		case s.PollSeconds < 0 || s.PollSeconds > 86_400:
			wrong("poll_seconds %d is not between 1 and 86400", s.PollSeconds)
		case s.Done != "" && s.Done != "move" && s.Done != "delete":
			wrong("done %q is neither move nor delete", s.Done)
		}
		queues[s.QueueURL] = name
		for key, prefix := range map[string]string{"done_prefix": s.DonePrefix, "aside_prefix": s.AsidePrefix} {
			if prefix != "" && (!strings.HasSuffix(prefix, "/") || strings.HasPrefix(prefix, "/")) {
				wrong("%s %q is not a prefix that ends in a slash, as done/", key, prefix)
			}
		}
	}
	return faults
}
