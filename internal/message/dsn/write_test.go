package dsn

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

const testID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const letter = "Received: from client by mail.test; Mon, 23 Nov 2026 11:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\nTo: bob@example.com\r\n" +
	"Subject: Lunch?\r\nMessage-ID: <lunch@example.org>\r\nReferences: <a@x> <b@x>\r\nDate: Mon, 23 Nov 2026 11:00:00 +0000\r\n\r\nAt noon?\r\n"

func address(s string) message.Address {
	a, err := message.ParseAddress(s)
	if err != nil {
		panic(err)
	}
	return a
}

// notice returns a notice about letter to Alice.
func notice(r ...Recipient) *Notice {
	return &Notice{
		ID: testID, Host: "mail.test", To: address("alice@example.org"), Time: noon, Arrived: noon.Add(-time.Hour), EnvelopeID: "QQ314159",
		Original: strings.NewReader(letter), Size: int64(len(letter)), Recipients: r,
	}
}

func failed() Recipient {
	return Recipient{
		Address: address("bob@mail.example.com"), Original: "rfc822;Bob@Example.COM", Action: Failed, Status: "5.1.1",
		Reply: "550 5.1.1 <bob@mail.example.com>: no such user", Host: "mx.example.com", Tried: noon,
	}
}

func write(t testing.TB, n *Notice) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, n); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestFailure(t *testing.T) {
	const want = `From: "Mail Delivery System" <MAILER-DAEMON@mail.test>
To: <alice@example.org>
Subject: Not delivered: Lunch?
Date: Mon, 23 Nov 2026 12:00:00 +0000
Message-ID: <0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9@mail.test>
In-Reply-To: <lunch@example.org>
References: <a@x>
 <b@x>
 <lunch@example.org>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="=_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

This is a delivery report in the MIME format.

--=_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

This is the mail system at mail.test. It tells you what became of your
message:
  Subject: Lunch?
  Received: Mon, 23 Nov 2026 11:00:00 +0000

It could not be delivered to:

  Bob@Example.COM (now bob@mail.example.com)
    The server mx.example.com said:
      550 5.1.1 <bob@mail.example.com>: no such user
    There is no such recipient: look for a mistake in the address.

It is not tried again for them. Send it anew once the cause is gone.

What follows is for programs, and what is returned of your message.

--=_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9
Content-Type: message/delivery-status
Content-Transfer-Encoding: 7bit

Original-Envelope-Id: QQ314159
Reporting-MTA: dns; mail.test
Arrival-Date: Mon, 23 Nov 2026 11:00:00 +0000

Original-Recipient: rfc822;Bob@Example.COM
Final-Recipient: rfc822;bob@mail.example.com
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.com
Diagnostic-Code: smtp; 550 5.1.1 <bob@mail.example.com>: no such user
Last-Attempt-Date: Mon, 23 Nov 2026 12:00:00 +0000

--=_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9
Content-Type: text/rfc822-headers
Content-Transfer-Encoding: 7bit

Received: from client by mail.test; Mon, 23 Nov 2026 11:00:00 +0000
From: Alice <alice@example.org>
To: bob@example.com
Subject: Lunch?
Message-ID: <lunch@example.org>
References: <a@x> <b@x>
Date: Mon, 23 Nov 2026 11:00:00 +0000

--=_0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9--
`
	n := notice(failed())
	got := write(t, n)
	if string(got) != strings.ReplaceAll(want, "\n", "\r\n") {
		t.Errorf("the notification is\n%s", got)
	}
	check(t, n, got)
	n.Full = true
	got = write(t, n)
	if !strings.Contains(string(got), "\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"+letter+"\r\n--=_") {
		t.Errorf("the whole message is not in\n%s", got)
	}
	check(t, n, got)
}

