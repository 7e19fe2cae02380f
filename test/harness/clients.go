package harness

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
)

// WorkMail is a client of the API with the first administrator's key.
func (s *Server) WorkMail() *workmail.Client {
	return s.WorkMailAs(s.Env["AWS_ACCESS_KEY_ID"], s.Env["AWS_SECRET_ACCESS_KEY"])
}

// WorkMailAs is a client of the API with another access key.
func (s *Server) WorkMailAs(key, secret string) *workmail.Client {
	return workmail.NewFromConfig(aws.Config{
		Region:           s.Env["AWS_REGION"],
		BaseEndpoint:     aws.String(s.Env["AWS_ENDPOINT_URL_WORKMAIL"]),
		Credentials:      credentials.NewStaticCredentialsProvider(key, secret, ""),
		HTTPClient:       steady{awshttp.NewBuildableClient()},
		RetryMaxAttempts: 1,
	})
}

// TLS is for a client that trusts the server's certificate.
func (s *Server) TLS() *tls.Config {
	s.t.Helper()
	pem, err := os.ReadFile(s.Env["PENNYPOST_CA_FILE"])
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// IMAP is a connection of a user, for a test to look and change with. Anything unexpected fails the test.
type IMAP struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	tags int
}

// IMAP signs a user in.
func (s *Server) IMAP(user, password string) *IMAP {
	s.t.Helper()
	c := s.connectIMAP()
	c.Do(fmt.Sprintf(`LOGIN "%s" "%s"`, user, password))
	return c
}

// SignIn tries to sign a user in by IMAP, and returns the status of the answer.
func (s *Server) SignIn(user, password string) string {
	s.t.Helper()
	c := s.connectIMAP()
	defer c.Close()
	_, status, err := c.Try(fmt.Sprintf(`LOGIN "%s" "%s"`, user, password))
	if err != nil {
		s.t.Fatalf("IMAP: %v", err)
	}
	return status
}

func (s *Server) connectIMAP() *IMAP {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.Addr("imaps"), s.TLS())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	c := &IMAP{t: s.t, conn: conn, in: bufio.NewReader(conn)}
	if err := conn.SetDeadline(time.Now().Add(runTime)); err != nil {
		s.t.Fatal(err)
	}
	c.line()
	return c
}

// Close ends the connection without a word.
func (c *IMAP) Close() { _ = c.conn.Close() }

// Rest reads what the server says until it ends the connection, and reports whether it said BYE.
func (c *IMAP) Rest() (said []string, bye bool) {
	for {
		line, err := c.readWhole()
		if err != nil {
			return said, bye
		}
		said, bye = append(said, line), bye || strings.HasPrefix(line, "* BYE")
	}
}

func (c *IMAP) line() string {
	c.t.Helper()
	line, err := c.readLine()
	if err != nil {
		c.t.Fatalf("IMAP: %v", err)
	}
	return line
}

func (c *IMAP) readLine() (string, error) {
	line, err := c.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// Do carries out a command, which must be answered OK, and returns the untagged lines, with literals in place.
func (c *IMAP) Do(command string) []string {
	c.t.Helper()
	lines, status, err := c.Try(command)
	if err != nil {
		c.t.Fatalf("IMAP: %v", err)
	}
	if !strings.HasPrefix(status, "OK") {
		c.t.Fatalf("IMAP %.200s: %s", command, status)
	}
	return lines
}

// Try carries out a command whose answer may be anything, or never come: for a server that is killed. It returns the untagged
// lines that came, with literals in place, and what stood behind the tag. It may be called from any goroutine.
func (c *IMAP) Try(command string) (lines []string, status string, err error) {
	c.tags++
	if _, err := fmt.Fprintf(c.conn, "t%d %s\r\n", c.tags, command); err != nil {
		return nil, "", err
	}
	for {
		line, err := c.readWhole()
		if err != nil {
			return lines, "", err
		}
		if status, ok := strings.CutPrefix(line, fmt.Sprintf("t%d ", c.tags)); ok {
			return lines, status, nil
		}
		lines = append(lines, line)
	}
}

var literal = regexp.MustCompile(`\{(\d+)\}$`)

// readWhole reads a line with its literals.
func (c *IMAP) readWhole() (string, error) {
	line, err := c.readLine()
	for err == nil {
		m := literal.FindStringSubmatch(line)
		if m == nil {
			break
		}
		var n int
		if n, err = strconv.Atoi(m[1]); err != nil {
			break
		}
		text := make([]byte, n)
		if _, err = io.ReadFull(c.in, text); err != nil {
			break
		}
		var rest string
		rest, err = c.readLine()
		line = strings.TrimSuffix(line, m[0]) + string(text) + rest
	}
	return line, err
}

// Append puts a message into a folder.
func (c *IMAP) Append(folder, message string) {
	c.t.Helper()
	c.Do(fmt.Sprintf("APPEND \"%s\" {%d+}\r\n%s", folder, len(message), message))
}

var subjectLine = regexp.MustCompile(`(?i)subject: ([^\r\n]*)`)

// Subjects returns the subjects of a folder's messages that a search finds, sorted.
func (c *IMAP) Subjects(folder, search string) []string {
	c.t.Helper()
	c.Do(`SELECT "` + folder + `"`)
	found := ""
	for _, line := range c.Do("SEARCH " + search) {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			found = strings.Join(strings.Fields(rest), ",")
		}
	}
	if found == "" {
		return nil
	}
	var all []string
	for _, line := range c.Do("FETCH " + found + " (BODY.PEEK[HEADER.FIELDS (SUBJECT)])") {
		if m := subjectLine.FindStringSubmatch(line); m != nil {
			all = append(all, m[1])
		}
	}
	slices.Sort(all)
	return all
}

// Eventually waits until what holds, and fails the test when it doesn't within reason.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain until %s", patience, what)
		}
		<-time.After(2 * time.Millisecond) // who is waited for needs the processor
	}
}

// Answers waits until a server takes connections.
func Answers(t testing.TB, who, address string) {
	t.Helper()
	Eventually(t, who+" answers", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
