package smtp

import (
	"strings"
	"testing"
	"time"
)

func TestBDAT(t *testing.T) {
	ts := serve(t, nil)
	ts.play(begun + `
		C> "BDAT 7\r\nabc\r\n.\rBDAT 3\r\n\nde"
		S: 250 2.0.0 7 bytes taken
		S: 250 2.0.0 3 bytes taken
		C> "BDAT 2 last\r\n\r\nMAIL FROM:<>\r\n"
		S: 250 2.0.0 stored as
		S: 250 2.1.0
		C: RCPT TO:<ann@example.com>
		S: 250
		C> "BDAT 4 LAST\r\nabc."
		S: 250 2.0.0 stored as
		C: MAIL FROM:<>
		C: RCPT TO:<ann@example.com>
		C: BDAT 0 LAST
		S: 250
		S: 250
		S: 250 2.0.0 stored as`)
	ts.wantBodies("abc\r\n.\r\nde\r\n", "abc.", "")
}

func TestBDATOutOfOrder(t *testing.T) {
	ts := serve(t, nil)
	ts.play(`
		S: 220
		C: EHLO a
		S* 250
		# the bytes are never commands
		C> "BDAT 6 LAST\r\nQUIT\r\n"
		S: 503 5.5.1
		C: MAIL FROM:<>
		S: 250
		C> "BDAT 6\r\nQUIT\r\n"
		S: 503 5.5.1
		C: RCPT TO:<ann@example.com>
		S: 250
		C> "BDAT 1\r\nx"
		S: 250
		C: RCPT TO:<bob@example.com>
		S: 503
		C: DATA
		S: 503
		C: RSET
		S: 250
		C> "BDAT 6 LAST\r\nQUIT\r\n"
		S: 503
		C: NOOP
		S: 250`)
	ts.wantBodies()
}

func TestBDATWithoutASizeEndsTheSession(t *testing.T) {
	for _, args := range []string{"", "x", "-1", "1 FIRST", "1  LAST x", "99999999999999999999", "0x10", "+5"} {
		serve(t, nil).play(begun + "C: BDAT " + args + "\nS: 501 5.5.4\nEND")
	}
}

func TestBDATWithBareBreaks(t *testing.T) {
	for name, chunks := range map[string][]string{
		"LF": {"a\nb"}, "CR": {"a\rb"}, "CR at the end": {"a\r"}, "CR between chunks": {"a\r", "b"}, "LF between chunks": {"a", "\nb"}, "CR CR LF": {"\r", "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := serve(t, nil)
			c := ts.play(begun)
			for i, chunk := range chunks {
				last, want := "", "S: 250"
				if i == len(chunks)-1 {
					last, want = " LAST", "S: 554 5.6.0"
				}
				c.play("C> " + quoted("BDAT "+string(rune('0'+len(chunk)))+last+"\r\n"+chunk) + "\n" + want)
			}
			c.play("C: MAIL FROM:<>\nS: 250")
			ts.wantBodies()
		})
	}
}

func quoted(s string) string {
	return `"` + strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(s) + `"`
}

func TestBDATTooLarge(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Message = 10 })
	ts.play(begun + `
		C> "BDAT 8\r\n12345678"
		S: 250
		C> "BDAT 3\r\nabc"
		S: 552 5.3.4
		C> "BDAT 1\r\nx"
		S: 552 5.3.4
		C: BDAT 0 LAST
		S: 552 5.3.4
		C: MAIL FROM:<>
		S: 250`)
	ts.wantBodies()
}

func TestBDATTimesOut(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start(func(c *Config) { c.Timeouts.Data = time.Second })
		ts.play(begun + `
			C> "BDAT 10 LAST\r\nabc"
			S: 421 4.4.2
			END`)
		ts.wantBodies()
	})
}

func TestBDATIsNoWayToStayWithoutSigningIn(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		ts := start((&door{}).guard(func(c *Config) { c.Timeouts.SignIn = time.Second }))
		ts.play(`
			S: 220
			C: EHLO a
			S* 250
			C> "BDAT 1000\r\nx"
			S: 421 4.4.2
			END`)
	})
}

func TestChunksTogetherTimeOut(t *testing.T) {
	timed(t, func(t *testing.T, start func(func(*Config)) *testServer) {
		c := start(func(c *Config) { c.Timeouts.Message = time.Minute }).play(begun)
		for range 5 { // each chunk is in time
			<-time.After(5 * time.Second)
			c.play(`C> "BDAT 1\r\n"`)
			<-time.After(5 * time.Second)
			c.play("C> \"x\"\nS: 250")
		}
		c.play(`C> "BDAT 1\r\n"`)
		<-time.After(11 * time.Second)
		c.play("S: 421 4.4.2\nEND")
	})
}

func TestEmptyChunksAreCounted(t *testing.T) {
	ts := serve(t, func(c *Config) { c.Limits.Commands = 3 }) // one is EHLO, one is MAIL
	ts.play(begun + "C: BDAT 0\nC: BDAT 0\nS: 250\nS: 421 4.7.0\nEND")
}