// What is told of each action, by the report and by the text.
func TestActions(t *testing.T) {
	until := noon.Add(48 * time.Hour)
	for name, c := range map[string]struct {
		r             Recipient
		subject       string
		report, text  []string
		not           []string
		full, returns bool
	}{
		"delayed": {
			r: Recipient{
				Address: address("bob@example.com"), Action: Delayed, Status: "4.4.1", Reply: "the connection was refused", Host: "mx.example.com", Tried: noon, Until: until,
			},
			subject: "Delayed: Lunch?",
			report: []string{
				"Action: delayed", "Status: 4.4.1", "Diagnostic-Code: x-pennypost; the connection was refused", "Will-Retry-Until: Wed, 25 Nov 2026 12:00:00 +0000",
			},
			text: []string{"not been delivered yet", "It is tried until Wed, 25 Nov 2026 12:00:00 +0000.", "You need not do anything"},
			not:  []string{"Original-Recipient"}, full: true,
		},
		"delivered": {
			r:       Recipient{Address: address("bob@example.com"), Action: Delivered, Status: "2.0.0", Until: until},
			subject: "Delivered: Lunch?", report: []string{"Action: delivered", "Status: 2.0.0"}, text: []string{"It was delivered to:"},
			not: []string{"Remote-MTA", "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until"}, full: true,
		},
		"relayed": {
			r:       Recipient{Address: address("bob@example.com"), Action: Relayed, Status: "2.1.5", Reply: "250 2.0.0 ok", Host: "mx.example.com"},
			subject: "Handed on: Lunch?", report: []string{"Action: relayed", "Status: 2.1.5", "Diagnostic-Code: smtp; 250 2.0.0 ok"},
			text: []string{"won't tell when it is"}, full: true,
		},
		"expired": {
			r:       Recipient{Address: address("bob@example.com"), Action: Failed, Status: "4.4.7", Reply: "451 4.3.0 later", Host: "mx.example.com"},
			subject: "Not delivered: Lunch?", report: []string{"Action: failed", "Status: 4.4.7"}, text: []string{"could not be reached, or was not ready"},
			full: true, returns: true,
		},
		"a status that contradicts": {
			r:       Recipient{Address: address("bob@example.com"), Action: Failed, Status: "2.0.0"},
			subject: "Not delivered: Lunch?", report: []string{"Action: failed", "Status: 5.0.0"},
		},
		"an action that nobody knows": {
			r:       Recipient{Address: address("bob@example.com"), Action: "eaten\r\nX: y", Status: "5"},
			subject: "Not delivered: Lunch?", report: []string{"Action: failed", "Status: 5.0.0"}, not: []string{"X: y"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := notice(c.r)
			n.Full = c.full
			out := write(t, n)
			p := check(t, n, out)
			if got := p.header.Get("Subject"); got != c.subject {
				t.Errorf("subject %q", got)
			}
			for _, line := range c.report {
				if !strings.Contains("\r\n"+p.report, "\r\n"+line+"\r\n") {
					t.Errorf("%q is not in\n%s", line, p.report)
				}
			}
			for _, words := range c.text {
				if !strings.Contains(p.text, words) {
					t.Errorf("%q is not in\n%s", words, p.text)
				}
			}
			for _, words := range c.not {
				if strings.Contains(p.report, words) {
					t.Errorf("%q is in\n%s", words, p.report)
				}
			}
			if returns := p.types[2] == "message/rfc822"; returns != c.returns {
				t.Errorf("the original is %s", p.types[2])
			}
		})
	}
}

