package smtpclient

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/smtpclient/smtptest"
)

const text = "From: a@b.test\r\n\r\nx\r\n"

// codes are the codes of replies.
func codes(replies []Reply) (out []int) {
	for _, r := range replies {
		out = append(out, r.Code)
	}
	return out
}

// wantCodes sends text to one, two and three and compares what they got.
func wantCodes(t *testing.T, script, want string) {
	t.Helper()
	c := open(t, script+quit)
	replies, err := send(t.Context(), c, text, "one@a.test", "two@a.test", "three@a.test")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(codes(replies)); got != want {
		t.Errorf("the recipients got %s, wanted %s", got, want)
	}
	c.Quit(t.Context())
}

const three = "C= RCPT TO:<one@a.test>\nC= RCPT TO:<two@a.test>\nC= RCPT TO:<three@a.test>\n"

func TestRecipientsAreAnsweredOneByOne(t *testing.T) {
	wantCodes(t, plain+`
		C= MAIL FROM:<sender@b.test>
		S: 250
		C= RCPT TO:<one@a.test>
		S: 250
		C= RCPT TO:<two@a.test>
		S: 550 5.1.1 no
		C= RCPT TO:<three@a.test>
		S: 251 will forward
		C= DATA
		S: 354
		C> "From: a@b.test\r\n\r\nx\r\n.\r\n"
		S: 250 2.0.0 taken`, "[250 550 250]")
	wantCodes(t, pipelined+"C= MAIL FROM:<sender@b.test> BODY=8BITMIME\n"+three+`C= DATA
		S: 250
		S: 450 later
		S: 250
		S: 550
		S: 354
		C> "From: a@b.test\r\n\r\nx\r\n.\r\n"
		S: 554 5.6.0 spam`, "[450 554 550]")
	wantCodes(t, chunking+"C= MAIL FROM:<sender@b.test> BODY=8BITMIME\n"+three+`C> "BDAT 21 LAST\r\nFrom: a@b.test\r\n\r\nx\r\n"
		S: 250
		S: 250
		S: 550
		S: 250
		S: 451 4.3.0 later`, "[451 550 451]")
}

func TestMailIsRefused(t *testing.T) {
	wantCodes(t, plain+"C: MAIL\nS: 451 greylisted", "[451 451 451]")
	wantCodes(t, pipelined+"C: MAIL\n"+three+"C= DATA\nS: 550 5.7.1 no\nS: 503\nS: 503\nS: 503\nS: 503", "[550 550 550]")
	wantCodes(t, chunking+"C: MAIL\n"+three+"C> \"BDAT 21 LAST\\r\\nFrom: a@b.test\\r\\n\\r\\nx\\r\\n\"\nS: 550 no\nS: 503\nS: 503\nS: 503\nS: 503", "[550 550 550]")
}

func TestDataIsRefused(t *testing.T) {
	wantCodes(t, pipelined+"C: MAIL\n"+three+"C= DATA\nS: 250\nS: 250\nS: 550\nS: 250\nS: 451 later", "[451 550 451]")
	wantCodes(t, plain+"C: MAIL\nS: 250\nC: RCPT\nS: 250\nC: RCPT\nS: 250\nC: RCPT\nS: 250\nC: DATA\nS: 554 no", "[554 554 554]")
}

func TestEveryRecipientIsRefused(t *testing.T) {
	wantCodes(t, plain+"C: MAIL\nS: 250\nC: RCPT\nS: 550\nC: RCPT\nS: 551\nC: RCPT\nS: 450", "[550 551 450]")
	wantCodes(t, pipelined+"C: MAIL\n"+three+"C= DATA\nS: 250\nS: 550\nS: 551\nS: 450\nS: 554 no recipients", "[550 551 450]")
	wantCodes(t, chunking+"C: MAIL\n"+three+"C> \"BDAT 21 LAST\\r\\nFrom: a@b.test\\r\\n\\r\\nx\\r\\n\"\nS: 250\nS: 550\nS: 551\nS: 450\nS: 554 no recipients", "[550 551 450]")
}

