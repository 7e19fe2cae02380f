package courier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/transport/queue"
	"github.com/pennypost/pennypost/internal/transport/route"
)

func TestDelivery(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+accepts+quit)
	o := w.deliver()
	want(t, o, queue.Delivered, "2.0.0", "mx.test", "", false, "250 2.0.0 taken")
	if o.Tells {
		t.Error("a server without DSN tells")
	}
	w.courier.Close()
	w.wantReports("mx.test starttls-not-supported")
	w.wantStats(Stats{Connections: 1, Delivered: 1})
}

func TestEachRecipientHasItsOutcome(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, hello+`S: 250-mx.test
		S: 250-8BITMIME
		S: 250-PIPELINING
		S: 250 DSN
		C= MAIL FROM:<sender@b.test> BODY=8BITMIME RET=FULL ENVID=a+2Bb
		C= RCPT TO:<one@a.test> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;one+2B@a.test
		C= RCPT TO:<two@a.test> NOTIFY=NEVER
		C= RCPT TO:<three@xn--bcher-kva.test>
		C= DATA
		S: 250
		S: 250
		S: 550-5.1.1 there is
		S: 550 5.1.1 no two
		S: 450 4.2.1 later
		S: 354
		MESSAGE
		S: 250 2.6.0 taken
		`+quit)
	m := newMessage("one", "two", "three")
	m.ID, m.Return = "a+2Bb", queue.ReturnFull
	m.Recipients[0].Notify, m.Recipients[0].Original = queue.OnSuccess|queue.OnFailure|queue.OnDelay, "rfc822;one+2B@a.test"
	m.Recipients[1].Notify = queue.Never
	m.Recipients[2].Address.Domain = "bücher.test"
	out := w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)
	if got := show(m, out); got != "one delivered 2.6.0, two failed 5.1.1, three deferred 4.2.1" {
		t.Error(got)
	}
	if !out[0].Tells || out[1].Tells || out[2].Tells {
		t.Error("who tells")
	}
	want(t, out[1], queue.Failed, "5.1.1", "mx.test", "", false, "550 5.1.1 there is no two")
	w.courier.Close()
	w.wantStats(Stats{Connections: 1, Delivered: 1, Deferred: 1, Failed: 1})
}

func TestOnlyTheHeaderIsWantedBack(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, hello+"S: 250-mx.test\nS: 250 DSN\nC= MAIL FROM:<sender@b.test> RET=HDRS\nS: 550 no\n"+quit)
	m := newMessage("one")
	m.Return = queue.ReturnHeaders
	want(t, w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0], queue.Failed, "5.0.0", "mx.test", "", false, "550 no")
}

func TestNullReversePath(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+"C: MAIL FROM:<> BODY\nC: RCPT\nC= DATA\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250\n"+quit)
	m := newMessage("one")
	m.From = message.Address{}
	want(t, w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0], queue.Delivered, "2.0.0", "mx.test", "", false, "250")
}

// What a host says before MAIL is of the host: the next one is asked.
func TestNextHost(t *testing.T) {
	for name, script := range map[string]string{
		"no listener":          "",
		"450 greeting":         "S: 450 later",
		"421 greeting":         "S: 421 busy",
		"554 greeting":         "S: 554 no service",
		"garbage":              "S: hello?",
		"closed":               hello,
		"EHLO 451":             hello + "S: 451 later",
		"EHLO and HELO 550":    hello + "S: 550 no\nC: HELO\nS: 550 no",
		"421 to MAIL":          offers + mail + "S: 421 down",
		"closed at MAIL":       offers + mail,
		"421 to RCPT":          offers + mail + "S: 250\nS: 421 down",
		"421 to DATA":          offers + mail + "S: 250\nS: 250\nS: 421 down",
		"421 to the message":   offers + mail + "S: 250\nS: 250\nS: 354\nMESSAGE\nS: 421 down",
		"closed after DATA":    offers + mail + "S: 250\nS: 250",
		"injection":            hello + "S: 250-mx.test\nS: 250 STARTTLS\nC= STARTTLS\nS> \"220 go\\r\\n250 injected\\r\\n\"\nEND",
		"421 to STARTTLS":      hello + "S: 250-mx.test\nS: 250 STARTTLS\nC= STARTTLS\nS: 421 down",
		"closed at STARTTLS":   hello + "S: 250-mx.test\nS: 250 STARTTLS\nC= STARTTLS",
		"EHLO fails under TLS": startTLS + "TLS\nC: EHLO\nS: 451 no",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if script == "" {
				w.host("mx1.test", "2001:db8::1", route.TLS{}, nil)
			} else {
				w.host("mx1.test", "2001:db8::1", route.TLS{}, w.authority(), script)
			}
			w.host("mx2.test", "192.0.2.2", route.TLS{}, nil, offers+accepts+quit)
			want(t, w.deliver(), queue.Delivered, "2.0.0", "mx2.test", "", false, "taken")
			if !slices.Equal(w.dialled, []string{"[2001:db8::1]:25", "192.0.2.2:25"}) {
				t.Error(w.dialled)
			}
		})
	}
}

