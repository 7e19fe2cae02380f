package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

// smuggled is what an attacker hides behind what another server may take for the end of the first message.
const smuggled = "MAIL FROM:<admin@example.com>\r\nRCPT TO:<ann@example.com>\r\nDATA\r\nforged\r\n.\r\n"

// None of these sequences ends a message: a second one behind it stays text, and the whole is refused.
func TestSmuggling(t *testing.T) {
	for name, end := range map[string]string{
		"LF.LF":                  "\n.\n",
		"LF.CRLF":                "\n.\r\n",
		"CRLF.LF":                "\r\n.\n",
		"CR.CR":                  "\r.\r",
		"CR.CRLF":                "\r.\r\n",
		"CRLF.CR":                "\r\n.\r",
		"CR.LF":                  "\r.\n",
		"LF.CR":                  "\n.\r",
		"CRLF.CRCRLF":            "\r\n.\r\r\n",
		"CRCRLF.CRCRLF":          "\r\r\n.\r\r\n",
		"LFLF.LF":                "\n\n.\n",
		"CRLFLF.CRLF":            "\r\n\n.\r\n",
		"LF.LF with BDAT behind": "\n.\nBDAT 1 LAST\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, nil)
			c := ts.play(begun + "C: DATA\nS: 354")
			if _, err := io.WriteString(c.conn, "first"+end+smuggled+"MAIL FROM:<next@other.test>\r\n"); err != nil {
				t.Fatal(err)
			}
			c.play("S: 554 5.6.0\nS: 250 2.1.0") // CRLF.CRLF stands only at the end of the forged message
			ts.wantBodies()
		})
	}
}

// A NUL is text like any other: it neither hides the end of a line nor makes one.
func TestSmugglingByNUL(t *testing.T) {
	for end, text := range map[string]string{"\r\n.\x00\r\n": "\r\n\x00\r\n", "\r\n\x00.\r\n": "\r\n\x00.\r\n", "\r\x00\n.\r\x00\n": ""} {
		ts := serve(t, nil)
		c := ts.play(begun + "C: DATA\nS: 354")
		if _, err := io.WriteString(c.conn, "first"+end+smuggled); err != nil {
			t.Fatal(err)
		}
		if text == "" {
			c.play("S: 554 5.6.0")
			ts.wantBodies()
			continue
		}
		c.play("S: 250 2.0.0")
		ts.wantBodies("first" + text + strings.TrimSuffix(smuggled, ".\r\n"))
	}
}

// The end of a message is where it is however the network cuts it up.
func TestSmugglingInPieces(t *testing.T) {
	ts := serve(t, nil)
	c := ts.play(begun + "C: DATA\nS: 354")
	for _, piece := range []string{"first\r", "\n.", "\n", "MAIL FROM:<forged@example.com>\r", "\n", ".", "\r", "\nNOOP\r", "\n"} {
		if _, err := io.WriteString(c.conn, piece); err != nil {
			t.Fatal(err)
		}
	}
	c.play("S: 554 5.6.0\nS: 250 2.0.0 nothing done")
	ts.wantBodies()
}