// RFC 2920 section 3.1: the server waits for a message all the same, and gets an empty one for nobody.
func TestEveryRecipientIsRefusedAndDataIsNot(t *testing.T) {
	wantCodes(t, pipelined+"C: MAIL\n"+three+"C= DATA\nS: 250\nS: 550\nS: 551\nS: 450\nS: 354 go on\nC> \".\\r\\n\"\nS: 554 no recipients", "[550 551 450]")
	wantCodes(t, pipelined+"C: MAIL\n"+three+"C= DATA\nS: 550\nS: 503\nS: 503\nS: 503\nS: 354 go on\nC> \".\\r\\n\"\nS: 250 if you say so", "[550 550 550]")
}

// The dot would send an empty message to somebody.
func TestMailIsRefusedAndTheRestIsNot(t *testing.T) {
	c := open(t, pipelined+"C: MAIL\nC: RCPT\nC= DATA\nS: 550\nS: 250\nS: 354\nEND")
	replies, err := send(t.Context(), c, text, "one@a.test")
	c.Close()
	wantError(t, err, "DATA", 0, false)
	if replies[0].Code != 550 {
		t.Error(replies)
	}
}

// The server closes the connection with 421 wherever it likes; what was certain before stays certain.
func Test421AtAnyTime(t *testing.T) {
	const bye = "S: 421 4.3.2 going down\n"
	mail, group := "C: MAIL\nS: 250\n", "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\n"
	for _, c := range []struct{ script, during, want string }{
		{plain + "C: MAIL\n" + bye, "MAIL", "[0 0]"},
		{plain + mail + "C: RCPT\nS: 550\nC: RCPT\n" + bye, "RCPT", "[550 0]"},
		{plain + mail + "C: RCPT\nS: 250\nC: RCPT\n" + bye, "RCPT", "[0 0]"},
		{plain + mail + "C: RCPT\nS: 550\nC: RCPT\nS: 250\nC: DATA\n" + bye, "DATA", "[550 0]"},
		{plain + mail + "C: RCPT\nS: 550\nC: RCPT\nS: 250\nC: DATA\nS: 354\nMESSAGE\n" + bye, Message, "[550 0]"},
		{pipelined + group + bye, "MAIL", "[0 0]"},
		{pipelined + group + "S: 250\nS: 550\n" + bye, "RCPT", "[550 0]"},
		{pipelined + group + "S: 250\nS: 550\nS: 551\n" + bye, "DATA", "[550 551]"},
		{chunking + "C: MAIL\nC: RCPT\nC: RCPT\nC> \"BDAT 21 LAST\\r\\n\"\nMORE\nS: 250\nS: 550\nS: 250\n" + bye, "BDAT", "[550 0]"},
	} {
		script := strings.ReplaceAll(c.script, "MORE", `C> "From: a@b.test\r\n\r\nx\r\n"`)
		client := open(t, script+"END")
		replies, err := send(t.Context(), client, text, "one@a.test", "two@a.test")
		client.Quit(t.Context())
		wantError(t, err, c.during, 421, false)
		if got := fmt.Sprint(codes(replies)); got != c.want {
			t.Errorf("%s: %s, wanted %s", c.during, got, c.want)
		}
	}
}

