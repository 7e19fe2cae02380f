package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/server"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/domain/publish"
)

func domainPublishCommand(load loader, reach reachDomains) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish DOMAIN",
		Short: "Write a domain's missing DNS records at a [dns_provider.NAME]: exit 0 if all are there then, 1 if some were left, 2 if it could not",
		Args:  cobra.ExactArgs(1),
	}
	var p publication
	flags := cmd.Flags()
	p.organization = organizationFlag(cmd)
	flags.StringVar(&p.provider, "provider", "", "name of the [dns_provider.NAME] (empty: the only one)")
	flags.StringVar(&p.zone, "zone", "", "zone that the domain is in (empty: as DNS says)")
	flags.BoolVar(&p.replace, "replace", false, "replace records that are in the way of the domain's")
	flags.BoolVar(&p.yes, "yes", false, "don't ask before writing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := load()
		if err != nil {
			return err
		}
		zones, err := p.open(c)
		if err != nil {
			return err
		}
		if p.zone = strings.ToLower(strings.TrimSuffix(p.zone, ".")); p.zone == "" {
			if p.zone, err = dns.New(c.DNSResolver).FindZone(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("%w; name it with --zone", err)
			}
		}
		return p.run(cmd.Context(), reach, zones, args[0], cmd.InOrStdin(), cmd.OutOrStdout())
	}
	return unanswered(cmd)
}

// publication is what the command line says of one.
type publication struct {
	organization   *string
	provider, zone string
	replace, yes   bool
}

// open reaches the provider.
func (p *publication) open(c *config.Config) (publish.Zones, error) {
	names := slices.Sorted(maps.Keys(c.DNSProviders))
	if p.provider == "" && len(names) == 1 {
		p.provider = names[0]
	}
	s, ok := c.DNSProviders[p.provider]
	switch {
	case !ok && len(names) == 0:
		return nil, errors.New("there is no table [dns_provider.NAME] in the file of settings (--config)")
	case !ok:
		return nil, fmt.Errorf("name one of the providers %s with --provider", strings.Join(names, ", "))
	}
	zones, err := server.OpenZones(s)
	if err != nil {
		return nil, fmt.Errorf("dns_provider.%q: %w", p.provider, err)
	}
	return zones, nil
}

// run compares, shows, asks and writes.
func (p *publication) run(ctx context.Context, reach reachDomains, zones publish.Zones, name string, in io.Reader, out io.Writer) error {
	var findings []domain.Finding
	err := reach(ctx, func(d mailDomains) (err error) {
		findings, err = d.CheckDomain(ctx, server.DomainRef{Organization: *p.organization, Domain: name})
		return err
	})
	if err != nil {
		return err
	}
	records, err := zones.Records(ctx, p.zone)
	if err != nil {
		return err
	}
	plan, err := publish.Make(findings, p.zone, records, p.replace)
	if err != nil {
		return err
	}
	for _, line := range plan.Lines() {
		fmt.Fprintln(out, line)
	}
	unknown := 0
	for _, f := range plan.Left {
		if f.Status == domain.Unknown {
			unknown++
		}
		fmt.Fprintf(out, "left: %s\n", f.Line())
		for _, found := range f.Found {
			fmt.Fprintf(out, "      there is %s\n", orNone(found))
		}
		if f.Note != "" {
			fmt.Fprintf(out, "      %s\n", orNone(f.Note))
		}
	}
	if n := len(plan.Add) + len(plan.Remove); n > 0 {
		if !p.yes && !agreed(in, out, fmt.Sprintf("Make these %d changes to the zone %s? [y/N] ", n, p.zone)) {
			fmt.Fprintln(out, "nothing was changed")
			return statusFaulty
		}
		if err := plan.Apply(ctx, zones, p.zone); err != nil {
			return err
		}
		fmt.Fprintf(out, "the zone %s is changed; DNS may tell what was there before until its time is over\n", p.zone)
	} else {
		fmt.Fprintf(out, "there is nothing to add to the zone %s\n", p.zone)
	}
	switch {
	case len(plan.Left) > unknown:
		return statusFaulty
	case unknown > 0:
		return failure{statusNoAnswer, fmt.Errorf("%d records could not be looked up", unknown)}
	}
	return nil
}

// agreed asks a question, to which anything but yes is no.
func agreed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprint(out, question)
	answer, _ := bufio.NewReader(in).ReadString('\n') // what ends early is no yes
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer)))
}