// CR CR LF is a line that ends, with a CR in it: the dot behind it is the end, as it is for every other server.
func TestBareCRBeforeTheEnd(t *testing.T) {
	ts := serve(t, nil)
	c := ts.play(begun + "C: DATA\nS: 354")
	if _, err := io.WriteString(c.conn, "first\r\r\n.\r\nNOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	c.play("S: 554 5.6.0\nS: 250 2.0.0 nothing done")
	ts.wantBodies()
}

func TestReadData(t *testing.T) {
	long := strings.Repeat("x", readBuffer-1)
	for _, c := range []struct {
		in, want string
		bare     bool
	}{
		{".\r\n", "", false},
		{"..\r\n.\r\n", ".\r\n", false},
		{".x\r\n.\r\n", "x\r\n", false},
		{"a\r\n\r\n.\r\n", "a\r\n\r\n", false},
		{"a\nb\r\n.\r\n", "a\nb\r\n", true},
		{"a\n.\r\n\r\n.\r\n", "a\n.\r\n\r\n", true},
		{"\n.\r\n.\r\n", "\n.\r\n", true},
		{".\n.\r\n.\r\n", "\n.\r\n", true},
		{"a\rb\r\n.\r\n", "a\rb\r\n", true},
		{".\r.\r\n.\r\n", "\r.\r\n", true},
		{"a\x00\xff\r\n.\r\n", "a\x00\xff\r\n", false},
		{long + "\r\n.\r\n", long + "\r\n", false},      // CR at the end of the buffer, LF in the next
		{long + "\rx\r\n.\r\n", long + "\rx\r\n", true}, // CR at the end of the buffer, no LF behind it
		{long + "\r\n..\r\n.\r\n", long + "\r\n.\r\n", false},
		{long + "x.\r\n.\r\n", long + "x.\r\n", false}, // a dot at the beginning of a buffer but not of a line
		{long + "x\n.\r\n\r\n.\r\n", long + "x\n.\r\n\r\n", true},
	} {
		for _, size := range []int{readBuffer, 1 << 20} {
			in := bufio.NewReaderSize(strings.NewReader(c.in+"REST"), size)
			var got bytes.Buffer
			bare, err := readData(in, func(b []byte) error { got.Write(b); return nil })
			rest, _ := io.ReadAll(in)
			if err != nil || got.String() != c.want || bare != c.bare || string(rest) != "REST" {
				t.Errorf("%.40q: %.40q, bare %v, rest %.40q, %v; want %.40q, bare %v", c.in, got.String(), bare, rest, err, c.want, c.bare)
			}
		}
	}
	for _, in := range []string{"", "a\r\n", ".\r", ".\n", "\n.\r\n", "a.\r\n"} {
		if _, err := readData(bufio.NewReader(strings.NewReader(in)), func([]byte) error { return nil }); !errors.Is(err, io.EOF) {
			t.Errorf("%q ends: %v", in, err)
		}
	}
}

// FuzzReadData checks readData against a plain reading of the rule.
func FuzzReadData(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", "..\r\n.\r\n", "\n.\r\n\r\n.\r\n", "\r\r\n.\r\n", strings.Repeat("x", 20) + "\r\n.\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all := append([]byte("\r\n"), b...)
		end := bytes.Index(all, []byte("\r\n.\r\n"))
		var got bytes.Buffer
		in := bufio.NewReaderSize(bytes.NewReader(b), 16)
		bare, err := readData(in, func(p []byte) error { got.Write(p); return nil })
		if (err == nil) != (end >= 0) {
			t.Fatalf("%q: %v, the end stands at %d", b, err, end)
		}
		if err != nil {
			return
		}
		text := all[:end+2]
		want := bytes.TrimPrefix(bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n")), []byte("\r\n"))
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%q: kept %q, want %q", b, got.Bytes(), want)
		}
		plain := strings.ReplaceAll(string(text), "\r\n", "")
		if wantBare := strings.ContainsAny(plain, "\r\n"); bare != wantBare {
			t.Fatalf("%q: bare %v, want %v", b, bare, wantBare)
		}
		if rest, _ := io.ReadAll(in); !bytes.Equal(rest, all[end+5:]) {
			t.Fatalf("%q: %q is left, want %q", b, rest, all[end+5:])
		}
	})
}

func TestMessageTooLarge(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Message = 100 })
	ts.play(begun + `
		C: DATA
		S: 354
		C: ` + strings.Repeat("x", 98) + `
		C: .
		S: 250 2.0.0
		C: MAIL FROM:<>
		C: RCPT TO:<ann@example.com>
		C: DATA
		S: 250
		S: 250
		S: 354
		C: ` + strings.Repeat("x", 99) + `
		C: .
		S: 552 5.3.4
		C: NOOP
		S: 250`)
	ts.wantBodies(strings.Repeat("x", 98) + "\r\n")
}

func TestFloodEndsTheSession(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Message = 100 })
	c := ts.play(begun + "C: DATA\nS: 354")
	line := []byte(strings.Repeat("x", 998) + "\r\n")
	for range 100_000 {
		if _, err := c.conn.Write(line); err != nil {
			return // the server hung up
		}
	}
	t.Error("the server took 100 MB of a message that may have 100 bytes")
}