// Only after the end of the message is it not known whether the server has it.
func TestConnectionIsLost(t *testing.T) {
	mail, group := "C: MAIL\nS: 250\nC: RCPT\nS: 550\nC: RCPT\nS: 250\nC: DATA\n", "C: MAIL\nC: RCPT\nC: RCPT\n"
	chunk := `C> "BDAT 21 LAST\r\nFrom: a@b.test\r\n\r\nx\r\n"` + "\n"
	for _, c := range []struct {
		script, during, want string
		unknown              bool
	}{
		{plain + "C: MAIL\n", "MAIL", "[0 0]", false},
		{plain + mail, "DATA", "[550 0]", false},
		{plain + mail + "S: 354\nMESSAGE\n", Message, "[550 0]", true},
		{plain + mail + "S: 354\nMESSAGE\nRESET", Message, "[550 0]", true},
		{plain + mail + "S: 354\nMESSAGE\nS: what?\n", Message, "[550 0]", true},
		{plain + mail + "S: 354\nMESSAGE\nS: 354 more\n", Message, "[550 0]", true},
		{plain + mail + "S: 250 no 354\n", "DATA", "[550 0]", false},
		{pipelined + group + "C: DATA\n", "MAIL", "[0 0]", false},
		{pipelined + group + "C: DATA\nS: 250\nS: 354\n", "RCPT", "[0 0]", false},
		{chunking + group + chunk, "MAIL", "[0 0]", true},
		{chunking + group + chunk + "S: 250\nS: 550\n", "RCPT", "[550 0]", true},
		{chunking + group + chunk + "S: 250\nS: 550\nS: 250\n", "BDAT", "[550 0]", true},
	} {
		client := open(t, c.script)
		replies, err := send(t.Context(), client, text, "one@a.test", "two@a.test")
		client.Close()
		wantError(t, err, c.during, 0, c.unknown)
		if got := fmt.Sprint(codes(replies)); got != c.want {
			t.Errorf("%.30q: %s, wanted %s", c.script, got, c.want)
		}
	}
}

// A server that has enough in the middle of a message says so and closes. What it said counts, whether or not the client wrote on.
func TestServerThatHasEnough(t *testing.T) {
	for _, end := range []string{"", "RESET"} {
		c := open(t, pipelined+"C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 354\nC: xxx\nS: 552 5.3.4 too large\n"+end)
		replies, err := send(t.Context(), c, strings.Repeat("xxx\r\n", 4<<20), "one@a.test")
		c.Close()
		var e *Error
		switch {
		case err == nil && replies[0].Code == 552:
		case end == "RESET" && errors.As(err, &e) && !e.Unknown && replies[0].Code == 0: // the reset overtook the reply
		default:
			t.Errorf("%v, %v", replies, err)
		}
		if c.Err() == nil {
			t.Error("the connection can be used")
		}
	}
}

// MAIL, every RCPT and the message, or DATA, are one write.
func TestOneWrite(t *testing.T) {
	for _, c := range []struct{ script, message, first, second string }{
		{
			pipelined + "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250", text,
			"MAIL FROM:<sender@b.test> BODY=8BITMIME\r\nRCPT TO:<one@a.test>\r\nRCPT TO:<two@a.test>\r\nDATA\r\n", text + ".\r\n",
		},
		{
			chunking + "C: MAIL\nC: RCPT\nC: RCPT\nC> \"BDAT 21 LAST\\r\\nFrom: a@b.test\\r\\n\\r\\nx\\r\\n\"\nS: 250\nS: 250\nS: 250\nS: 250", text,
			"MAIL FROM:<sender@b.test> BODY=8BITMIME\r\nRCPT TO:<one@a.test>\r\nRCPT TO:<two@a.test>\r\nBDAT 21 LAST\r\n" + text, "",
		},
		{ // whose lines BDAT could not mend
			chunking + "C: MAIL\nC: RCPT\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250", "a\nb",
			"MAIL FROM:<sender@b.test> BODY=8BITMIME\r\nRCPT TO:<one@a.test>\r\nRCPT TO:<two@a.test>\r\nDATA\r\n", "a\r\nb\r\n.\r\n",
		},
	} {
		s := smtptest.Serve(t, nil, c.script+quit)
		r := &recorder{Conn: connection(t, s)}
		client, err := New(t.Context(), r, options())
		if err != nil {
			t.Fatal(err)
		}
		if replies, err := send(t.Context(), client, c.message, "one@a.test", "two@a.test"); err != nil || replies[1].Code != 250 {
			t.Fatal(replies, err)
		}
		want := []string{c.first, c.second}
		if c.second == "" {
			want = want[:1]
		}
		if got := r.after("MAIL"); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("wrote %q, wanted %q", got, want)
		}
		client.Quit(t.Context())
	}
}