// Addresses and header beyond ASCII (RFC 6533). Where the way back may not take UTF-8 the parts are encoded.
func TestInternational(t *testing.T) {
	header := "From: δ@παράδειγμα.test\r\nSubject: Mittagessen im Café, heute um zwölf Uhr mit allen Kollegen?\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n"
	for name, c := range map[string]struct {
		to, bob, original string
		text              string
		full              bool
		types             []string
		encodings         []string
		finals            []string
	}{
		"all": {
			to: "δ@παράδειγμα.test", bob: "βοβ@example.com", original: `utf-8;\x{3B2}@x`, text: header,
			types:     []string{"text/plain", "message/global-delivery-status", "message/global-headers"},
			encodings: []string{"8bit", "8bit", "8bit"}, finals: []string{"Final-Recipient: utf-8;βοβ@example.com", "Original-Recipient: utf-8;β@x"},
		},
		"all, returned whole": {
			to: "δ@παράδειγμα.test", bob: "βοβ@example.com", text: header, full: true,
			types:     []string{"text/plain", "message/global-delivery-status", "message/global"},
			encodings: []string{"8bit", "8bit", "8bit"},
		},
		"the recipient": {
			to: "alice@example.org", bob: "βοβ@example.com", text: header, full: true,
			types:     []string{"text/plain", "message/global-delivery-status", "message/global-headers"},
			encodings: []string{"quoted-printable", "quoted-printable", "quoted-printable"}, finals: []string{"Final-Recipient: utf-8;βοβ@example.com"},
		},
		"ORCPT alone": {
			to: "alice@example.org", bob: "bob@example.com", original: `utf-8;\x{3B2}+o@x`, text: letter,
			types:     []string{"text/plain", "message/delivery-status", "text/rfc822-headers"},
			encodings: []string{"quoted-printable", "7bit", "7bit"}, finals: []string{`Original-Recipient: utf-8;\x{3B2}\x{2B}o@x`},
		},
		"a body in 8 bits": {
			to: "alice@example.org", bob: "bob@example.com", text: "Subject: x\r\n\r\n\xe4\r\n", full: true,
			types: []string{"text/plain", "message/delivery-status", "message/rfc822"}, encodings: []string{"7bit", "7bit", "8bit"},
		},
		"a header in Latin-1": {
			to: "alice@example.org", bob: "bob@example.com", text: "Subject: \xe4\r\n\r\nx\r\n",
			types: []string{"text/plain", "message/delivery-status", "text/rfc822-headers"}, encodings: []string{"quoted-printable", "7bit", "quoted-printable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := failed()
			r.Address, r.Original = address(c.bob), c.original
			n := notice(r)
			n.To, n.Full, n.Original, n.Size = address(c.to), c.full, strings.NewReader(c.text), int64(len(c.text))
			out := write(t, n)
			p := check(t, n, out)
			if !slices.Equal(p.types, c.types) || !slices.Equal(p.encodings, c.encodings) {
				t.Errorf("the parts are %q, %q", p.types, p.encodings)
			}
			if n.To.IsASCII() && bytes.ContainsFunc(out[:message.HeaderEnd(out)], func(r rune) bool { return r >= 128 }) {
				t.Errorf("UTF-8 in the header: %s", out)
			}
			if got, want := message.DecodeWords(p.header.Get("Subject")), message.DecodeWords(message.ParseEnvelope([]byte(c.text)).Subject); got != "Not delivered: "+want {
				t.Errorf("subject %q", got)
			}
			for _, line := range c.finals {
				if !strings.Contains("\r\n"+p.report, "\r\n"+line+"\r\n") {
					t.Errorf("%q is not in\n%s", line, p.report)
				}
			}
		})
	}
}

