package server

import (
	"context"
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message/dkim"
	"github.com/pennypost/pennypost/internal/transport/gate"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
)

const (
	// greetedAfter is how long other servers wait for the greeting. Who sends spam from a borrowed machine often doesn't.
	greetedAfter = 250 * time.Millisecond
	// userConnections are those to submission from one address, behind which there may be an office.
	userConnections = 50
)

// openGates makes those who ask who may bring mail.
func (c *core) openGates(settings *config.Config, resolver *dns.Resolver) error {
	lists, err := settings.ReadDNSLists()
	if err != nil {
		return err
	}
	strangers := gate.Options{
		Clock: c.clock, Log: c.log, Resolver: resolver, Exempt: settings.ExemptNetworks, Quiet: greetedAfter,
		Limits: gate.Limits{
			Connections: settings.LimitAddressConnections, Connects: settings.LimitAddressConnects,
			Messages: settings.LimitAddressMessages, Recipients: settings.LimitAddressRecipients,
		},
	}
	for _, l := range lists {
		strangers.Lists = append(strangers.Lists, gate.List{Zone: l.Zone, Refuse: l.Reject})
	}
	c.strangers = gate.New(strangers)
	c.users = gate.New(gate.Options{
		Clock: c.clock, Log: c.log, Exempt: settings.ExemptNetworks,
		Limits: gate.Limits{Connections: userConnections, UserMessages: settings.LimitUserMessages, UserRecipients: settings.LimitUserRecipients},
	})
	c.greylist = gate.NewGreylist(gate.GreylistOptions{
		DB: c.db, Clock: c.clock, Log: c.log, Exempt: settings.ExemptNetworks, Off: !settings.Greylisting,
		SPF: func(ctx context.Context, client mailauth.Client) bool {
			return mailauth.SPF(ctx, resolver, client).Result == dkim.Pass
		},
	})
	if settings.Greylisting {
		c.transport.Greylist = c.greylist
	}
	return nil
}