func TestLargeMessagesWaitForTheirRecipients(t *testing.T) {
	c := open(t, chunking+"C: MAIL\nC: RCPT\nC= DATA\nS: 250\nS: 550\nS: 554"+quit)
	if replies, err := send(t.Context(), c, strings.Repeat("x\r\n", maxChunk), "one@a.test"); err != nil || replies[0].Code != 550 {
		t.Error(replies, err)
	}
	c.Quit(t.Context())
}

// More recipients than are sent together.
func TestManyRecipients(t *testing.T) {
	const n = 2*maxGroup + 10
	var script strings.Builder
	script.WriteString(pipelined)
	var to []string
	for i := range n + 1 { // with MAIL
		if i > 0 {
			to = append(to, fmt.Sprintf("r%d@a.test", i))
			fmt.Fprintf(&script, "C= RCPT TO:<r%d@a.test>\n", i)
		} else {
			script.WriteString("C: MAIL\n")
		}
		if i == n {
			script.WriteString("C= DATA\n")
		}
		if (i+1)%maxGroup == 0 {
			script.WriteString(strings.Repeat("S: 250\n", maxGroup))
		}
	}
	script.WriteString(strings.Repeat("S: 250\n", (n+1)%maxGroup) + "S: 354\nMESSAGE\nS: 250 taken")
	c := open(t, script.String()+quit)
	replies, err := send(t.Context(), c, text, to...)
	if err != nil || len(replies) != n || replies[n-1].Text != "taken" {
		t.Fatal(replies, err)
	}
	c.Quit(t.Context())
	// Where MAIL is refused the rest is not said.
	c = open(t, pipelined+"C: MAIL\n"+strings.Repeat("C: RCPT\n", maxGroup-1)+"S: 550\n"+strings.Repeat("S: 503\n", maxGroup-1)+quit)
	if replies, err := send(t.Context(), c, text, to...); err != nil || replies[n-1].Code != 550 {
		t.Fatal(replies, err)
	}
	c.Quit(t.Context())
}

// What goes over the wire between 354 and the end.
func TestLinesAndDots(t *testing.T) {
	for message, want := range map[string]string{
		"":                        ".\r\n",
		"a\r\n":                   "a\r\n.\r\n",
		"a":                       "a\r\n.\r\n",
		"a\r":                     "a\r\n.\r\n",
		"a\n":                     "a\r\n.\r\n",
		".":                       "..\r\n.\r\n",
		".\r\n":                   "..\r\n.\r\n",
		"..\r\n":                  "...\r\n.\r\n",
		"\r\n.\r\n":               "\r\n..\r\n.\r\n",
		"a.\r\nb\r\n.c\r\n":       "a.\r\nb\r\n..c\r\n.\r\n",
		"a\n.\nb\n":               "a\r\n..\r\nb\r\n.\r\n", // "SMTP smuggling", each way
		"a\r.\rb\r":               "a\r\n..\r\nb\r\n.\r\n",
		"a\r\n.\rb":               "a\r\n..\r\nb\r\n.\r\n",
		"a\n.\r\nMAIL FROM:<x>\n": "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n",
		"a\r\r\nb":                "a\r\n\r\nb\r\n.\r\n",
		"a\n\rb":                  "a\r\n\r\nb\r\n.\r\n",
		"\n\n":                    "\r\n\r\n.\r\n",
		"\x00\xff.\r\n":           "\x00\xff.\r\n.\r\n",
	} {
		c := open(t, pipelined+fmt.Sprintf("C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 354\nC> %q\nS: 250", want)+quit)
		if replies, err := send(t.Context(), c, message, "one@a.test"); err != nil || replies[0].Code != 250 {
			t.Errorf("%q: %v, %v", message, replies, err)
		}
		c.Quit(t.Context())
	}
}

// unreadable is a body that breaks off.
type unreadable struct{ n int }

