package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/smtp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/test/harness"
)

// hostile are messages that want to become more than they are. All are taken, as a server does that loses no mail, and read again as they
// were sent; their reading is bounded.
func hostile() map[string]string {
	const n = 10_000
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	deep, hidden := "", "x"
	for i := range 2000 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for range 20 {
		hidden = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b64(hidden)
	}
	const plain = "\r\nbody\r\n"
	return map[string]string{
		"header fields":    strings.Repeat("X-Field: value\r\n", n) + plain,
		"folded lines":     "X-Field: value\r\n" + strings.Repeat("\tfolded\r\n", n) + plain,
		"signatures":       strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=AAAA; b=AAAA\r\n", n) + plain,
		"seals":            strings.Repeat("ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA\r\n", n) + plain,
		"results":          strings.Repeat("Authentication-Results: mail.ours.example; dmarc=pass\r\n", n) + plain,
		"recipients":       "To: a@b.example" + strings.Repeat(",\r\n a@b.example", n) + "\r\n" + plain,
		"groups":           "Cc: " + strings.Repeat("g:", n) + "\r\n" + plain,
		"deep":             deep + "\r\nend\r\n",
		"wide":             "Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n", 3*n) + "--x--\r\n",
		"messages":         strings.Repeat("Content-Type: message/rfc822\r\n\r\n", n) + "\r\nend\r\n",
		"encodings":        hidden + "\r\n",
		"encoded words":    "Comments: =?utf-8?B?" + b64("=?utf-8?Q?a=0D=0ABcc:_x@a.example?=") + "?=\r\n" + plain,
		"file names":       "Content-Type: application/x; name*0*=utf-8''..%2f%0d%0aX:%20y" + strings.Repeat("; name*1*=%41", n) + "\r\n" + plain,
		"UTF-16":           "Content-Type: text/plain; charset=utf-16\r\n\r\n\xff\xfea\x00\xd8\r\n",
		"escapes":          "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B\x1b$Z\x1b\r\n",
		"no charset":       "Content-Type: text/plain; charset=\"" + strings.Repeat("x", n) + "\"\r\n\r\n\xff\xfe\x00\r\n",
		"8-bit header":     "X-\xff: \xe4\x00\r\nFrom : \x80\r\n" + plain,
		"a header of a MB": "X-Field: " + strings.Repeat("x", 1<<20) + "\r\n" + plain,
		"NUL in addresses": "From: \x00\xff <\x00\xff@\xff.example>\r\nTo: \x00\r\nReply-To: <\x00@\x00>\r\nMessage-ID: <\x00\xff@x>\r\n" +
			"In-Reply-To: <\x00@x>\r\nReferences: <\x00\xff@x>\r\nDate: \x00\r\nContent-Type: text/\x00; name=\x00\xff\r\n" + plain,
		"a line of a MB":    "\r\n" + strings.Repeat("x", 1<<20) + "\r\n",
		"nothing but dots":  "\r\n" + strings.Repeat(".\r\n..\r\n", 100),
		"HTML without ends": "Content-Type: text/html\r\n\r\n" + strings.Repeat("<script><!--<a ", n) + "\r\n",
	}
}

// TestHostileMail hands in what breaks readers of mail, and reads it by IMAP: 10,000-line headers, MIME bombs, nested encodings, broken
// charsets, on both engines. Each comes back byte for byte, in seconds.
func TestHostileMail(t *testing.T) {
	harness.Engines(t, func(t *testing.T, url string) {
		t.Parallel()
		hostileMail(t, harness.Start(t, harness.Options{DatabaseURL: url, Flags: []string{"--hostname", "mail.ours.example"}}))
	})
}

func hostileMail(t *testing.T, s *harness.Server) {
	office(t, s, "hostile", "ann")
	const ann = "ann@hostile.awsapps.com"
	all := hostile()
	names := slices.Sorted(maps.Keys(all))
	for _, name := range names {
		start := time.Now()
		if err := handInHostile(s, ann, "Subject: "+name+"\r\n"+all[name]); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if spent := time.Since(start); spent > 20*time.Second {
			t.Errorf("%s took %s to be taken", name, spent)
		}
	}
	// One that went round in a circle is refused.
	err := handInHostile(s, ann, strings.Repeat("Received: from a by b; Thu, 26 Nov 2026 12:00:00 +0000\r\n", 10_000)+"\r\n")
	if err == nil || !strings.Contains(err.Error(), "5.4.6") {
		t.Errorf("10,000 Received fields: %v", err)
	}
	c := s.IMAP(ann, password)
	c.Do("SELECT INBOX")
	for i, name := range names {
		start := time.Now()
		number := fmt.Sprint(i + 1)
		if got := strings.Join(c.Do("FETCH "+number+" (ENVELOPE BODYSTRUCTURE BODY[1] BINARY.SIZE[1])"), "\r\n"); !strings.Contains(got, `"`+name+`"`) {
			t.Errorf("%s has the envelope %.200s", name, got)
		}
		want := "Subject: " + name + "\r\n" + all[name]
		if name == "results" { // those under this server's name are not its own
			want = "Subject: " + name + "\r\n\r\nbody\r\n"
		}
		want = strings.ReplaceAll(want, "\x00", "\x80") // no literal can hold NUL
		if got := strings.Join(c.Do("FETCH "+number+" BODY.PEEK[]"), "\r\n"); !strings.Contains(got, want) {
			t.Errorf("%s did not come back as it was sent: %d bytes, sent %d", name, len(got), len(want))
		}
		c.Do("SEARCH " + number + " OR TEXT nowhere HEADER X-Field nowhere")
		if spent := time.Since(start); spent > 20*time.Second {
			t.Errorf("%s took %s to be read", name, spent)
		}
	}
	s.Check()
}

