package scan

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/transport/scan/scantest"
)

// daemon finds the word "virus", takes a megabyte, and hangs on "hang" until the test ends.
type daemon struct {
	net.Listener
	hanging chan struct{}
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "c"))
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{Listener: l, hanging: make(chan struct{}, userTurns+strangerTurns)}
	ended := make(chan struct{})
	scantest.Serve(t, l, 1<<20, func(text []byte) string {
		switch {
		case bytes.Contains(text, []byte("hang")):
			d.hanging <- struct{}{}
			<-ended
			return scantest.Silent
		case bytes.Contains(text, []byte("silent")):
			return scantest.Silent
		case bytes.Contains(text, []byte("broken")):
			return scantest.Broken
		}
		return scantest.Finds("virus")(text)
	})
	t.Cleanup(func() { close(ended) })
	return d
}

func TestViruses(t *testing.T) {
	d := newDaemon(t)
	clamd := NewClamd("unix:" + d.Addr().String())
	hasty := NewClamd("unix:" + d.Addr().String())
	hasty.Timeout = 50 * time.Millisecond
	down := NewClamd("unix:" + filepath.Join(t.TempDir(), "nobody"))
	for _, c := range []struct {
		name, text string
		clamd      *Clamd
		accept     bool
		kind       fault.Kind // 0 for taken
		says       string
	}{
		{"clean", "hello", clamd, false, 0, ""},
		{"empty", "", clamd, false, 0, ""},
		{"many chunks", strings.Repeat("x", 300_000), clamd, false, 0, ""},
		{"a virus", strings.Repeat("x", 100_000) + "virus", clamd, false, fault.Denied, "holds a virus: Eicar-Test-Signature"},
		{"a virus is refused whatever happens otherwise", "virus", clamd, true, fault.Denied, "Eicar"},
		{"too large", strings.Repeat("x", 2<<20), clamd, false, fault.TooLarge, "larger than can be looked at"},
		{"too large, where clamd may be down", strings.Repeat("x", 2<<20), clamd, true, fault.TooLarge, "larger than can be looked at"},
		{"an error", "broken", clamd, false, fault.Temporary, "try again later"},
		{"an error, where clamd may be down", "broken", clamd, true, fault.Temporary, "try again later"},
		{"no answer", "silent", clamd, false, fault.Temporary, "try again later"},
		{"no answer, let through", "silent", clamd, true, 0, ""},
		{"no answer in time", "hang", hasty, false, fault.Temporary, "try again later"},
		{"no answer in time, where clamd may be down", "hang", hasty, true, fault.Temporary, "try again later"},
		{"down", "hello", down, false, fault.Temporary, "try again later"},
		{"down, let through", "hello", down, true, 0, ""},
	} {
		s := New(Options{Clamd: c.clamd, AcceptUnscanned: c.accept, Log: slog.New(slog.DiscardHandler)})
		err := s.Scan(t.Context(), []byte(c.text), false, stranger)
		f := fault.As(err)
		switch {
		case c.kind == 0 && err != nil, c.kind != 0 && (f == nil || f.Kind != c.kind || f.Subject != fault.Message || !strings.Contains(f.Message, c.says)):
			t.Errorf("%s: %v, want %v %q", c.name, err, c.kind, c.says)
		}
	}
}

var (
	stranger = netip.MustParseAddr("192.0.2.1")
	other    = netip.MustParseAddr("192.0.2.2")
)

