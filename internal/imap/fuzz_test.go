package imap

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileRig is a server whose log of errors must stay empty.
type hostileRig struct {
	*rig
	log bytes.Buffer
}

func newHostileRig(t testing.TB) *hostileRig {
	h := &hostileRig{}
	h.rig = onSQLite(t, func(c *Config) {
		c.Log = slog.New(slog.NewTextHandler(&h.log, &slog.HandlerOptions{Level: slog.LevelError}))
		c.AutoLogout, c.SignInTime, c.LiteralTime = 2*time.Second, 2*time.Second, 2*time.Second
	})
	h.deliver("INBOX", multipart, 0)
	return h
}

// hear lets a connection, signed in or not, hear anything. It must not fail from within.
func (h *hostileRig) hear(t testing.TB, input []byte, signedIn bool) {
	t.Helper()
	h.log.Reset()
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c := newConn(h.Server, theirs, netip.Addr{})
		c.protected = true
		c.reset()
		c.serve(context.Background())
	}()
	go func() { _, _ = io.Copy(io.Discard, ours) }() // ends with the pipe
	if signedIn {
		_, _ = io.WriteString(ours, "z LOGIN ann sesame\r\n")
	}
	_, _ = ours.Write(input) // the server may hang up
	_ = ours.Close()
	<-done
	if h.log.Len() > 0 {
		t.Fatalf("%q: %s", input, h.log.String())
	}
}

// seeds are what session A says in each script, and what no script says.
func seeds(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := [][]byte{
		[]byte("a SELECT INBOX\r\nb FETCH 1:* (FLAGS BODY[1.HEADER.FIELDS (From)]<3.9> BODY[3.1] ENVELOPE BODYSTRUCTURE)\r\nc SEARCH OR BODY x NOT TEXT y\r\n"),
		[]byte("a LOGIN {3+}\r\nann {6+}\r\nsesame\r\nb IDLE\r\nDONE\r\n"),
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var sent strings.Builder
		for line := range strings.Lines(string(script)) {
			if text, ok := strings.CutPrefix(line, "A: "); ok {
				sent.WriteString(strings.ReplaceAll(strings.TrimSpace(text), "$PLAIN", "AGFubgBzZXNhbWU=") + "\r\n")
			}
		}
		if sent.Len() > 0 {
			all = append(all, []byte(sent.String()))
		}
	}
	return all
}

// FuzzSession sends anything to a server.
func FuzzSession(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s, true)
		f.Add(s, false)
	}
	h := newHostileRig(f)
	f.Fuzz(func(t *testing.T, input []byte, signedIn bool) { h.hear(t, input, signedIn) })
}

// TestMutatedSessions is FuzzSession's quick sister: under the fuzzer each session takes a second, since the database is
// instrumented too.
func TestMutatedSessions(t *testing.T) {
	h := newHostileRig(t)
	all := seeds(t)
	r := rand.New(rand.NewPCG(3, 1))
	for i := range 500 {
		if i%20 == 0 {
			h.deliver("INBOX", multipart, 0)
		}
		input := slices.Clone(all[r.IntN(len(all))])
		for range 1 + r.IntN(4) {
			input = mutate(r, input, all[r.IntN(len(all))])
		}
		h.hear(t, input, r.IntN(5) > 0)
	}
}

// odd are the bytes that mean something to a parser.
const odd = "(){}[]<>*%\"\\\r\n 0:,+~$\x00\xff"

// mutate changes, removes or repeats some bytes, or puts some of another input in.
func mutate(r *rand.Rand, in, other []byte) []byte {
	if len(in) == 0 {
		return slices.Clone(other)
	}
	at := r.IntN(len(in))
	n := min(1+r.IntN(40), len(in)-at)
	switch r.IntN(5) {
	case 0:
		in[at] = odd[r.IntN(len(odd))]
		return in
	case 1:
		return slices.Delete(in, at, at+n)
	case 2:
		return slices.Insert(in, at, slices.Clone(in[at:at+n])...)
	case 3:
		return in[:at]
	default:
		from := r.IntN(len(other))
		return slices.Insert(in, at, other[from:min(from+n, len(other))]...)
	}
}