func (u unreadable) ReadAt(p []byte, at int64) (int, error) {
	if at >= int64(u.n) {
		return 0, errors.New("the disk is on fire")
	}
	n := copy(p, bytes.Repeat([]byte("x"), u.n-int(at)))
	if n < len(p) {
		return n, errors.New("the disk is on fire")
	}
	return n, nil
}

// A message of which a part is missing is never ended, or not begun.
func TestBodyThatCannotBeRead(t *testing.T) {
	e := &Envelope{Recipients: []Recipient{{Address: "one@a.test"}}}
	for _, c := range []struct {
		script string
		body   io.ReaderAt
		size   int64
	}{
		{chunking + "END", strings.NewReader(text), 22},
		{chunking + "END", unreadable{10}, 20},
		{plain + "END", unreadable{10}, 20},
		{pipelined + "C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 354\nEND", unreadable{0}, 20},
		{pipelined + "C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 354\nEND", strings.NewReader(""), 20},
		{pipelined + "C: MAIL\nC: RCPT\nC: DATA\nS: 250\nS: 250\nS: 354\nHANG", unreadable{2 * readBuffer}, 3 * readBuffer},
	} {
		client := open(t, c.script)
		replies, err := client.Send(t.Context(), e, c.body, c.size)
		client.Close()
		var unread *BodyError
		if !errors.As(err, &unread) || replies[0].Code != 0 {
			t.Errorf("%v, %v", replies, err)
		}
	}
}

// What the server does not offer it is not asked for.
func TestMessageThatTheServerCannotTake(t *testing.T) {
	offers := func(lines ...string) string {
		return hello + "S: 250-mx.test\nS: 250-" + strings.Join(lines, "\nS: 250-") + "\nS: 250 HELP"
	}
	utf8 := Envelope{From: "jürgen@b.test"}
	for _, c := range []struct {
		offered, message string
		envelope         Envelope
		status           string
	}{
		{offers("SIZE 20"), text, Envelope{}, "5.3.4"},
		{offers("SMTPUTF8"), "x\xe4\r\n", Envelope{}, "5.6.3"},
		{offers("SMTPUTF8"), strings.Repeat("x", 3*readBuffer) + "ä", Envelope{}, "5.6.3"},
		{offers("8BITMIME"), text, utf8, "5.6.7"},
		{offers("8BITMIME"), text, Envelope{Recipients: []Recipient{{Address: "jürgen@b.test"}}}, "5.6.7"},
		{offers("8BITMIME"), "Subject: ä\r\n\r\nx\r\n", Envelope{SMTPUTF8: true}, "5.6.7"},
		{offers("8BITMIME"), text, Envelope{RequireTLS: true}, "5.7.30"},
		{offers("REQUIRETLS"), text, Envelope{RequireTLS: true}, "5.7.30"}, // in the clear
		{offers("8BITMIME"), text, Envelope{From: "a@b.test>\r\nRCPT TO:<c@d.test"}, "5.1.3"},
		{offers("8BITMIME"), text, Envelope{Recipients: []Recipient{{Address: "a@b.test\n"}}}, "5.1.3"},
	} {
		client := open(t, c.offered+quit)
		_, err := client.Send(t.Context(), &c.envelope, strings.NewReader(c.message), int64(len(c.message)))
		wantRefusal(t, err, c.status)
		client.Quit(t.Context())
	}
}

// Go's net/smtp says SMTPUTF8 of every message; most need it nowhere (RFC 6531).
func TestSMTPUTF8IsSaidWhereItIsOffered(t *testing.T) {
	for _, c := range []struct{ offered, message, said string }{
		{"SMTPUTF8", text, " SMTPUTF8"},
		{"SMTPUTF8", "Subject: ä\r\n\r\n", " SMTPUTF8"},
		{"HELP", text, ""},
		{"HELP", "Subject: x\r\n\r\nä\r\n", ""}, // 8BITMIME is for the body
	} {
		client := open(t, hello+"S: 250-mx.test\nS: 250-8BITMIME\nS: 250-PIPELINING\nS: 250 "+c.offered+"\nC= MAIL FROM:<a@b.test> BODY=8BITMIME"+c.said+
			"\nC: RCPT\nC= DATA\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250"+quit)
		e := &Envelope{From: "a@b.test", SMTPUTF8: true, Recipients: []Recipient{{Address: "one@a.test"}}}
		if replies, err := client.Send(t.Context(), e, strings.NewReader(c.message), int64(len(c.message))); err != nil || replies[0].Code != 250 {
			t.Errorf("%q: %v, %v", c.message, replies, err)
		}
		client.Quit(t.Context())
	}
}