// What is said to MAIL, RCPT and the message is final.
func TestNoNextHost(t *testing.T) {
	for _, c := range []struct {
		name, script string
		result       queue.Result
		status       string
	}{
		{"MAIL 550", mail + "S: 550 5.7.1 no\nS: 503\nS: 503\n" + quit, queue.Failed, "5.7.1"},
		{"MAIL 451", mail + "S: 451 4.7.1 later\nS: 503\nS: 503\n" + quit, queue.Deferred, "4.7.1"},
		{"RCPT 550", mail + "S: 250\nS: 550 5.1.1 no\nS: 554\n" + quit, queue.Failed, "5.1.1"},
		{"RCPT 450", mail + "S: 250\nS: 450 4.7.1 greylisted\nS: 554\n" + quit, queue.Deferred, "4.7.1"},
		{"RCPT 452", mail + "S: 250\nS: 452 4.5.3 too many\nS: 554\n" + quit, queue.Deferred, "4.5.3"},
		{"DATA 554", mail + "S: 250\nS: 250\nS: 554 no\n" + quit, queue.Failed, "5.0.0"},
		{"the message 550", mail + "S: 250\nS: 250\nS: 354\nMESSAGE\nS: 550 5.7.1 spam\n" + quit, queue.Failed, "5.7.1"},
		{"the message 451", mail + "S: 250\nS: 250\nS: 354\nMESSAGE\nS: 451 4.3.0 later\n" + quit, queue.Deferred, "4.3.0"},
		{"lost after the message", mail + "S: 250\nS: 250\nS: 354\nMESSAGE", queue.Deferred, "4.4.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, offers+c.script)
			w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
			o := w.deliver()
			want(t, o, c.result, c.status, "mx1.test", "", false, "")
			if len(w.dialled) != 1 {
				t.Error(w.dialled)
			}
			if c.status == "4.4.2" && !strings.Contains(o.Reply, "not known") {
				t.Error(o.Reply)
			}
		})
	}
}

// Only where every host refuses for good is it for good.
func TestNoHostTakesIt(t *testing.T) {
	for _, c := range []struct {
		first, second string
		result        queue.Result
		status, host  string
		down          bool
		text          string
	}{
		{"S: 554 5.3.2 no", "S: 554 5.7.1 no", queue.Failed, "5.7.1", "mx2.test", false, "554 5.7.1 no"},
		{"S: 554 no", "S: 421 4.3.2 busy", queue.Deferred, "4.3.2", "mx2.test", true, "421 4.3.2 busy"},
		{"S: 450 4.3.2 busy", "S: 554 no", queue.Deferred, "4.3.2", "mx1.test", true, "450"},
		{"S: 554 no", "", queue.Deferred, "4.4.1", "", true, "no connection to mx2.test (192.0.2.2:25): connection refused"},
		{"S: 354 go", hello, queue.Deferred, "4.4.2", "mx2.test", true, "mx2.test: the server closed the connection at EHLO"},
		{"S: 354 go", "S: 354 go", queue.Deferred, "4.0.0", "mx2.test", true, "354 go"},
		{"S: 450 x", offers + mail + "S: 250\nS: 250\nS: 354\nC: From\nC=\nC: x\nC= .\nRESET", queue.Deferred, "4.4.2", "mx2.test", false, "not known"},
		{"S: 450 x", offers + mail + "S: 250\nS: 250\nS: hm?\nEND", queue.Deferred, "4.4.2", "mx2.test", false, "that is no SMTP reply"},
	} {
		w := newWorld(t, nil)
		w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, c.first)
		if c.second == "" {
			w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
		} else {
			w.host("mx2.test", "192.0.2.2", route.TLS{}, nil, c.second)
		}
		want(t, w.deliver(), c.result, c.status, c.host, "", c.down, c.text)
	}
}

