package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/server"
)

// scripted is a queue that answers from a list, two items a page, and remembers what it was asked.
type scripted struct {
	entries []server.QueueEntry
	events  []server.QueueEvent
	asked   []string
	fails   error
}

func page[T any](items []T, after string) server.QueuePage[T] {
	from := 0
	if after != "" {
		from = int(after[0] - '0')
	}
	p := server.QueuePage[T]{Items: items[from:]}
	if len(p.Items) > 2 {
		p.Items, p.Next = p.Items[:2], fmt.Sprint(from+2)
	}
	return p
}

func (s *scripted) ListQueue(_ context.Context, f server.QueueFilter, after string) (server.QueuePage[server.QueueEntry], error) {
	s.asked = append(s.asked, "list "+words(f)+after)
	return page(s.entries, after), s.fails
}

func (s *scripted) ChangeQueue(_ context.Context, change string, r server.QueueChange) (int, error) {
	s.asked = append(s.asked, fmt.Sprintf("%s %sall=%t bounce=%t", change, words(r.QueueFilter), r.All, r.Bounce))
	return len(s.entries), s.fails
}

func (s *scripted) TraceQueue(_ context.Context, organization, trace, after string) (server.QueuePage[server.QueueEvent], error) {
	s.asked = append(s.asked, strings.Join([]string{"trace", organization, trace, after}, " "))
	return page(s.events, after), s.fails
}

func words(f server.QueueFilter) string {
	held := "-"
	if f.Held != nil {
		held = fmt.Sprint(*f.Held)
	}
	return fmt.Sprintf("[%s %d %s %s %s %s %s] ", f.Organization, f.Message, f.Trace, f.From, f.Recipient, f.Domain, held)
}

// full is a queue with a message for two recipients, a bounce, and what happened to them.
func full() *scripted {
	at := time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)
	return &scripted{
		entries: []server.QueueEntry{
			{
				Message: 7, Trace: "t-7", Organization: "m-1", From: "ann@here.example", Recipient: "x@there.example", Domain: "there.example", Size: 1234,
				Queued: at, Due: at.Add(time.Minute), Expires: at.Add(time.Hour), Attempts: 2, Status: "4.2.1", Reply: "450 4.2.1 later\r\n\x1b[31mplease", Host: "mx.there.example",
			},
			{Message: 7, Trace: "t-7", Organization: "m-1", From: "ann@here.example", Recipient: "y@there.example", Gateway: "relay", Held: true, Size: 1234, Queued: at},
			{Message: 9, Recipient: "z@far.example", Domain: "far.example", Queued: at, Due: at, Status: "4.4.1", Reply: "no connection"},
		},
		events: []server.QueueEvent{
			{Time: at, Event: "QUEUED", Message: 7, Recipient: "x@there.example"},
			{Time: at.Add(time.Second), Event: "DEFERRED", Message: 7, Recipient: "x@there.example", Attempts: 1, Status: "4.2.1", Reply: "450 busy", Host: "mx.there.example", TLS: "TLSv1.3"},
			{Time: at.Add(time.Minute), Event: "SENT", Message: 7, Recipient: "x@there.example", Attempts: 2},
		},
	}
}