// What a stranger chose stays inside its field.
func TestNothingIsInjected(t *testing.T) {
	evil := "x\r\n\r\n--=_" + testID + "\r\nAction: delivered\nStatus: 2.0.0\rX-Evil: 1\u2028\u0085\x00\xff" + strings.Repeat("long", 2000)
	for name, change := range map[string]func(n *Notice){
		"reply":         func(n *Notice) { n.Recipients[0].Reply = "550 " + evil },
		"words":         func(n *Notice) { n.Recipients[0].Reply = evil },
		"host":          func(n *Notice) { n.Host, n.Recipients[0].Host, n.ReceivedFrom = evil, evil, evil },
		"status":        func(n *Notice) { n.Recipients[0].Status = evil },
		"recipient":     func(n *Notice) { n.Recipients[0].Address = message.Address{Local: evil, Domain: evil} },
		"sender":        func(n *Notice) { n.To = message.Address{Local: evil, Domain: evil} },
		"ENVID":         func(n *Notice) { n.EnvelopeID = evil },
		"encoded ENVID": func(n *Notice) { n.EnvelopeID = EncodeXtext(evil) },
		"ORCPT":         func(n *Notice) { n.Recipients[0].Original = "rfc822;" + evil },
		"encoded ORCPT": func(n *Notice) { n.Recipients[0].Original = "rfc822;" + EncodeXtext(evil) },
		"UTF-8 ORCPT":   func(n *Notice) { n.Recipients[0].Original = "utf-8;" + EncodeUTF8Address(evil) },
		"header":        func(n *Notice) { n.Original, n.Size = strings.NewReader(evil), int64(len(evil)) },
		"subject": func(n *Notice) {
			s := "Subject: =?utf-8?Q?=0D=0AX-Evil:_1?=\r\n\r\n"
			n.Original, n.Size = strings.NewReader(s), int64(len(s))
		},
		"message id": func(n *Notice) {
			s := "Message-ID: <a\x00\"(b>\r\nReferences: <" + strings.Repeat("x", 990) + ">\r\n\r\n"
			n.Original, n.Size = strings.NewReader(s), int64(len(s))
		},
		"returned whole": func(n *Notice) { n.Original, n.Size, n.Full = strings.NewReader(evil), int64(len(evil)), true },
	} {
		t.Run(name, func(t *testing.T) {
			n := notice(failed())
			change(n)
			out := write(t, n)
			check(t, n, out)
			if r, ok := Parse(out); !ok || len(r.Recipients) != 1 || r.Recipients[0].Action != Failed {
				t.Errorf("it reads as %+v, %v", r, ok)
			}
		})
	}
}

func TestOriginalThatCanNotBeReturnedWhole(t *testing.T) {
	for name, s := range map[string]string{
		"too large":     "A: b\r\n\r\n" + strings.Repeat("x\r\n", 400),
		"a long line":   "A: b\r\n\r\n" + strings.Repeat("x", 999) + "\r\n",
		"NUL":           "A: b\r\n\r\n\x00\r\n",
		"bare LF":       "A: b\r\n\r\n\n",
		"bare CR":       "A: b\r\n\r\nx\ry\r\n",
		"CR at the end": "A: b\r\n\r\nx\r",
	} {
		n := notice(failed())
		n.Full, n.Limit, n.Original, n.Size = true, 1100, strings.NewReader(s), int64(len(s))
		if p := check(t, n, write(t, n)); p.types[2] != "text/rfc822-headers" || p.bodies[2] != "A: b\r\n" {
			t.Errorf("%s: %s %q", name, p.types[2], p.bodies[2])
		}
	}
	longest := "A: b\r\n\r\n" + strings.Repeat("x", 998)
	n := notice(failed())
	n.Full, n.Original, n.Size = true, strings.NewReader(longest), int64(len(longest))
	if p := check(t, n, write(t, n)); p.bodies[2] != longest {
		t.Errorf("returned is %q", p.bodies[2])
	}
}

func TestHugeHeaderIsCut(t *testing.T) {
	s := strings.Repeat("Received: from somewhere\r\n\tby somewhere else\r\n", 10_000) + "\r\nbody\r\n"
	n := notice(failed())
	n.Original, n.Size = strings.NewReader(s), int64(len(s))
	out := write(t, n)
	p := check(t, n, out)
	if len(out) > maxHeader+4<<10 || !strings.HasPrefix(s, p.bodies[2]) || len(p.bodies[2]) < maxHeader-100 {
		t.Errorf("%d bytes, of which %d of the header", len(out), len(p.bodies[2]))
	}
}