func TestPrivateAddress(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx1.test", "10.0.0.1", route.TLS{}, nil)
	want(t, w.deliver(), queue.Failed, "5.4.4", "", "", false, "mail can't be sent to mx1.test: 10.0.0.1 is not an address on the public internet")
	w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
	want(t, w.deliver(), queue.Deferred, "4.4.1", "", "", true, "mx2.test")
}

func TestNoRoute(t *testing.T) {
	w := newWorld(t, nil)
	w.noRoute["a.test"] = fmt.Errorf("route: %w", &route.Error{Permanent: true, Status: "5.1.10", Text: "a.test takes no mail"})
	want(t, w.deliver(), queue.Failed, "5.1.10", "", "", false, "a.test takes no mail")
	w.noRoute["a.test"] = &route.Error{Status: "4.4.3", Text: "DNS does not answer"}
	want(t, w.deliver(), queue.Deferred, "4.4.3", "", "", true, "DNS does not answer")
	w.noRoute["a.test"] = errors.New("SQL: secret")
	if o := w.deliver(); o.Status != "4.3.0" || o.Down || strings.Contains(o.Reply, "secret") {
		t.Errorf("%+v", o)
	}
	delete(w.noRoute, "a.test")
	want(t, w.deliver(), queue.Deferred, "4.4.4", "", "", true, "no host of a.test has an address")
}

// A host with many addresses leaves attempts for the others, and all hosts together are bounded.
func TestAttemptsAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	var addresses []netip.Addr
	for a := netip.MustParseAddr("192.0.2.1"); len(addresses) < 10; a = a.Next() {
		addresses = append(addresses, a)
	}
	for i := range 10 {
		w.hosts["a.test"] = append(w.hosts["a.test"], route.Host{Name: fmt.Sprintf("mx%d.test", i), Addresses: addresses, Port: 25})
	}
	w.deliver()
	if len(w.dialled) != maxAttempts || w.dialled[maxPerHost] != "192.0.2.1:25" {
		t.Error(w.dialled)
	}
}

func TestContextThatEnds(t *testing.T) {
	w := newWorld(t, nil)
	s := w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+"C: MAIL\nHANG", offers+"C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 550\nHANG")
	ctx := s.Hangs(t.Context())
	m := newMessage("one", "two")
	out := w.courier.Deliver(ctx, queue.Destination{Domain: "a.test"}, m)
	want(t, out[0], queue.Deferred, "4.4.2", "mx.test", "", true, "took too long over MAIL")
	want(t, w.courier.Deliver(ctx, queue.Destination{Domain: "a.test"}, m)[0], queue.Deferred, "4.4.1", "", "", true, "took too long")

	ctx, cancel := context.WithCancel(t.Context())
	w.wrap = func(conn net.Conn) net.Conn { return &answered{Conn: conn, text: "550", then: cancel} }
	out = w.courier.Deliver(ctx, queue.Destination{Domain: "a.test"}, m)
	want(t, out[0], queue.Deferred, "4.3.2", "", "", false, "broke the attempt off")
	want(t, out[1], queue.Failed, "5.0.0", "mx.test", "", false, "550")
}

// The server's limit of recipients is found out, and those above it follow at once.
func TestMoreRecipientsThanTheServerTakes(t *testing.T) {
	w := newWorld(t, nil)
	first := "C: MAIL\nC: RCPT TO:<one\nC: RCPT TO:<two\nC: RCPT TO:<three\nC: DATA\nS: 250\nS: 250\nS: 452 4.5.3 too many\nS: 552 5.5.3 too many\nS: 354\nMESSAGE\nS: 250\n"
	second := "C= RSET\nS: 250\nC: MAIL\nC: RCPT TO:<two\nC: RCPT TO:<three\nC: DATA\nS: 250\nS: 452 4.5.3 too many\nS: 550 5.1.1 no\nS: 554\n"
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, offers+first+second+quit)
	m := newMessage("one", "two", "three")
	out := w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)
	if got := show(m, out); got != "one delivered 2.0.0, two deferred 4.5.3, three failed 5.1.1" {
		t.Error(got)
	}
}

func TestRecipientsInBatches(t *testing.T) {
	w := newWorld(t, nil)
	m := newMessage()
	for i := range maxRecipients + 1 {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: message.Address{Local: fmt.Sprint("r", i), Domain: "a.test"}})
	}
	script := hello + "S: 250-mx.test\nS: 250 8BITMIME\nC: MAIL\nS: 250\n" + strings.Repeat("C: RCPT\nS: 250\n", maxRecipients) + "C: DATA\nS: 354\nMESSAGE\nS: 250\n"
	w.host("mx.test", "192.0.2.1", route.TLS{}, nil, script+"C= RSET\nS: 250\nC: MAIL\nS: 250\nC= RCPT TO:<r100@a.test>\nS: 250\nC: DATA\nS: 354\nMESSAGE\nS: 421 bye")
	out := w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)
	want(t, out[99], queue.Delivered, "2.0.0", "mx.test", "", false, "250")
	want(t, out[100], queue.Deferred, "4.3.2", "mx.test", "", false, "421 bye")
}

