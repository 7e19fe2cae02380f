package drive_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

func TestMakerMakesExactMessages(t *testing.T) {
	for _, size := range []int{1024, 4096, 65536} {
		m := drive.NewMaker(size, "t")
		seen := map[string]bool{}
		for i := range 200 {
			b := m.Append([]byte("before"), i, "u1@example.test")[len("before"):]
			if len(b) != size {
				t.Fatalf("message %d has %d bytes, want %d", i, len(b), size)
			}
			if seen[string(b)] {
				t.Fatalf("message %d was made before", i)
			}
			seen[string(b)] = true
			if bytes.Contains(b, []byte("\n.")) || !bytes.HasSuffix(b, []byte("\r\n")) {
				t.Fatalf("message %d can't be sent as it is", i)
			}
			if bare := strings.ReplaceAll(string(b), "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
				t.Fatalf("message %d has a bare CR or LF", i)
			}
			parsed, err := mail.ReadMessage(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parsed.Header.Date(); err != nil {
				t.Fatal(err)
			}
			rare := i%drive.RareEvery == 0
			if got := bytes.Count(b, []byte(drive.Needle)); (got == 2) != rare || got == 1 {
				t.Fatalf("message %d holds the needle %d times", i, got)
			}
		}
	}
}

// script answers each line that arrives with what the function says, until it says nothing.
func script(t *testing.T, greeting string, answer func(line string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		r := bufio.NewReader(c)
		reply := greeting
		for {
			if _, err := io.WriteString(c, reply); err != nil {
				return
			}
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if reply = answer(strings.TrimRight(line, "\r\n")); reply == "" {
				return
			}
		}
	}()
	return l.Addr().String()
}

func TestIMAPCounts(t *testing.T) {
	long := strings.Repeat("1 ", 40_000)
	announced := ""
	body := "a1 OK not an answer\r\n* 9 FETCH nor this\r\n"
	address := script(t, "* OK ready\r\n", func(line string) string {
		tag, command, _ := strings.Cut(line, " ")
		switch {
		case command == "FETCH 1:*":
			return fmt.Sprintf("* 1 FETCH (FLAGS () BODY[] {%d}\r\n%s BODY[TEXT] {0}\r\n)\r\n* 2 FETCH (FLAGS ())\r\n* 3 EXISTS\r\n%s OK done\r\n",
				len(body), body, tag)
		case command == "UID SEARCH UNSEEN":
			return "* SEARCH 1 2 30\r\n" + tag + " OK done\r\n"
		case command == "NOOP":
			return "* X " + long + "\r\n" + tag + " OK done\r\n"
		case strings.HasPrefix(command, "STATUS"):
			return `* STATUS "IN BOX" (MESSAGES 42)` + "\r\n" + tag + " OK done\r\n"
		case strings.HasPrefix(command, "APPEND"):
			announced = command
			return "+ go on\r\n"
		case line == "hello": // the literal's line
			return ""
		default:
			return tag + " NO [CANNOT] not here\r\n"
		}
	})
	m, err := drive.DialIMAP(context.Background(), address, nil, 1024)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()

	r, err := m.Do("FETCH 1:*")
	if err != nil || r.Fetches != 2 || r.Exists != 3 || r.Literals != 2 || r.LiteralBytes != int64(len(body)) {
		t.Errorf("FETCH came to %+v, %v", r, err)
	}
	if r, err := m.Do("UID SEARCH UNSEEN"); err != nil || r.Numbers != 3 {
		t.Errorf("SEARCH came to %+v, %v", r, err)
	}
	if r, err := m.Do("NOOP"); err != nil || r.Untagged != 1 {
		t.Errorf("a line longer than the buffer came to %+v, %v", r, err)
	}
	if n, err := m.Messages("IN BOX"); err != nil || n != 42 {
		t.Errorf("STATUS came to %d, %v", n, err)
	}
	var refusal *drive.RefusedError
	if err := m.Login("u", "secret"); !errors.As(err, &refusal) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a refused LOGIN gave %v", err)
	}
	var lost *drive.BrokenError
	if err := m.Append("INBOX", []byte("hello\r\n")); !errors.As(err, &lost) || announced != `APPEND "INBOX" {7}` {
		t.Errorf("APPEND sent %q, and a lost connection gave %v", announced, err)
	}
}