// Each parameter is said where it is offered, and only there.
func TestParameters(t *testing.T) {
	e := &Envelope{
		From: "sender@b.test", ID: "a+2Bb", Return: "HDRS", Recipients: []Recipient{
			{Address: "one@a.test", Notify: "SUCCESS,DELAY", Original: "rfc822;one+2Bx@a.test"},
			{Address: "two@a.test", Notify: "NEVER", Original: "utf-8;jürgen@a.test"},
			{Address: "three@a.test", Original: "x;a b"},
		},
	}
	message := "x\r\n"
	end := "\nC= DATA\nS: 250\nS: 250\nS: 250\nS: 250\nS: 354\nMESSAGE\nS: 250" + quit
	play := func(c *Client) {
		t.Helper()
		if replies, err := c.Send(t.Context(), e, strings.NewReader(message), 3); err != nil || replies[2].Code != 250 {
			t.Error(replies, err)
		}
		c.Quit(t.Context())
	}
	play(open(t, hello+`
		S: 250-mx.test
		S: 250-PIPELINING
		S: 250-SIZE 0
		S: 250-8BITMIME
		S: 250 DSN
		C= MAIL FROM:<sender@b.test> SIZE=3 BODY=8BITMIME RET=HDRS ENVID=a+2Bb
		C= RCPT TO:<one@a.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;one+2Bx@a.test
		C= RCPT TO:<two@a.test> NOTIFY=NEVER ORCPT=utf-8;j\x{FC}rgen@a.test
		C= RCPT TO:<three@a.test> ORCPT=x;a+20b`+end))
	play(open(t, hello+`
		S: 250-mx.test
		S: 250-SIZE 3
		S: 250 PIPELINING
		C= MAIL FROM:<sender@b.test> SIZE=3
		C= RCPT TO:<one@a.test>
		C= RCPT TO:<two@a.test>
		C= RCPT TO:<three@a.test>`+end))
	e.RequireTLS, e.From, message = true, "jürgen@b.test", "x\xe4\n"
	play(openTLS(t, hello+`
		S: 250-mx.test
		S: 250-PIPELINING
		S: 250-8BITMIME
		S: 250-SMTPUTF8
		S: 250 REQUIRETLS
		C= MAIL FROM:<jürgen@b.test> BODY=8BITMIME SMTPUTF8 REQUIRETLS
		C= RCPT TO:<one@a.test>
		C= RCPT TO:<two@a.test>
		C= RCPT TO:<three@a.test>`+end))
}

// One message after another, whatever became of the one before.
func TestMessagesInTurn(t *testing.T) {
	group := "C: MAIL\nC: RCPT\nC: DATA\n"
	c := open(t, pipelined+group+"S: 250\nS: 250\nS: 354\nMESSAGE\nS: 250\nC= RSET\nS: 250\n"+
		group+"S: 250\nS: 550\nS: 554\nC= RSET\nS: 250\n"+group+"S: 250\nS: 250\nS: 354\nMESSAGE\nS: 554"+quit)
	for i, want := range []int{250, 550, 554} {
		if i > 0 {
			if err := c.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if replies, err := send(t.Context(), c, text, "one@a.test"); err != nil || replies[0].Code != want {
			t.Error(replies, err)
		}
	}
	c.Quit(t.Context())
	if replies, err := send(t.Context(), c, text, "one@a.test"); err == nil || len(replies) != 1 {
		t.Error("a closed client sends")
	}
}
