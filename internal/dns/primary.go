package dns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// Record is a record of a zone.
type Record struct {
	Name string // absolute, lower case, no final dot
	TTL  uint32 // seconds
	Type string
	Data string // as a zone file has it; of TXT the strings joined, without quotes

	native mdns.RR // as the zone has it
}

// Primary is the name server of zones that takes changes of them (RFC 2136), signed by a key (TSIG, RFC 8945). It also has to let the
// key's holder read whole zones (AXFR).
type Primary struct {
	Server    string // host:port
	KeyName   string
	Algorithm string // "hmac-sha256" and the like
	Secret    string // base64
}

const (
	// updateTimeout bounds an exchange with a primary.
	updateTimeout = 30 * time.Second
	// maxZone is how many records of a zone are read.
	maxZone = 100_000
	// clockSkew is how far apart the clocks of both sides may be, in seconds.
	clockSkew = 300
)

func (p *Primary) secrets() map[string]string {
	return map[string]string{mdns.CanonicalName(p.KeyName): p.Secret}
}

func (p *Primary) sign(m *mdns.Msg) *mdns.Msg {
	return m.SetTsig(mdns.CanonicalName(p.KeyName), mdns.Fqdn(p.Algorithm), clockSkew, time.Now().Unix())
}

func (p *Primary) connect(ctx context.Context) (*mdns.Client, *mdns.Conn, error) {
	client := &mdns.Client{Net: "tcp", Timeout: updateTimeout, TsigSecret: p.secrets()}
	conn, err := client.DialContext(ctx, p.Server)
	if err != nil {
		return nil, nil, fmt.Errorf("name server %s: %w", p.Server, err)
	}
	return client, conn, nil
}

// Records reads a zone, without what DNSSEC adds to it.
func (p *Primary) Records(ctx context.Context, zone string) (records []Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	_, conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close() // the transfer is over
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	transfer := mdns.Transfer{Conn: conn, TsigSecret: p.secrets()}
	parts, err := transfer.In(p.sign(new(mdns.Msg).SetAxfr(mdns.Fqdn(zone))), p.Server)
	if err != nil {
		return nil, fmt.Errorf("read the zone %s from %s: %w", zone, p.Server, err)
	}
	soa := 0
	for part := range parts { // to the end, or its goroutine stays
		if part.Error != nil {
			err = errors.Join(err, part.Error)
		}
		for _, rr := range part.RR {
			switch rr.Header().Rrtype {
			case mdns.TypeSOA:
				soa++ // it stands at both ends
			case mdns.TypeRRSIG, mdns.TypeNSEC, mdns.TypeNSEC3, mdns.TypeNSEC3PARAM, mdns.TypeDNSKEY, mdns.TypeCDS, mdns.TypeCDNSKEY:
			default:
				if records = append(records, recordOf(rr)); len(records) == maxZone && err == nil {
					err = fmt.Errorf("it has more than %d records", maxZone)
					_ = conn.SetDeadline(time.Unix(1, 0))
				}
			}
		}
	}
	if err == nil && soa < 2 {
		err = errors.New("the transfer was cut off")
	}
	if err != nil {
		return nil, fmt.Errorf("read the zone %s from %s: %w", zone, p.Server, err)
	}
	return records, nil
}

func recordOf(rr mdns.RR) Record {
	h := rr.Header()
	r := Record{Name: fold(h.Name), TTL: h.Ttl, Type: mdns.TypeToString[h.Rrtype], Data: strings.TrimPrefix(rr.String(), h.String()), native: rr}
	if txt, ok := rr.(*mdns.TXT); ok {
		r.Data = strings.Join(txt.Txt, "")
	}
	return r
}

// rr is the record as a message has it, a copy of the caller's own.
func (r Record) rr() (mdns.RR, error) {
	if r.native != nil {
		return mdns.Copy(r.native), nil
	}
	rr, err := mdns.NewRR(fmt.Sprintf("%s. %d IN %s %s", r.Name, r.TTL, r.Type, r.Data))
	if err != nil {
		return nil, fmt.Errorf("the record %s %s: %w", r.Name, r.Type, err)
	}
	return rr, nil
}

// Update removes and adds records of a zone in one step. Records to remove that are gone are no error. Those that Records did not return
// have their Data as a zone file has it, a text with its quotes.
func (p *Primary) Update(ctx context.Context, zone string, remove, add []Record) error {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	m := new(mdns.Msg).SetUpdate(mdns.Fqdn(zone))
	for _, r := range remove {
		rr, err := r.rr()
		if err != nil {
			return err
		}
		m.Remove([]mdns.RR{rr})
	}
	for _, r := range add {
		r.native = nil
		rr, err := r.rr()
		if err != nil {
			return err
		}
		m.Insert([]mdns.RR{rr})
	}
	client, conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() // the exchange is over
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	answer, _, err := client.ExchangeWithConnContext(ctx, p.sign(m), conn)
	if err == nil && answer.Rcode != mdns.RcodeSuccess {
		err = errors.New("the server answers " + mdns.RcodeToString[answer.Rcode])
	}
	if err != nil {
		return fmt.Errorf("change the zone %s at %s: %w", zone, p.Server, err)
	}
	return nil
}
