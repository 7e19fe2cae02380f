package dsn

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

func TestParseWhatWasWritten(t *testing.T) {
	r := failed()
	r.Original = "rfc822;Bob+2Btag@Example.COM"
	n := notice(r)
	got, ok := Parse(write(t, n))
	if !ok || got.Host != "mail.test" || got.EnvelopeID != "QQ314159" || !got.Arrived.Equal(n.Arrived) || got.MessageID != "lunch@example.org" || len(got.Recipients) != 1 {
		t.Fatalf("%+v, %v", got, ok)
	}
	if p := got.Recipients[0]; !p.Tried.Equal(r.Tried) {
		t.Errorf("tried %v", p.Tried)
	} else if p.Tried = r.Tried; p != r {
		t.Errorf("the recipient is %+v\nwant %+v", p, r)
	}
	n.Full = true
	if got, _ := Parse(write(t, n)); got.MessageID != "lunch@example.org" {
		t.Errorf("with the whole message: %+v", got)
	}
}

// The examples of RFC 3464 appendix E, and what other servers write.
func TestParseReports(t *testing.T) {
	for name, c := range map[string]struct {
		report string
		want   Report
	}{
		"appendix E, example 1": {
			"Reporting-MTA: dns; cs.utk.edu\n\nOriginal-Recipient: rfc822;louisl@larry.slip.umd.edu\nFinal-Recipient: rfc822;louisl@larry.slip.umd.edu\n" +
				"Action: failed\nStatus: 4.0.0\nDiagnostic-Code: smtp; 426 connection timed out\nLast-Attempt-Date: Thu, 7 Jul 1994 17:15:49 -0400\n",
			Report{Host: "cs.utk.edu", Recipients: []Recipient{{
				Address: address("louisl@larry.slip.umd.edu"), Original: "rfc822;louisl@larry.slip.umd.edu", Action: Failed, Status: "4.0.0",
				Reply: "426 connection timed out", Tried: time.Date(1994, 7, 7, 21, 15, 49, 0, time.UTC),
			}}},
		},
		"appendix E, example 2": {
			"Reporting-MTA: dns; cs.utk.edu\n\nOriginal-Recipient: rfc822;arathib@vnet.ibm.com\nFinal-Recipient: rfc822;arathib@vnet.ibm.com\nAction: failed\n" +
				"Status: 5.0.0 (permanent failure)\nDiagnostic-Code: smtp;\n  550 'arathib@vnet.IBM.COM' is not a registered gateway user\nRemote-MTA: dns; vnet.ibm.com\n\n" +
				"Original-Recipient: rfc822;johnh@hpnjld.njd.hp.com\nFinal-Recipient: rfc822;johnh@hpnjld.njd.hp.com\nAction: delayed\nStatus: 4.0.0 (hpnjld.njd.jp.com: host name lookup failure)\n\n" +
				"Original-Recipient: rfc822;wsnell@sdcc13.ucsd.edu\nFinal-Recipient: rfc822;wsnell@sdcc13.ucsd.edu\nAction: failed\nStatus: 5.0.0\n" +
				"Diagnostic-Code: smtp; 550 user unknown\nRemote-MTA: dns; sdcc13.ucsd.edu\n",
			Report{Host: "cs.utk.edu", Recipients: []Recipient{
				{
					Address: address("arathib@vnet.ibm.com"), Original: "rfc822;arathib@vnet.ibm.com", Action: Failed, Status: "5.0.0",
					Reply: "550 'arathib@vnet.IBM.COM' is not a registered gateway user", Host: "vnet.ibm.com",
				},
				{Address: address("johnh@hpnjld.njd.hp.com"), Original: "rfc822;johnh@hpnjld.njd.hp.com", Action: Delayed, Status: "4.0.0"},
				{
					Address: address("wsnell@sdcc13.ucsd.edu"), Original: "rfc822;wsnell@sdcc13.ucsd.edu", Action: Failed, Status: "5.0.0",
					Reply: "550 user unknown", Host: "sdcc13.ucsd.edu",
				},
			}},
		},
		"appendix E, example 3": {
			"Reporting-MTA: mailbus; SYS30\n\nFinal-Recipient: unknown; nair_s\nStatus: 5.0.0 (unknown permanent failure)\nAction: failed\n",
			Report{Host: "SYS30", Recipients: []Recipient{{Address: message.Address{Local: "nair_s"}, Action: Failed, Status: "5.0.0"}}},
		},
		"Postfix": {
			"Reporting-MTA: dns; mx.example.net\nX-Postfix-Queue-ID: 4Abc\nX-Postfix-Sender: rfc822; a@b.test\nArrival-Date: Mon, 23 Nov 2026 12:00:00 +0000 (UTC)\n\n" +
				"Final-Recipient: rfc822; bob@example.com\nOriginal-Recipient: rfc822;bob@example.com\nAction: failed\nStatus: 5.4.4\n" +
				"Diagnostic-Code: X-Postfix; Host or domain name not found. Name service error\n    for name=example.com type=AAAA: Host not found\n",
			Report{Host: "mx.example.net", Arrived: noon, Recipients: []Recipient{{
				Address: address("bob@example.com"), Original: "rfc822;bob@example.com", Action: Failed, Status: "5.4.4",
				Reply: "Host or domain name not found. Name service error    for name=example.com type=AAAA: Host not found",
			}}},
		},
		"UTF-8, encoded": {
			"Reporting-MTA: dns; x\n\nFinal-Recipient: utf-8;\\x{3B4}@x\nOriginal-Recipient: utf-8; \\x{3B4}\\x{2B}o@x\nAction: failed\nStatus: 5.1.1\n",
			Report{Host: "x", Recipients: []Recipient{{Address: address("δ@x"), Original: `utf-8;\x{3B4}\x{2B}o@x`, Action: Failed, Status: "5.1.1"}}},
		},
		"brackets, no types, no fields about the message, three empty lines": {
			"Final-Recipient: <bob@example.com>\nAction: Failed (really)\nStatus: 5.1.1\nDiagnostic-Code: 550 no such user; sorry\n\n\n\nFinal-Recipient: RFC822;carol@example.com\nAction: delivered\n",
			Report{Recipients: []Recipient{
				{Address: address("bob@example.com"), Action: Failed, Status: "5.1.1", Reply: "550 no such user; sorry"},
				{Address: address("carol@example.com"), Action: Delivered},
			}},
		},
		"junk": {"\x00\xff: y\n\nAction: failed\n\nFinal-Recipient:\n", Report{Recipients: []Recipient{{}}}},
	} {
		b := "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: message/delivery-status\n\n" + c.report + "--b--\n"
		got, ok := Parse([]byte(b))
		if !ok || got.Host != c.want.Host || !got.Arrived.Equal(c.want.Arrived) || len(got.Recipients) != len(c.want.Recipients) {
			t.Errorf("%s: %+v, %v", name, got, ok)
			continue
		}
		for i, want := range c.want.Recipients {
			p := got.Recipients[i]
			if p.Tried.Equal(want.Tried) {
				p.Tried = want.Tried
			}
			if p != want {
				t.Errorf("%s: recipient %d is %+v\nwant %+v", name, i, p, want)
			}
		}
	}
}

