// Package smtptest is an SMTP server for tests of clients, which follows scripts to the letter.
package smtptest

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a script waits for its client.
const patience = time.Minute

// Server plays one script for each connection, in their order.
type Server struct {
	Addr string // host:port, on loopback

	t       testing.TB
	tls     *tls.Config
	wg      sync.WaitGroup
	mu      sync.Mutex
	scripts []string
	opened  int
	hangs   chan struct{} // holds one
}

// Serve starts a server that ends with the test, which fails if a connection went another way than its script, or scripts are left. cfg is
// for the scripts that say TLS. The lines of a script are:
//
//	S: text     send text and CRLF; S: and S> lines that follow each other go out in one write
//	S> "quoted" send exactly the bytes of the Go string
//	C: text     read a line that begins with text
//	C= text     read a line that is text
//	C> "quoted" read exactly the bytes of the Go string
//	MESSAGE     read lines to the one with a dot alone
//	TLS         make a TLS handshake
//	REFUSES     make a TLS handshake, which the client breaks off
//	FAIL        read the beginning of a TLS handshake, and send something else
//	END         the client closes the connection
//	HANG        read whatever comes until the client closes the connection
//	RESET       break the connection off (RST)
//
// Lines that begin with # and empty ones are passed over. After the last line the server closes the connection.
func Serve(t testing.TB, cfg *tls.Config, scripts ...string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: l.Addr().String(), t: t, tls: cfg, scripts: scripts, hangs: make(chan struct{}, 1)}
	s.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.start(conn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.wg.Wait()
		if len(s.scripts) > 0 {
			t.Errorf("%d scripts are left: %s", len(s.scripts), strings.TrimSpace(s.scripts[0]))
		}
	})
	return s
}

// Opened is how many connections came.
func (s *Server) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Hangs is a context whose time is over once a script is at HANG. ctx is the test's, or ends before it.
func (s *Server) Hangs(ctx context.Context) context.Context {
	done := make(chan struct{})
	s.wg.Go(func() {
		defer close(done)
		select {
		case <-s.hangs:
		case <-ctx.Done():
		}
	})
	return hung{ctx, done}
}

type hung struct {
	context.Context
	done <-chan struct{}
}

func (h hung) Done() <-chan struct{} { return h.done }

func (h hung) Err() error {
	select {
	case <-h.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// Value has nothing: what is asked for a parent's end would not hear of this one.
func (hung) Value(any) any { return nil }

func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if len(s.scripts) == 0 {
		s.t.Error("a connection came for which there is no script")
		_ = conn.Close()
		return
	}
	script := s.scripts[0]
	s.scripts = s.scripts[1:]
	s.wg.Go(func() {
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			s.t.Error(err)
		}
		p := &play{raw: conn, conn: conn, in: bufio.NewReader(conn), tls: s.tls, hangs: s.hangs}
		for line := range strings.SplitSeq(script, "\n") {
			line = strings.TrimLeft(line, "\t ")
			if line == "" || line[0] == '#' {
				continue
			}
			if err := p.line(line); err != nil {
				s.t.Errorf("the script has\n\t%s\n%v", line, err)
				return
			}
		}
		if err := p.send(); err != nil {
			s.t.Errorf("send: %v", err)
		}
		if p.conn != p.raw {
			_ = p.conn.Close() // says good-bye to TLS, if anybody listens
		}
	})
}

// play is one connection.
type play struct {
	raw, conn net.Conn
	in        *bufio.Reader
	out       strings.Builder
	tls       *tls.Config
	hangs     chan<- struct{}
}

func (p *play) send() error {
	if p.out.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(p.conn, p.out.String())
	p.out.Reset()
	return err
}

func (p *play) line(line string) error {
	verb, text, _ := strings.Cut(line, " ")
	var raw string
	if strings.HasSuffix(verb, ">") {
		var err error
		if raw, err = strconv.Unquote(text); err != nil {
			return err
		}
	}
	switch verb {
	case "S:":
		p.out.WriteString(text + "\r\n")
		return nil
	case "S>":
		p.out.WriteString(raw)
		return nil
	}
	if err := p.send(); err != nil {
		return err
	}
	switch verb {
	case "C:", "C=":
		got, err := p.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the client said %q: %w", got, err)
		}
		got, whole := strings.CutSuffix(got, "\r\n")
		if !whole || !strings.HasPrefix(got, text) || verb == "C=" && got != text {
			return fmt.Errorf("the client said\n\t%q", got)
		}
	case "C>":
		b := make([]byte, len(raw))
		if n, err := io.ReadFull(p.in, b); err != nil || string(b) != raw {
			return fmt.Errorf("the client said\n\t%q: %w", b[:n], err)
		}
	case "MESSAGE":
		for {
			if got, err := p.in.ReadString('\n'); err != nil || got == ".\r\n" {
				return err
			}
		}
	case "TLS":
		t := tls.Server(p.raw, p.tls)
		p.conn, p.in = t, bufio.NewReader(t)
		return t.Handshake()
	case "REFUSES":
		t := tls.Server(p.raw, p.tls)
		err := t.Handshake()
		if err == nil { // TLS 1.3: the client's alert comes behind its side of the handshake
			_, err = t.Read(make([]byte, 1))
		}
		if err == nil || isTimeout(err) {
			return fmt.Errorf("the client takes the certificate: %w", err)
		}
	case "FAIL":
		if _, err := p.in.Peek(1); err != nil {
			return err
		}
		_, err := io.WriteString(p.conn, "what is this?\r\n")
		return err
	case "END":
		if got, err := p.in.ReadString('\n'); err == nil || got != "" {
			return fmt.Errorf("the client said\n\t%q", got)
		} else if isTimeout(err) {
			return errors.New("the client keeps the connection open")
		}
	case "HANG":
		select {
		case p.hangs <- struct{}{}:
		default:
		}
		if _, err := io.Copy(io.Discard, p.in); isTimeout(err) {
			return errors.New("the client keeps the connection open")
		}
	case "RESET":
		if err := p.raw.(*net.TCPConn).SetLinger(0); err != nil {
			return err
		}
		return p.raw.Close()
	default:
		return errors.New("nobody knows what that is")
	}
	return nil
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