// TestScansWaitForTheirTurn: no more than clamd has threads for. A network holds up none but itself, and strangers hold up no user.
func TestScansWaitForTheirTurn(t *testing.T) {
	d := newDaemon(t)
	c := NewClamd("unix:" + d.Addr().String())
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	hang := func(n int, submitted bool, from netip.Addr) {
		for range n {
			wait.Go(func() {
				if _, err := c.scan(ctx, []byte("hang"), submitted, from); err == nil {
					t.Error("a scan without an answer is one")
				}
			})
		}
	}
	hasty := *c
	passes := func(want, submitted bool, from netip.Addr) {
		t.Helper()
		hasty.Timeout = time.Minute
		if !want {
			hasty.Timeout = time.Millisecond
		}
		// Who waits too long is not let through.
		s := New(Options{Clamd: &hasty, AcceptUnscanned: true, Log: slog.New(slog.DiscardHandler)})
		err := s.Scan(t.Context(), []byte("hello"), submitted, from)
		if want != (err == nil) || !want && (!fault.Is(err, fault.Temporary, fault.Message) || !strings.Contains(errors.Unwrap(err).Error(), "wait for a turn")) {
			t.Errorf("submitted %v, from %s: %v, want %v", submitted, from, err, want)
		}
	}
	begin := func(n int) {
		for range n {
			<-d.hanging
		}
	}
	hang(2*networkTurns, false, stranger)
	begin(networkTurns)
	passes(false, false, stranger)
	passes(true, false, other)
	for i := range strangerTurns - networkTurns {
		hang(1, false, netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
	begin(strangerTurns - networkTurns)
	passes(false, false, other)
	passes(true, true, netip.Addr{})
	hang(userTurns, true, netip.Addr{})
	begin(userTurns)
	passes(false, true, netip.Addr{})
	cancel()
	wait.Wait()
	if n := len(c.turns.networks); n != 0 {
		t.Errorf("%d networks are remembered", n)
	}
}

func TestBlockedAttachments(t *testing.T) {
	part := func(header string) string { return "--b\r\n" + header + "\r\n\r\nMZ\r\n" }
	multipart := func(parts ...string) string {
		return "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Join(parts, "") + "--b--\r\n"
	}
	attached := func(params string) string { return multipart(part("Content-Disposition: attachment; " + params)) }
	types := NewTypes([]string{"workmail", ".ZIP", "doc*"})
	for _, c := range []struct {
		name, text, is string
	}{
		{"no attachment", "Subject: x.exe\r\n\r\nsetup.exe\r\n", ""},
		{"an innocent one", attached(`filename="report.pdf"`), ""},
		{"a program", attached(`filename="setup.exe"`), "exe"},
		{"in capitals", attached(`filename="SETUP.EXE"`), "exe"},
		{"not quoted", attached(`filename=setup.exe`), "exe"},
		{"two extensions", attached(`filename="invoice.pdf.js"`), "js"},
		{"an extension that is no more", attached(`filename="invoice.exe.pdf"`), ""},
		{"a dot and blanks behind it", attached(`filename="setup.exe. . "`), "exe"},
		{"a stream of a file", attached(`filename="setup.exe:x.txt"`), "exe"},
		{"a path", attached(`filename="C:\\x.txt\\setup.exe"`), "exe"},
		{"letters that are not shown", attached(`filename*=utf-8''setup.e%E2%80%8Bx%E2%80%AEe`), "exe"},
		{"RFC 2231", attached(`filename*=utf-8''set%75p%2Eexe`), "exe"},
		{"RFC 2231 in pieces", attached(`filename*0="set"; filename*1="up.e"; filename*2="xe"`), "exe"},
		{"an encoded word", attached(`filename="=?utf-8?B?c2V0dXAuZXhl?="`), "exe"},
		{"two names, the second is innocent", attached(`filename="setup.exe"; filename*=utf-8''report.pdf`), "exe"},
		{"two names, the first is innocent", attached(`filename="report.pdf"; filename*=utf-8''setup.exe`), "exe"},
		{"twice the same parameter", attached(`filename="report.pdf"; filename="setup.exe"`), "exe"},
		{"only a name", multipart(part(`Content-Type: application/octet-stream; name="setup.scr"`)), "scr"},
		{"the name and another file name", multipart(part("Content-Disposition: attachment; filename=a.txt\r\nContent-Type: text/plain; name=b.vbs")), "vbs"},
		{"the only part", "Content-Type: application/x; name=\"a.bat\"\r\n\r\nx\r\n", "bat"},
		{"in a message in a message", multipart("--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Disposition: inline; filename=x.lnk\r\n\r\nx\r\n--c--\r\n"), "lnk"},
		{"the operator's own", attached(`filename="a.zip"`), "zip"},
		{"all that begin so", attached(`filename="a.docm"`), "docm"},
		{"Visio is not of WorkMail's list", attached(`filename="a.vsdx"`), ""},
		{"no name", attached(`filename="exe"`), ""},
	} {
		name, is, more := types.Blocked([]byte(c.text))
		if is != c.is || more {
			t.Errorf("%s: %q of type %q, want %q", c.name, name, is, c.is)
		}
	}
	for _, list := range [][]string{nil, {""}} {
		if !NewTypes(list).None() {
			t.Errorf("%q blocks something", list)
		}
	}
	deep := strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 200) + "x"
	s := New(Options{Types: types, Log: slog.New(slog.DiscardHandler)})
	for _, c := range []struct {
		name, text string
		submitted  bool
		says       string
	}{
		{"what users submit", attached("filename=setup.exe"), true, `"setup.exe" is of type .exe`},
		{"what comes from elsewhere", attached("filename=setup.exe"), false, ""},
		{"deeper than is looked at", deep, true, "more parts"},
	} {
		err := s.Scan(t.Context(), []byte(c.text), c.submitted, stranger)
		if (err == nil) != (c.says == "") || err != nil && !(fault.Is(err, fault.Denied, fault.Message) && strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	s.Inbound = true
	if err := s.Scan(t.Context(), []byte(attached("filename=setup.exe")), false, stranger); !fault.Is(err, fault.Denied, fault.Message) {
		t.Errorf("from elsewhere, where that is looked at too: %v", err)
	}
}

func FuzzParseReply(f *testing.F) {
	for _, s := range []string{"stream: OK", "stream: a FOUND", "stream:  FOUND", "INSTREAM size limit exceeded. ERROR", "", "stream: OK FOUND\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		virus, err := parseReply(s)
		switch {
		case virus != "" && err != nil, len(virus) > maxName, strings.ContainsAny(virus, "\r\n\x00"):
			t.Errorf("%q: %q, %v", s, virus, err)
		case virus == "" && err == nil && strings.TrimSpace(s) != "stream: OK":
			t.Errorf("%q is clean", s)
		case err != nil && !errors.Is(err, errTooLarge) && len(err.Error()) > maxName+50+4*maxName:
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	})
}

func FuzzBlocked(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename*0*=utf-8''a%2; filename*1=e.exe\r\n\r\n"))
	types := NewTypes([]string{WorkMail})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, is, _ := types.Blocked(b)
		if is != "" && !types.has(extension(name)) {
			t.Errorf("%q is of type %q", name, is)
		}
	})
}
