package sieve

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// datePart returns a part of a time in its zone (RFC 5260 section 4.2).
func datePart(t time.Time, part string) (value string, ok bool) {
	layout := ""
	switch lower(part) {
	case "year":
		layout = "2006"
	case "month":
		layout = "01"
	case "day":
		layout = "02"
	case "date":
		layout = "2006-01-02"
	case "hour":
		layout = "15"
	case "minute":
		layout = "04"
	case "second":
		layout = "05"
	case "time":
		layout = "15:04:05"
	case "iso8601":
		layout = time.RFC3339
	case "std11":
		layout = time.RFC1123Z
	case "zone":
		layout = "-0700"
	case "weekday":
		return fmt.Sprint(int(t.Weekday())), true
	case "julian":
		year, month, day := t.Date()
		epoch := time.Date(1858, time.November, 17, 0, 0, 0, 0, time.UTC)
		return fmt.Sprint(int(time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Sub(epoch).Hours()) / 24), true
	default:
		return "", false
	}
	return t.Format(layout), true
}

func checkDate(c *compiler, n *node) error {
	part := n.args[len(n.args)-2]
	err := part.constants(func(s string) error {
		if _, ok := datePart(time.Time{}, s); !ok {
			return fmt.Errorf("a date has no part %s; there are: year, month, day, date, julian, hour, minute, second, time, iso8601, std11, zone, weekday", show(s))
		}
		return nil
	})
	if err == nil && n.has("zone") {
		err = n.tags["zone"].constants(func(s string) error {
			_, err := parseZone(s)
			return err
		})
	}
	if err != nil {
		return err
	}
	return checkIndex(c, n)
}

// parseZone reads an offset, "+0130".
func parseZone(s string) (*time.Location, error) {
	t, err := time.Parse("-0700", s)
	if err != nil {
		return nil, fmt.Errorf(`%s is no zone: write it like "+0130"`, show(s))
	}
	_, offset := t.Zone()
	return time.FixedZone("", offset), nil
}

// compareDate compares a part of a time, in the zone that the node asks for.
func (r *run) compareDate(n *node, t time.Time) (bool, error) {
	switch {
	case n.has("zone"):
		zone, err := parseZone(r.tagText(n, "zone"))
		if err != nil {
			return false, n.tags["zone"].at.errorf("%s", err)
		}
		t = t.In(zone)
	case !n.has("originalzone"):
		t = t.In(r.env.Now.Location())
	}
	at := len(n.args) - 2
	value, ok := datePart(t, r.expand(&n.args[at].texts[0]))
	if !ok {
		return false, nil
	}
	return r.compare(n, []string{value}, 1, n.args[at+1], true)
}

func (r *run) date(_ context.Context, n *node) (bool, error) {
	fields, err := r.indexed(n, r.expandAll(n.args[0]))
	if err != nil {
		return false, err
	}
	if len(fields) > 0 {
		if err := r.spend(n, len(fields[0].content)); err != nil {
			return false, err
		}
		written := fields[0].unfolded()
		if i := strings.LastIndexByte(written, ';'); i >= 0 {
			written = written[i+1:]
		}
		if t, ok := message.ParseDate(written); ok {
			return r.compareDate(n, t)
		}
	}
	return r.compare(n, nil, 0, n.args[2], true)
}

func (r *run) currentDate(_ context.Context, n *node) (bool, error) {
	return r.compareDate(n, r.env.Now)
}
