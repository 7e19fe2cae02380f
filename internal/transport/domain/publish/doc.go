// Package publish writes the records of a domain into its zone, at whoever keeps the zone. It works in the process of the command line,
// as the server itself needs no right to change a zone, unless a CA looks there whether a name is ours (dns-01).
package publish

import (
	"context"

	"github.com/pennypost/pennypost/internal/dns"
)

// Record is a record of a zone.
type Record struct {
	Name string // absolute, lower case, no final dot
	TTL  uint32 // seconds
	Type string
	Data string // as a zone file has it; of TXT the strings joined, without quotes

	native any // as whoever keeps the zone has it
}

// Zones is an account with whoever keeps zones.
type Zones interface {
	// Records reads a zone.
	Records(ctx context.Context, zone string) ([]Record, error)
	// Change removes records, those that Records returned or some like them, and adds others: all of it, or none. A record to remove that is
	// gone is no error. With neither it fails where the zone is none of the account's.
	Change(ctx context.Context, zone string, remove, add []Record) error
}

// Primary is a name server that takes dynamic updates (RFC 2136).
type Primary struct{ dns.Primary }

// Records reads a zone by a transfer.
func (p *Primary) Records(ctx context.Context, zone string) ([]Record, error) {
	list, err := p.Primary.Records(ctx, zone)
	if err != nil {
		return nil, err
	}
	records := make([]Record, len(list))
	for i, r := range list {
		records[i] = Record{Name: r.Name, TTL: r.TTL, Type: r.Type, Data: r.Data, native: r}
	}
	return records, nil
}

// Change is one update.
func (p *Primary) Change(ctx context.Context, zone string, remove, add []Record) error {
	gone, made := make([]dns.Record, len(remove)), make([]dns.Record, len(add))
	text := func(r Record) dns.Record { return dns.Record{Name: r.Name, TTL: r.TTL, Type: r.Type, Data: r.data()} }
	for i, r := range remove {
		if native, ok := r.native.(dns.Record); ok {
			gone[i] = native
		} else {
			gone[i] = text(r)
		}
	}
	for i, r := range add {
		made[i] = text(r)
	}
	return p.Update(ctx, zone, gone, made)
}
