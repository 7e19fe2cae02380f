package server

import (
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/transport/ses"
)

// openSES wires what takes mail in from buckets of Amazon SES.
func (c *core) openSES(settings *config.Config) (err error) {
	sources := map[string]ses.Source{}
	for name, s := range settings.SESInbound {
		sources[name] = ses.Source{
			URL: s.URL, AccessKeyID: s.AccessKeyID, SecretAccessKeyFile: s.SecretAccessKeyFile, QueueURL: s.QueueURL, QueueEndpoint: s.QueueEndpoint,
			Poll: time.Duration(s.PollSeconds) * time.Second, Delete: s.Done == "delete", DonePrefix: s.DonePrefix, AsidePrefix: s.AsidePrefix,
		}
	}
	c.ses, err = ses.New(ses.Options{
		DB: c.db, Mail: c.transport, Clock: c.clock, Log: c.log, Dialer: c.dialer, Hostname: settings.Hostname,
		MaxMessage: settings.MaxMessage(), Spool: c.spool, Sources: sources,
	})
	if err != nil {
		return err
	}
	c.ses.Handle(c.jobs.Beside())
	return nil
}
