package drive

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// IMAP is one connection. Not safe for concurrent use.
type IMAP struct {
	c   *conn
	tag int
	out []byte
}

// Reply is what a command's answer amounted to.
type Reply struct {
	Untagged     int   // untagged responses
	Fetches      int   // those that are FETCH responses
	Exists       int   // the number of the last EXISTS response, -1 if there was none
	Literals     int   // literals received
	LiteralBytes int64 // their bytes
	Numbers      int   // numbers in the SEARCH response
	Status       string
}

// DialIMAP connects over implicit TLS and reads the greeting. buffer bounds what the client keeps per connection; a
// large one is for fetching, a small one for idling.
func DialIMAP(ctx context.Context, address string, config *tls.Config, buffer int) (*IMAP, error) {
	c, err := dial(ctx, address, config, buffer)
	if err != nil {
		return nil, err
	}
	m := &IMAP{c: c}
	if err := c.begin(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	greeting, _, err := c.line()
	if err == nil && !bytes.HasPrefix(greeting, []byte("* OK")) {
		err = fmt.Errorf("IMAP greeting %q", greeting)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return m, nil
}

// Login signs in. Neither value may hold a quote or a backslash.
func (m *IMAP) Login(user, password string) error {
	_, err := m.Do(`LOGIN "` + user + `" "` + password + `"`)
	return err
}

// Do sends a command and reads to its end. A refusal is an error that quotes the server's words, not the command, which
// may hold a password.
func (m *IMAP) Do(command string) (Reply, error) {
	if err := m.start(command); err != nil {
		return Reply{}, err
	}
	return m.finish()
}

// Append puts a message into a folder with a synchronising literal, which every server understands.
func (m *IMAP) Append(folder string, message []byte) error {
	if err := m.start(`APPEND "` + folder + `" {` + strconv.Itoa(len(message)) + `}`); err != nil {
		return err
	}
	if err := m.invited(); err != nil {
		return err
	}
	m.out = append(append(m.out[:0], message...), "\r\n"...)
	if err := m.c.send(m.out); err != nil {
		return err
	}
	_, err := m.finish()
	return err
}

// Idle begins to idle. After it only Watch and Close may be used.
func (m *IMAP) Idle() error {
	if err := m.start("IDLE"); err != nil {
		return err
	}
	if err := m.invited(); err != nil {
		return err
	}
	return broken(m.c.SetDeadline(time.Time{})) // a quiet connection is no hanging one
}

// Watch reads what an idling connection is told until it is closed, and calls arrived at each EXISTS.
func (m *IMAP) Watch(arrived func(time.Time)) {
	for {
		head, _, err := m.c.line()
		if err != nil {
			return
		}
		if bytes.HasSuffix(head, []byte(" EXISTS")) {
			arrived(time.Now())
		}
	}
}

// Close hangs up without a farewell.
func (m *IMAP) Close() error { return m.c.Conn.Close() }

func (m *IMAP) start(command string) error {
	m.tag++
	m.out = append(m.out[:0], 'a')
	m.out = strconv.AppendInt(m.out, int64(m.tag), 10)
	m.out = append(m.out, ' ')
	m.out = append(m.out, command...)
	m.out = append(m.out, "\r\n"...)
	if err := m.c.begin(); err != nil {
		return err
	}
	return m.c.send(m.out)
}

// invited reads up to a continuation request.
func (m *IMAP) invited() error {
	for {
		head, _, err := m.c.line()
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(head, []byte("+")):
			return nil
		case !bytes.HasPrefix(head, []byte("* ")):
			return refused(string(head))
		}
	}
}

// finish reads to the tagged response.
func (m *IMAP) finish() (Reply, error) {
	r := Reply{Exists: -1}
	for {
		head, tail, err := m.c.line()
		if err != nil {
			return r, err
		}
		if len(head) < 2 || head[0] != '*' {
			words := strings.SplitN(string(head), " ", 3)
			if words[0] != "a"+strconv.Itoa(m.tag) {
				return r, broken(fmt.Errorf("expected the answer a%d, got %q", m.tag, head))
			}
			if len(words) < 2 || words[1] != "OK" {
				return r, refused(string(head))
			}
			return r, nil
		}
		r.count(head)
		for {
			n, ok := literal(tail)
			if !ok {
				break
			}
			r.Literals++
			r.LiteralBytes += n
			if err := m.c.skip(n); err != nil {
				return r, err
			}
			if _, tail, err = m.c.line(); err != nil {
				return r, err
			}
		}
	}
}

// count looks at the beginning of an untagged response.
func (r *Reply) count(line []byte) {
	r.Untagged++
	rest := line[2:]
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	switch {
	case digits > 0 && bytes.HasPrefix(rest[digits:], []byte(" FETCH")):
		r.Fetches++
	case digits > 0 && bytes.HasPrefix(rest[digits:], []byte(" EXISTS")):
		r.Exists, _ = strconv.Atoi(string(rest[:digits])) // digits only
	case bytes.HasPrefix(rest, []byte("SEARCH")):
		r.Numbers += bytes.Count(bytes.TrimRight(rest, " "), []byte(" "))
	case bytes.HasPrefix(rest, []byte("STATUS")):
		r.Status = string(rest)
	}
}

// literal reads the announcement at the end of a line, {n} or {n+}.
func literal(line []byte) (int64, bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return 0, false
	}
	open := bytes.LastIndexByte(line, '{')
	if open < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSuffix(string(line[open+1:len(line)-1]), "+"), 10, 64)
	return n, err == nil && n >= 0
}

// Messages asks how many messages a folder has.
func (m *IMAP) Messages(folder string) (int, error) {
	r, err := m.Do(`STATUS "` + folder + `" (MESSAGES)`)
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(r.Status, "MESSAGES ")
	if !found {
		return 0, fmt.Errorf("STATUS without MESSAGES: %q", r.Status)
	}
	return strconv.Atoi(strings.TrimRight(after, ") "))
}

// RefusedError is an answer that says no. The connection goes on.
type RefusedError struct{ Answer string }

func (e *RefusedError) Error() string { return "refused: " + e.Answer }

func refused(answer string) error {
	return &RefusedError{answer[:min(len(answer), 200)]}
}