func TestWhatIsNoReport(t *testing.T) {
	for _, s := range []string{
		"", letter, "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822;a@b\r\n--b--\r\n",
		// a report that is only returned inside another message
		"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/report; boundary=c\r\n\r\n" +
			"--c\r\nContent-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822;a@b\r\n--c--\r\n--b--\r\n",
	} {
		if r, ok := Parse([]byte(s)); ok {
			t.Errorf("%q reads as %+v", s, r)
		}
	}
}

func TestParseIsBounded(t *testing.T) {
	report := strings.Repeat("Final-Recipient: rfc822;a@b\r\nDiagnostic-Code: smtp;"+strings.Repeat("x", 10_000)+"\r\n\r\n", 2000)
	b := "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n" + report
	r, ok := Parse([]byte(b))
	if !ok || len(r.Recipients) > maxRecipients || len(r.Recipients) < 100 {
		t.Fatalf("%d recipients, %v", len(r.Recipients), ok)
	}
	if got := r.Recipients[0].Reply; len(got) > maxValue {
		t.Errorf("a reply of %d bytes", len(got))
	}
}

func FuzzParse(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, notice(failed())); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n")))
	f.Add([]byte("Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/global-delivery-status\nContent-Transfer-Encoding: base64\n\nRmluYWwtUmVjaXBpZW50OiB1dGYtODtcAA=="))
	f.Add([]byte("Reporting-MTA: dns;x\n\nFinal-Recipient: utf-8;\\x{3B4}@x\nOriginal-Recipient: x;y\nAction: failed (x)\nDiagnostic-Code: smtp;5\n\n\nFinal-Recipient: <a@b>\n\nFinal-Recipient: utf-8;\\x{80}@b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		checkParse(t, b)
		checkParse(t, append([]byte("Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"), b...))
	})
}

// checkParse checks that what is read of b is bounded and clean: it can be told again.
func checkParse(t *testing.T, b []byte) {
	t.Helper()
	r, ok := Parse(b)
	if !ok {
		return
	}
	if len(r.Recipients) > maxRecipients {
		t.Fatalf("%d recipients", len(r.Recipients))
	}
	for _, p := range r.Recipients {
		if !IsPrintable(p.Reply+p.Host+p.Status+p.Original+p.Address.String()) || len(p.Reply) > maxValue+8 {
			t.Fatalf("%q has %+v", b, p)
		}
	}
	if len(r.Recipients) > 0 {
		n := &Notice{ID: testID, Host: r.Host, To: message.Address{Local: "a", Domain: "b"}, Time: noon, EnvelopeID: EncodeXtext(r.EnvelopeID), Recipients: r.Recipients}
		check(t, n, write(t, n))
	}
}