func TestDeliverWantsEveryReply(t *testing.T) {
	for name, c := range map[string]struct {
		rcpt, data, end string
		refused, broken bool
	}{
		"taken":               {rcpt: "250 ok", data: "354 go", end: "250-first\r\n250 taken"},
		"recipient refused":   {rcpt: "550 no", data: "503 no recipient", refused: true},
		"message refused":     {rcpt: "250 ok", data: "354 go", end: "451 later", refused: true},
		"data without anyone": {rcpt: "550 no", data: "354 go", broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			address := script(t, "220 ready\r\n", func(line string) string {
				seen = append(seen, line)
				switch verb, _, _ := strings.Cut(line, " "); verb {
				case "EHLO":
					return "250-here\r\n250 PIPELINING\r\n"
				case "MAIL":
					return "250 ok\r\n"
				case "RCPT":
					return c.rcpt + "\r\n"
				case "DATA":
					return c.data + "\r\n"
				case ".":
					return c.end + "\r\n"
				case "QUIT":
					return "221 bye\r\n"
				}
				return ""
			})
			d, err := drive.DialDelivery(context.Background(), address, false)
			if err != nil {
				t.Fatal(err)
			}
			// An empty message: its end is the only line after DATA.
			err = d.Deliver("u@example.test", nil)
			var refusal *drive.RefusedError
			var lost *drive.BrokenError
			if errors.As(err, &refusal) != (c.refused || c.broken) || errors.As(err, &lost) != c.broken || (err == nil) != (!c.refused && !c.broken) {
				t.Errorf("got %v", err)
			}
			if err := d.Close(); err != nil && !c.broken {
				t.Errorf("close: %v", err)
			}
			if len(seen) < 4 || seen[2] != "RCPT TO:<u@example.test>" {
				t.Errorf("the server saw %q", seen)
			}
		})
	}
}

type fake func(i int) error

func (f fake) Do(i int) error { return f(i) }
func (f fake) Close() error   { return nil }

func TestClosedMakesEachOperationOnce(t *testing.T) {
	var made [500]atomic.Int32
	out, err := drive.Closed(context.Background(), 8, len(made), time.Minute, func(context.Context, int) (drive.Worker, error) {
		return fake(func(i int) error {
			made[i].Add(1)
			if i%10 == 9 {
				return errors.New("no")
			}
			return nil
		}), nil
	})
	if err != nil || out.Done != 450 || out.Failed != 50 || len(out.Latencies) != 450 || out.FirstFail == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	for i := range made {
		if n := made[i].Load(); n != 1 {
			t.Fatalf("operation %d was made %d times", i, n)
		}
	}
}

func TestClosedEnds(t *testing.T) {
	always := errors.New("always")
	open := func(do fake) func(context.Context, int) (drive.Worker, error) {
		return func(context.Context, int) (drive.Worker, error) { return do, nil }
	}
	out, err := drive.Closed(context.Background(), 2, 1<<30, time.Minute, open(func(int) error { return always }))
	if err != nil || out.Done != 0 || !errors.Is(out.FirstFail, always) {
		t.Errorf("after many failures: %+v, %v", out, err)
	}
	out, err = drive.Closed(context.Background(), 2, 1<<30, 0, open(func(int) error { return nil }))
	if err != nil || out.Failed != 0 {
		t.Errorf("after the limit: %+v, %v", out, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = drive.Closed(ctx, 2, 1<<30, time.Minute, open(func(i int) error {
		if i == 100 {
			cancel()
		}
		return nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
	_, err = drive.Closed(context.Background(), 2, 1, time.Minute, func(_ context.Context, w int) (drive.Worker, error) {
		if w == 1 {
			return nil, always
		}
		return fake(func(int) error { return nil }), nil
	})
	if !errors.Is(err, always) {
		t.Errorf("a worker that did not open gave %v", err)
	}
}