func TestQueueVerbs(t *testing.T) {
	const none = "[ 0     -] "
	for name, c := range map[string]struct {
		args   []string
		queue  *scripted
		status exitStatus
		asked  []string
		out    []string // lines; the last may be a part
		err    string
	}{
		"list": {
			[]string{"list"},
			full(), 0,
			[]string{"list " + none, "list " + none + "2"},
			[]string{
				"MESSAGE  QUEUED                NEXT                  TRIES  FROM              RECIPIENT        LAST",
				"7        2026-11-25T22:00:00Z  2026-11-25T22:01:00Z  2      ann@here.example  x@there.example  mx.there.example: 450 4.2.1 later  \uFFFD[31mplease",
				"7        2026-11-25T22:00:00Z  held                  0      ann@here.example  y@there.example  -",
				"9  2026-11-25T22:00:00Z  2026-11-25T22:00:00Z  0  -  z@far.example  4.4.1 no connection",
			},
			"",
		},
		"list of none": {[]string{"list"}, &scripted{}, 0, []string{"list " + none}, []string{"MESSAGE  QUEUED"}, ""},
		"list with filters": {
			[]string{"list", "--organization", "m-1", "--message", "7", "--trace", "t", "--from", "a@b", "--recipient", "c@d", "--domain", "d", "--held", "--json"},
			full(), 0,
			[]string{"list [m-1 7 t a@b c@d d true] ", "list [m-1 7 t a@b c@d d true] 2"},
			[]string{
				`{"message":"7","trace":"t-7","organization":"m-1","from":"ann@here.example","recipient":"x@there.example","domain":"there.example","gateway":"","held":false,"size":1234,"queued":"2026-11-25T22:00:00Z","due":"2026-11-25T22:01:00Z","expires":"2026-11-25T23:00:00Z","attempts":2,"status":"4.2.1","reply":"450 4.2.1 later\r\n\u001b[31mplease","host":"mx.there.example"}`,
				`{"message":"7"`,
			},
			"",
		},
		"list that fails": {[]string{"list"}, &scripted{fails: errors.New("no such thing")}, 2, []string{"list " + none}, nil, "no such thing"},
		"list of a word":  {[]string{"list", "x"}, full(), 2, nil, nil, "unknown command"},
		"a wrong flag":    {[]string{"list", "--to", "x"}, full(), 2, nil, nil, "unknown flag"},
		"show": {
			[]string{"show", "7"},
			full(), 0,
			[]string{"list [ 7     -] ", "list [ 7     -] 2"},
			[]string{
				"message       7", "trace         t-7", "organization  m-1", "from          ann@here.example", "size          1234", "queued        2026-11-25T22:00:00Z",
				"expires       2026-11-25T23:00:00Z", "", "recipient  x@there.example", "by         the servers of there.example", "next       2026-11-25T22:01:00Z",
				"tries      2", "last       mx.there.example: 450 4.2.1 later  \uFFFD[31mplease", "", "recipient  y@there.example", "by         the gateway relay", "next       held",
			},
			"",
		},
		"show none":          {[]string{"show", "8"}, &scripted{}, 1, []string{"list [ 8     -] "}, nil, "no message 8"},
		"show what is no id": {[]string{"show", "seven"}, full(), 2, nil, nil, "not the number"},
		"show nothing":       {[]string{"show"}, full(), 2, nil, nil, "arg"},
		"trace": {
			[]string{"trace", "t-7", "--organization", "m-1"},
			full(), 0,
			[]string{"trace m-1 t-7 ", "trace m-1 t-7 2"},
			[]string{
				"TIME                  EVENT     MESSAGE  RECIPIENT        TRIES  HOST              TLS      REPLY",
				"2026-11-25T22:00:00Z  QUEUED    7        x@there.example  0      -                 -        -",
				"2026-11-25T22:00:01Z  DEFERRED  7        x@there.example  1      mx.there.example  TLSv1.3  4.2.1 450 busy",
				"2026-11-25T22:01:00Z  SENT  7  x@there.example  2",
			},
			"",
		},
		"trace as JSON": {
			[]string{"trace", "t-7", "--json"},
			full(), 0,
			[]string{"trace  t-7 ", "trace  t-7 2"},
			[]string{`{"time":"2026-11-25T22:00:00Z","event":"QUEUED","message":"7","from":"","recipient":"x@there.example"`},
			"",
		},
		"trace of none":    {[]string{"trace", "t-8"}, &scripted{}, 1, []string{"trace  t-8 "}, nil, `"t-8"`},
		"hold":             {[]string{"hold", "--domain", "there.example"}, full(), 0, []string{"hold [ 0    there.example -] all=false bounce=false"}, []string{"3 held"}, ""},
		"release":          {[]string{"release", "--all", "--organization", "m-1"}, full(), 0, []string{"release [m-1 0     -] all=true bounce=false"}, []string{"3 released"}, ""},
		"retry":            {[]string{"retry", "--held=false", "--json"}, full(), 0, []string{"retry [ 0     false] all=false bounce=false"}, []string{`{"count":3}`}, ""},
		"drop":             {[]string{"drop", "--message", "7", "--bounce"}, full(), 0, []string{"drop [ 7     -] all=false bounce=true"}, []string{"3 dropped"}, ""},
		"drop none":        {[]string{"drop", "--message", "7"}, &scripted{}, 1, []string{"drop [ 7     -] all=false bounce=false"}, []string{"0 dropped"}, ""},
		"drop what":        {[]string{"drop", "--organization", "m-1"}, full(), 2, nil, nil, "--all"},
		"drop all of some": {[]string{"drop", "--all", "--held"}, full(), 2, nil, nil, "--all"},
		"hold bounces":     {[]string{"hold", "--bounce"}, full(), 2, nil, nil, "unknown flag"},
	} {
		cmd := queueCommand(func(_ context.Context, fn func(mailQueue) error) error { return errors.Join(fn(c.queue), nil) })
		cmd.SilenceUsage, cmd.SilenceErrors = true, true
		var out, complaint bytes.Buffer
		cmd.SetOut(&out)
		cmd.SetErr(&complaint)
		cmd.SetArgs(c.args)
		err := cmd.ExecuteContext(t.Context())
		status := exitStatus(0)
		if err != nil {
			status = 1
			errors.As(err, &status)
			if !status.silent() {
				fmt.Fprint(&complaint, err)
			}
		}
		if status != c.status || strings.Join(c.queue.asked, "\n") != strings.Join(c.asked, "\n") {
			t.Errorf("%s: status %d (%v), asked %q; want %d and %q", name, status, err, c.queue.asked, c.status, c.asked)
		}
		if want := strings.Join(c.out, "\n"); !strings.HasPrefix(out.String(), want) || want == "" && out.Len() > 0 {
			t.Errorf("%s prints\n%s\nwant\n%s", name, out.String(), want)
		}
		if !strings.Contains(complaint.String(), c.err) || c.err == "" && complaint.Len() > 0 {
			t.Errorf("%s complains %q, want %q", name, complaint.String(), c.err)
		}
	}
}