// Once a message's recipients are spoken of, a server that breaks off is not down for other messages.
func TestServerThatBreaksOffOverRecipients(t *testing.T) {
	group := "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\n"
	kept := offers + group + "S: 250\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250\nC= RSET\nS: 250\n"
	for _, c := range []struct {
		name, script, status string
		down                 bool
	}{
		{"421 to MAIL", offers + group + "S: 421 x", "4.3.2", true},
		{"closed at MAIL", offers + group, "4.4.2", true},
		{"421 to RCPT", offers + group + "S: 250\nS: 421 x", "4.3.2", false},
		{"421 to RCPT, after another", offers + group + "S: 250\nS: 550\nS: 421 too many errors", "4.3.2", false},
		{"421 to RCPT, on a kept connection", kept + group + "S: 250\nS: 550\nS: 421 too many errors", "4.3.2", false},
		{"closed at RCPT", offers + group + "S: 250", "4.4.2", false},
		{"closed at RCPT, after another", offers + group + "S: 250\nS: 550", "4.4.2", false},
		{"421 to DATA", offers + group + "S: 250\nS: 250\nS: 250\nS: 421 x", "4.3.2", true},
		{"421 to DATA, after a recipient", offers + group + "S: 250\nS: 550\nS: 250\nS: 421 x", "4.3.2", false},
		{"421 to the message, after a recipient", offers + group + "S: 250\nS: 550\nS: 250\nS: 354\nMESSAGE\nS: 421 x", "4.3.2", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.host("mx.test", "192.0.2.1", route.TLS{}, nil, c.script)
			m := newMessage("one", "two")
			deliver := func() queue.Outcome { return w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[1] }
			if strings.HasPrefix(c.script, kept) {
				want(t, deliver(), queue.Delivered, "2.0.0", "mx.test", "", false, "250")
			}
			want(t, deliver(), queue.Deferred, c.status, "mx.test", "", c.down, "")
		})
	}
	// Nor is the destination, where another of its hosts is.
	w := newWorld(t, nil)
	w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, offers+mail+"S: 250\nS: 421 x")
	w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
	want(t, w.deliver(), queue.Deferred, "4.4.1", "", "", false, "mx2.test")
}

// A message that the server can't take fails at once, whatever other hosts there are.
func TestMessageThatTheServerCannotTake(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, hello+"S: 250 mx.test\n"+quit, offers+quit)
	w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
	m := newMessage("one")
	m.Body, m.Size = strings.NewReader("ä\r\n"), 4
	want(t, w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0], queue.Failed, "5.6.3", "mx1.test", "", false, "8-bit")
	w.courier.pool.dropAll()
	m = newMessage("jürgen")
	want(t, w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0], queue.Failed, "5.6.7", "mx1.test", "", false, "beyond ASCII")
}

// What is wrong with our own store is nobody else's fault.
func TestBodyThatCannotBeRead(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, offers+mail+"S: 250\nS: 250\nS: 354\nEND")
	w.host("mx2.test", "192.0.2.2", route.TLS{}, nil)
	m := newMessage("one")
	m.Size++
	want(t, w.courier.Deliver(t.Context(), queue.Destination{Domain: "a.test"}, m)[0], queue.Deferred, "4.3.0", "", "", false, "could not read")
}

func TestLongRepliesAreCut(t *testing.T) {
	w := newWorld(t, nil)
	w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, offers+mail+"S: 250\nS: 550 5.1.1 "+strings.Repeat("ä", maxReply/2)+"\nS: 554\n"+quit)
	if o := w.deliver(); len(o.Reply) > maxReply || !strings.HasSuffix(o.Reply, "ää") {
		t.Errorf("%q", o.Reply)
	}
}

func TestHostThatIsSlow(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Timeouts = smtpclient.Timeouts{Greeting: 30 * time.Millisecond} })
	w.host("mx1.test", "192.0.2.1", route.TLS{}, nil, "HANG")
	want(t, w.deliver(), queue.Deferred, "4.4.2", "mx1.test", "", true, "took too long over the greeting")
}
