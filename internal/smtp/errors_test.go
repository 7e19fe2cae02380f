package smtp

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/fault"
)

// Every kind of fault has its reply.
func TestEveryFaultHasAReply(t *testing.T) {
	want := map[fault.Kind]string{
		fault.Internal: "451 4.3.0", fault.Invalid: "553 5.1.3", fault.NotFound: "550 5.1.1", fault.Exists: "554 5.0.0", fault.Reserved: "554 5.0.0",
		fault.State: "550 5.2.1", fault.InUse: "554 5.0.0", fault.AlreadyRegistered: "554 5.0.0", fault.Limit: "452 4.5.3", fault.OverQuota: "552 5.2.2",
		fault.TooLarge: "552 5.3.4", fault.Unsupported: "550 5.7.1", fault.BadPassword: "554 5.0.0", fault.BadConfiguration: "554 5.0.0",
		fault.Unauthenticated: "535 5.7.8", fault.Denied: "550 5.7.1", fault.Conflict: "451 4.3.0", fault.Temporary: "451 4.3.0",
		fault.DirectoryDown: "451 4.4.3", fault.DirectoryRefusedUs: "451 4.3.5",
	}
	for _, kind := range fault.Kinds() {
		r := replyTo(fmt.Errorf("wrapped: %w", fault.New(kind, fault.Address, "the reason")))
		if got := fmt.Sprintf("%d %s", r.code, r.enhanced); got != want[kind] {
			t.Errorf("%v is %q, want %q", kind, got, want[kind])
		}
		if (r.text == "the reason") == (kind == fault.Internal) {
			t.Errorf("%v says %q", kind, r.text)
		}
		if r.enhanced[0] != fmt.Sprint(r.code)[0] {
			t.Errorf("%v: code %d and status %s disagree", kind, r.code, r.enhanced)
		}
	}
	for _, c := range []struct {
		kind    fault.Kind
		subject fault.Subject
		want    string
	}{
		{fault.Limit, fault.Client, "450 4.7.1"},
		{fault.Temporary, fault.Client, "451 4.7.1"},
		{fault.Denied, fault.Client, "550 5.7.1"},
		{fault.Limit, fault.Message, "554 5.4.6"},
		{fault.Limit, fault.Allowance, "454 4.7.1"},
		{fault.Invalid, fault.Message, "554 5.6.0"},
		{fault.Invalid, fault.None, "501 5.5.4"},
		{fault.NotFound, fault.Mailbox, "550 5.2.1"},
	} {
		if r := replyTo(fault.New(c.kind, c.subject, "x")); fmt.Sprintf("%d %s", r.code, r.enhanced) != c.want {
			t.Errorf("%v %s is %v, want %s", c.kind, c.subject, r, c.want)
		}
	}
	if r := replyTo(errors.New("secret")); r.code != 451 || strings.Contains(r.text, "secret") {
		t.Errorf("an unknown error is %v", r)
	}
}

var replyLine = regexp.MustCompile(`\A(?:[2-5][0-9][0-9][- ][ -~]*\r\n)+\z`)

func FuzzReply(f *testing.F) {
	f.Add("a\r\n250 forged\x00é")
	f.Fuzz(func(t *testing.T, text string) {
		out := appendReply(nil, reply{550, "5.1.1", text})
		if !replyLine.Match(out) {
			t.Fatalf("%q becomes %q", text, out)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\r\n"), "\r\n") {
			if len(line) > 510 || !strings.HasPrefix(line, "550") {
				t.Fatalf("%q has the line %q", text, line)
			}
		}
	})
}