func TestLargeMessageGoesThroughAFile(t *testing.T) {
	ts := serve(t, nil)
	body := strings.Repeat(strings.Repeat("y", 990)+"\r\n", 300)
	c := ts.play(begun + "C: DATA\nS: 354")
	if _, err := io.WriteString(c.conn, body+".\r\n"); err != nil {
		t.Fatal(err)
	}
	c.play("S: 250 2.0.0\nC: MAIL FROM:<>\nC: RCPT TO:<ann@example.com>\nC: DATA\nS: 250\nS: 250\nS: 354\nC: small\nC: .\nS: 250")
	ts.wantBodies(body, "small\r\n")
	if large, small := ts.core.stored[0], ts.core.stored[1]; !large.onDisk || small.onDisk {
		t.Errorf("on disk: the large one %v, the small one %v", large.onDisk, small.onDisk)
	}
}

func TestSpoolWithoutRoom(t *testing.T) {
	ts := serve(t, func(c *Config) { c.SpoolDir = filepath.Join(t.TempDir(), "none") })
	c := ts.play(begun + "C: DATA\nS: 354")
	if _, err := io.WriteString(c.conn, strings.Repeat("line\r\n", 10_000)+".\r\n"); err != nil {
		t.Fatal(err)
	}
	c.play("S: 452 4.3.1\nC: NOOP\nS: 250")
	ts.wantBodies()
}

func TestStoreFailures(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"internal": {errors.New("secret detail"), "451 4.3.0 the server has a problem; try again later"},
		"full":     {fault.New(fault.OverQuota, fault.Mailbox, "the mailbox is full"), "552 5.2.2 the mailbox is full"},
		"loop":     {fault.New(fault.Limit, fault.Message, "too many Received fields"), "554 5.4.6 too many Received fields"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, nil)
			ts.core.store = c.err
			ts.play(begun + "C: DATA\nS: 354\nC: .\nS= " + c.want + "\nC: MAIL FROM:<>\nS: 250")
		})
	}
}

func TestBeginRefuses(t *testing.T) {
	ts := serve(t, nil)
	ts.core.begin = fault.New(fault.Denied, fault.Address, "not\r\n250 yours \xff")
	ts.play("S: 220\nC: EHLO a\nS* 250\nC: MAIL FROM:<a@b.test>\nS= 550-5.7.1 not?\nS= 550 5.7.1 250 yours ?\nC: NOOP\nS: 250")
}

func TestTimeOutInsideDATA(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start(func(c *Config) { c.Timeouts.Data = time.Second })
		ts.play(begun + `
			C: DATA
			S: 354
			C: Subject: half
			C:
			C: MAIL FROM:<forged@example.com>
			S: 421 4.4.2
			END`)
		ts.wantBodies()
	})
}

func TestSlowButSteadyDATAIsTaken(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		c := start(func(c *Config) { c.Timeouts.Data = 5 * time.Second }).play(begun + "C: DATA\nS: 354")
		for range 5 { // several times the time-out in all
			<-time.After(5*time.Second - 1)
			c.play(`C> "x\r\n"`)
		}
		c.play("C: .\nS: 250 2.0.0")
	})
}

func TestMessageAsAWholeTimesOut(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start(func(c *Config) { c.Timeouts.Data, c.Timeouts.Message = time.Minute, time.Second })
		ts.play(begun + "C: DATA\nS: 354\nC: x\nS: 421 4.4.2\nEND")
		ts.wantBodies()
	})
}

func TestCommandTimesOut(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start(func(c *Config) { c.Timeouts.Command = time.Second })
		ts.play("S: 220\nS: 421 4.4.2\nEND")
		ts.play(`S: 220
			C> "NOO"
			S: 421 4.4.2
			END`)
	})
}

func TestWhoDoesNotReadRepliesIsCutOff(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start(func(c *Config) { c.Timeouts.Write, c.Limits.Commands = time.Second, 1<<30 })
		c := ts.play("S: 220")
		noops := []byte(strings.Repeat("HELP\r\n", 10_000))
		for range 1000 {
			if _, err := c.conn.Write(noops); err != nil {
				if isTimeout(err) {
					t.Error("the server neither reads nor hangs up")
				}
				return
			}
		}
		t.Error("the server kept 60 MB of replies for somebody who reads none")
	})
}
