package wire

import (
	"strings"
	"time"
)

// dateTime takes a date-time (RFC 3501 section 9): "17-Jul-1996 02:44:25 -0700", a day below 10 with a space or a zero.
func (r *Reader) dateTime() time.Time {
	s := r.quoted()
	if r.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006 15:04:05 -0700", strings.TrimLeft(s, " "))
	// FETCH answers in UTC, where the year must have four digits as well.
	if y := t.UTC().Year(); err != nil || len(s) != len("17-Jul-1996 02:44:25 -0700") || y < 1 || y > 9999 {
		r.fail(`a date-time has the form "17-Jul-1996 02:44:25 -0700"`)
		return time.Time{}
	}
	return t
}

// date takes a date of SEARCH, as midnight UTC.
func (r *Reader) date() time.Time {
	var s string
	if r.peek() == '"' {
		s = r.quoted()
	} else {
		s = r.word("a date")
	}
	if r.err != nil {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", strings.TrimLeft(s, " "))
	if err != nil || len(s) > len("17-Jul-1996") {
		r.fail("a date has the form 17-Jul-1996")
	}
	return t
}

// AppendDateTime appends a date-time in quotes, in t's zone.
func AppendDateTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, `"02-Jan-2006 15:04:05 -0700"`)
}
