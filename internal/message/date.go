package message

import (
	"strconv"
	"strings"
	"time"
)

// ParseDate reads the value of a Date field (RFC 5322 section 3.3) and the obsolete and broken forms that mail holds: no
// weekday, two-digit years, names of zones, no zone, no seconds, comments, dashes, the month first. The time is in the zone
// as written; a zone that says nothing is UTC.
func ParseDate(s string) (t time.Time, ok bool) {
	f := dateFields{year: -1, zone: "+0000"}
	for _, w := range strings.FieldsFunc(stripComments(cut(s, 200)), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		f.word(w)
	}
	if f.day == 0 || f.month == 0 || f.year < 0 {
		return time.Time{}, false
	}
	switch { // RFC 5322 section 4.3
	case f.yearDigits <= 2 && f.year < 50:
		f.year += 2000
	case f.yearDigits <= 3:
		f.year += 1900
	}
	t = time.Date(f.year, f.month, f.day, f.hour, f.minute, min(f.second, 59), 0, zoneOf(f.zone))
	return t, t.Day() == f.day && f.hour < 24 && f.minute < 60 && f.second <= 60
}

type dateFields struct {
	day, year, yearDigits int
	month                 time.Month
	hour, minute, second  int
	timed                 bool
	zone                  string
}

// word takes one word of a date for what it looks like.
func (f *dateFields) word(w string) {
	switch {
	case (w[0] == '+' || w[0] == '-') && f.timed:
		f.zone = w
	case strings.Contains(w, ":"):
		f.clock(w)
	case strings.Count(w, "-") == 2: // 01-Jan-2026
		for part := range strings.SplitSeq(w, "-") {
			if part != "" {
				f.word(part)
			}
		}
	case w[0] >= '0' && w[0] <= '9':
		n, err := strconv.Atoi(w)
		switch {
		case err != nil || n > 9999:
		case f.day == 0 && len(w) <= 2 && n >= 1 && n <= 31:
			f.day = n
		case f.year < 0:
			f.year, f.yearDigits = n, len(w)
		}
	default:
		if m := monthOf(w); m != 0 && f.month == 0 {
			f.month = m
		} else if f.timed {
			f.zone = w
		}
	}
}

func (f *dateFields) clock(w string) {
	if f.timed {
		return
	}
	// A zone may be written against the time: 10:00:00+0200, 10:00:00Z.
	if i := strings.IndexFunc(w, func(r rune) bool { return (r < '0' || r > '9') && r != ':' && r != '.' }); i > 0 {
		w, f.zone = w[:i], w[i:]
	}
	f.timed = true
	parts := strings.Split(w, ":")
	to := []*int{&f.hour, &f.minute, &f.second}
	for i, part := range parts[:min(len(parts), 3)] {
		part, _, _ = strings.Cut(part, ".")
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || n > 99 {
			n = 99
		}
		*to[i] = n
	}
}

func monthOf(w string) time.Month {
	if len(w) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", lowerASCII(w[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// zoneOf knows numeric zones and the names of RFC 5322 section 4.3. All other names are UTC, as that section says.
func zoneOf(z string) *time.Location {
	if len(z) >= 5 && (z[0] == '+' || z[0] == '-') {
		n, err := strconv.Atoi(strings.Replace(z[1:min(len(z), 6)], ":", "", 1))
		if err != nil || n < 0 || n%100 > 59 || n/100 > 24 {
			return time.UTC
		}
		offset := (n/100*60 + n%100) * 60
		if z[0] == '-' {
			offset = -offset
		}
		return fixedZone(offset)
	}
	hours := map[string]int{"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
	return fixedZone(hours[strings.ToUpper(z)] * 3600)
}

func fixedZone(offset int) *time.Location {
	if offset == 0 {
		return time.UTC
	}
	return time.FixedZone("", offset)
}

// stripComments leaves out what stands in parentheses.
func stripComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var out []byte
	depth := 0
	for i := range len(s) {
		switch {
		case s[i] == '(':
			depth++
		case s[i] == ')' && depth > 0:
			depth--
			out = append(out, ' ')
		case depth == 0:
			out = append(out, s[i])
		}
	}
	return string(out)
}