func TestManyRecipients(t *testing.T) {
	var all []Recipient
	for i := range 500 {
		r := failed()
		r.Address.Local = fmt.Sprint("user", i)
		if i%2 == 0 {
			r.Action, r.Status = Delivered, "2.1.5"
		}
		all = append(all, r)
	}
	n := notice(all...)
	out := write(t, n)
	check(t, n, out)
	r, ok := Parse(out)
	if !ok || len(r.Recipients) != 500 {
		t.Fatalf("%+v, %v", r, ok)
	}
	for i, got := range r.Recipients {
		if got.Address != all[i].Address || got.Action != all[i].Action || got.Status != all[i].Status {
			t.Errorf("recipient %d is %+v", i, got)
		}
	}
}

type broken struct{ err error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.err }
func (b broken) Write([]byte) (int, error)         { return 0, b.err }

func TestWriteFails(t *testing.T) {
	fire := errors.New("the disk is on fire")
	n := notice(failed())
	if err := Write(broken{fire}, n); !errors.Is(err, fire) {
		t.Errorf("a writer that fails: %v", err)
	}
	n.Original = broken{fire}
	if err := Write(io.Discard, n); !errors.Is(err, fire) {
		t.Errorf("an original that can't be read: %v", err)
	}
	n = notice(failed())
	n.Size++
	if err := Write(io.Discard, n); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an original that is too short: %v", err)
	}
	for name, change := range map[string]func(n *Notice){
		"guessable": func(n *Notice) { n.ID = "1" },
		"nobody":    func(n *Notice) { n.To = message.Address{} },
		"nothing":   func(n *Notice) { n.Recipients = nil },
	} {
		n := notice(failed())
		change(n)
		if err := Write(io.Discard, n); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// parsed is a notification as Go's own packages read it.
type parsed struct {
	header           mail.Header
	types, encodings []string
	bodies           []string // decoded
	text, report     string
}

// check checks what holds of every notification, and returns its parts.
func check(t testing.TB, n *Notice, out []byte) (p parsed) {
	t.Helper()
	var i inspector
	_, _ = i.Write(out)
	if i.broken() || !bytes.HasSuffix(out, []byte("--\r\n")) {
		t.Fatalf("a line is too long, or is none:\n%q", out)
	}
	m, err := mail.ReadMessage(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	p.header = m.Header
	if i.eightBit != (m.Header.Get("Content-Transfer-Encoding") == "8bit") && n.To.IsASCII() {
		t.Fatalf("8-bit: %v:\n%s", i.eightBit, out)
	}
	wantFields(t, textproto.MIMEHeader(m.Header), "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type",
		"?In-Reply-To", "?References", "?Content-Transfer-Encoding")
	if _, err := m.Header.AddressList("To"); err != nil {
		t.Fatalf("To: %v: %q", err, m.Header.Get("To"))
	}
	if _, err := m.Header.Date(); err != nil {
		t.Fatalf("Date: %v", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%s %v, %v", kind, params, err)
	}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		wantFields(t, part.Header, "Content-Type", "Content-Transfer-Encoding")
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		encoding := part.Header.Get("Content-Transfer-Encoding")
		var body io.Reader = part
		if encoding == "quoted-printable" {
			body = quotedprintable.NewReader(part)
		}
		b, err := io.ReadAll(body)
		if err != nil {
			t.Fatalf("%s: %v:\n%s", kind, err, out)
		}
		p.types, p.encodings, p.bodies = append(p.types, kind), append(p.encodings, encoding), append(p.bodies, string(b))
	}
	if len(p.types) < 2 || len(p.types) > 3 || p.types[0] != "text/plain" || !strings.HasSuffix(p.types[1], "delivery-status") {
		t.Fatalf("the parts are %q:\n%s", p.types, out)
	}
	p.text, p.report = p.bodies[0], p.bodies[1]
	groups := bufio.NewReader(strings.NewReader(p.report + "\r\n"))
	for i := range len(n.Recipients) + 1 {
		fields, err := textproto.NewReader(groups).ReadMIMEHeader()
		if err != nil {
			t.Fatalf("group %d: %v:\n%s", i, err, p.report)
		}
		if i == 0 {
			wantFields(t, fields, "Reporting-Mta", "?Original-Envelope-Id", "?Received-From-Mta", "?Arrival-Date")
		} else {
			wantFields(t, fields, "Final-Recipient", "Action", "Status", "?Original-Recipient", "?Remote-Mta", "?Diagnostic-Code", "?Last-Attempt-Date", "?Will-Retry-Until")
		}
	}
	if rest, err := io.ReadAll(groups); err != nil || len(rest) > 0 {
		t.Fatalf("the report goes on with %q, %v", rest, err)
	}
	s := message.Scan(out)
	if len(s.Parts[0].Children) != len(p.types) {
		t.Fatalf("our scanner finds %d parts, Go %d:\n%s", len(s.Parts[0].Children), len(p.types), out)
	}
	for i, c := range s.Parts[0].Children {
		if got := s.Parts[c].Type + "/" + s.Parts[c].Subtype; got != p.types[i] {
			t.Fatalf("our scanner finds %s for %s", got, p.types[i])
		}
	}
	if r, ok := Parse(out); !ok || len(r.Recipients) != len(n.Recipients) {
		t.Fatalf("it reads as %+v, %v:\n%s", r, ok, out)
	}
	return p
}

// wantFields checks that a header has the fields, each once, and no others. Those with a question mark may be missing.
func wantFields(t testing.TB, h textproto.MIMEHeader, names ...string) {
	t.Helper()
	known := 0
	for _, name := range names {
		name, may := strings.CutPrefix(name, "?")
		if len(h[name]) > 1 || len(h[name]) == 0 && !may {
			t.Fatalf("%s stands %d times in %q", name, len(h[name]), h)
		}
		known += len(h[name])
	}
	if len(h) != known {
		t.Fatalf("there are other fields than %q: %q", names, h)
	}
}

// FuzzWrite puts any bytes wherever a stranger can. The notification stays one report of one recipient.
func FuzzWrite(f *testing.F) {
	f.Add("mail.test", "bob", "example.com", "QQ+20x", "rfc822;a@b", "5.1.1", "550 5.1.1 no", "mx.example.com", []byte(letter), "failed", true)
	f.Add("", "β \r\n", "παρ.test", "+0D+0A", "utf-8;\\x{3B2}", "4", strings.Repeat("x", 3000), "\r\n", []byte("Subject: \xe4\r\nReferences: <a\r\n b>\n\n--"), "delayed", false)
	f.Add("h", "\"a\\", "[127.0.0.1]", "", "x;y", "2.0.0", "", "", []byte("\r\n\r\n"), "delivered", true)
	f.Add("h", "a", "b", "", "", "", "", "", []byte("Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: x\r\n\r\nFinal-Recipient: x;y\r\n--a--"), "failed", true)
	f.Fuzz(func(t *testing.T, host, local, domain, id, original, status, reply, remote string, text []byte, action string, full bool) {
		a := message.Address{Local: local, Domain: domain}
		if a.IsZero() {
			return
		}
		n := &Notice{
			ID: testID, Host: host, To: a, Time: noon, EnvelopeID: id, ReceivedFrom: remote, Full: full, Original: bytes.NewReader(text), Size: int64(len(text)),
			Recipients: []Recipient{{Address: a, Original: original, Action: Action(action), Status: status, Reply: reply, Host: remote, Tried: noon, Until: noon}},
		}
		if bytes.Contains(text, []byte(testID)) { // which nobody can guess
			return
		}
		out := write(t, n)
		check(t, n, out)
		if r, _ := Parse(out); r.Recipients[0].Action != n.Recipients[0].action() || r.Recipients[0].Status != n.Recipients[0].status() {
			t.Fatalf("it reads as %+v", r)
		}
	})
}
