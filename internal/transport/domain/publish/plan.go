package publish

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/transport/domain"
)

// Plan is what would make a zone as a domain needs it.
type Plan struct {
	Remove, Add []Record
	// Left are the records in whose place there is something else, which is not to be replaced, and those that could not be looked up.
	Left []domain.Finding
}

// Make compares what a check found with what stands in the zone, which may be ahead of what DNS tells: what is there is not added again.
// Where others' records are in the way they are replaced if replace says so; records that are in nobody's way stay.
func Make(findings []domain.Finding, zone string, records []Record, replace bool) (*Plan, error) {
	var p Plan
	for _, f := range findings {
		if f.Status == domain.Right || !slices.Contains([]string{"TXT", "MX", "CNAME", "SRV"}, f.Type) || f.Value == "" {
			continue
		}
		if f.Name != zone && !strings.HasSuffix(f.Name, "."+zone) {
			return nil, fmt.Errorf("%s is not in the zone %s", f.Name, zone)
		}
		wanted := Record{Name: f.Name, TTL: domain.TTL, Type: f.Type, Data: f.Value}
		present, inTheWay := look(f.Purpose, wanted, records)
		if f.Status == domain.Unknown || len(inTheWay) > 0 && !replace {
			p.Left = append(p.Left, f)
			continue
		}
		p.Remove = append(p.Remove, inTheWay...)
		if !present {
			p.Add = append(p.Add, wanted)
		}
	}
	return &p, nil
}

// look says whether the wanted record is among a zone's, and which of them are in its way.
func look(purpose domain.Purpose, wanted Record, records []Record) (present bool, inTheWay []Record) {
	for _, r := range records {
		switch {
		case r.Name != wanted.Name:
		case same(r, wanted):
			present = true
		case r.Type == "CNAME", wanted.Type == "CNAME": // nothing stands beside an alias
			inTheWay = append(inTheWay, r)
		case r.Type == wanted.Type && (r.Type != "TXT" || excludes(purpose, r.Data)):
			inTheWay = append(inTheWay, r)
		}
	}
	return present, inTheWay
}

// excludes reports whether a text may not stand beside the wanted one of the purpose.
func excludes(purpose domain.Purpose, text string) bool {
	version, alone := map[domain.Purpose]string{
		domain.SPF: "v=spf1", domain.DMARC: "v=dmarc1", domain.TLSReports: "v=tlsrptv1", domain.MTASTS: "v=stsv1", domain.DKIM: "",
	}[purpose]
	return alone && strings.HasPrefix(strings.ToLower(strings.ReplaceAll(text, " ", "")), version)
}

// same compares records, but for how long they may be kept.
func same(a, b Record) bool {
	if a.Name != b.Name || a.Type != b.Type {
		return false
	}
	return a.Data == b.Data || a.Type != "TXT" && folded(a.Data) == folded(b.Data)
}

// folded is data whose names are folded.
func folded(data string) string {
	fields := strings.Fields(strings.ToLower(data))
	for i, f := range fields {
		fields[i] = strings.TrimSuffix(f, ".")
	}
	return strings.Join(fields, " ")
}

// Apply carries out a plan, and reads back whether the zone is now as it says.
func (p *Plan) Apply(ctx context.Context, zones Zones, zone string) error {
	if err := zones.Change(ctx, zone, p.Remove, p.Add); err != nil {
		return err
	}
	after, err := zones.Records(ctx, zone)
	if err != nil {
		return fmt.Errorf("read the zone again: %w", err)
	}
	has := func(r Record) bool { return slices.ContainsFunc(after, func(a Record) bool { return same(a, r) }) }
	for _, r := range p.Add {
		if !has(r) {
			return fmt.Errorf("the zone does not have what was added: %s", r.line())
		}
	}
	for _, r := range p.Remove {
		if has(r) {
			return fmt.Errorf("the zone still has what was removed: %s", r.line())
		}
	}
	return nil
}

// Lines are the changes as lines of a zone file, behind "-" what is removed and "+" what is added.
func (p *Plan) Lines() []string {
	var lines []string
	for _, r := range p.Remove {
		lines = append(lines, "- "+r.line())
	}
	for _, r := range p.Add {
		lines = append(lines, "+ "+r.line())
	}
	return lines
}

func (r Record) data() string { return domain.Record{Type: r.Type, Value: r.Data}.Data() }

func (r Record) line() string { return fmt.Sprintf("%s. %d IN %s %s", r.Name, r.TTL, r.Type, r.data()) }