// handInHostile hands in a message by the client of Go's library.
func handInHostile(s *harness.Server, to, text string) error {
	c, err := smtp.Dial(s.Addr("smtp"))
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.Mail("x@evil.example"), c.Rcpt(to)); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, text); err != nil {
		return err
	}
	return w.Close()
}

// TestSmuggling hides a message behind what another server may take for the end of one, in mail from other servers and from users, and in
// requests of HTTP.
func TestSmuggling(t *testing.T) {
	s := harness.Start(t, harness.Options{})
	office(t, s, "smuggling", "ann")
	const ann = "ann@smuggling.awsapps.com"
	const forged = "MAIL FROM:<admin@smuggling.awsapps.com>\r\nRCPT TO:<" + ann + ">\r\nDATA\r\nSubject: forged\r\n\r\n.\r\n"
	begin := map[string]func() (net.Conn, *bufio.Reader){
		"inbound": func() (net.Conn, *bufio.Reader) {
			return speak(t, s, "smtp", nil, "EHLO a", "MAIL FROM:<x@evil.example>")
		},
		"submission": func() (net.Conn, *bufio.Reader) {
			return speak(t, s, "submissions", s.TLS(), "EHLO a", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+ann+"\x00"+password)), "MAIL FROM:<"+ann+">")
		},
	}
	for _, port := range slices.Sorted(maps.Keys(begin)) {
		for _, end := range []string{
			"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n.\r", "\r.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n", "\n\n.\n", "\r\n\n.\r\n",
			"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\n.\r\x00\n",
		} {
			conn, in := begin[port]()
			exchange(t, conn, in, "RCPT TO:<"+ann+">", "250")
			exchange(t, conn, in, "DATA", "354")
			if _, err := io.WriteString(conn, "Subject: honest\r\n\r\nfirst"+end+forged+"QUIT\r\n"); err != nil {
				t.Fatal(err)
			}
			answers, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			// One message, refused or taken as a whole, then QUIT.
			if lines := strings.Split(strings.TrimSpace(string(answers)), "\r\n"); len(lines) != 2 || !strings.HasPrefix(lines[1], "221") {
				t.Errorf("%s, %q: %q", port, end, answers)
			}
			_ = conn.Close()
		}
	}
	resp, err := http.Post("http://"+s.Addr("smtp")+"/", "text/plain", strings.NewReader("EHLO a\r\n"+forged))
	if err == nil {
		_ = resp.Body.Close()
		t.Error("an HTTP request was answered")
	}
	c := s.IMAP(ann, password)
	if got := c.Subjects("INBOX", "SUBJECT forged"); len(got) > 0 {
		t.Errorf("%d messages were smuggled in", len(got))
	}
	if got := c.Subjects("INBOX", "FROM admin"); len(got) > 0 {
		t.Errorf("%d messages are from the administrator", len(got))
	}
}

// speak opens a session, over TLS where it is given, and says lines that must be answered by 2xx.
func speak(t *testing.T, s *harness.Server, port string, secure *tls.Config, lines ...string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr(port))
	if err == nil && secure != nil {
		conn = tls.Client(conn, secure)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	exchange(t, conn, in, "", "220")
	for _, line := range lines {
		exchange(t, conn, in, line, "2")
	}
	return conn, in
}

// exchange says a line, unless it is empty, and reads the answer.
func exchange(t *testing.T, conn net.Conn, in *bufio.Reader, line, code string) {
	t.Helper()
	if line != "" {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	for {
		got, err := in.ReadBytes('\n')
		if err != nil || !bytes.HasPrefix(got, []byte(code)) {
			t.Fatalf("%s was answered by %q, %v", line, got, err)
		}
		if got[3] == ' ' {
			return
		}
	}
}
