package smtpclient

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"strings"
	"sync"
	"time"
)

// Options are how a client behaves.
type Options struct {
	// Hello is how the client calls itself in EHLO: a name, or an address literal.
	Hello    string
	Timeouts Timeouts
}

// Timeouts bound how long a client waits for the server. Zero values mean the defaults, those of RFC 5321 section 4.5.3.2 where
// it has one.
type Timeouts struct {
	Greeting  time.Duration // 5 minutes
	Command   time.Duration // for the answer to EHLO, AUTH, MAIL, RCPT and RSET; 5 minutes
	Data      time.Duration // for the answer to DATA; 2 minutes
	Block     time.Duration // for the server to take up to 16 KB; 3 minutes
	Final     time.Duration // for the answer to a message; 10 minutes
	Handshake time.Duration // 1 minute
	Quit      time.Duration // for the answer to QUIT; 5 seconds
}

func (t Timeouts) withDefaults() Timeouts {
	t.Greeting = cmp.Or(t.Greeting, 5*time.Minute)
	t.Command = cmp.Or(t.Command, 5*time.Minute)
	t.Data = cmp.Or(t.Data, 2*time.Minute)
	t.Block = cmp.Or(t.Block, 3*time.Minute)
	t.Final = cmp.Or(t.Final, 10*time.Minute)
	t.Handshake = cmp.Or(t.Handshake, time.Minute)
	t.Quit = cmp.Or(t.Quit, 5*time.Second)
	return t
}

// Client is one connection to a server. It is for one goroutine at a time.
type Client struct {
	hello    string
	timeouts Timeouts
	raw      net.Conn // as it was handed in
	conn     net.Conn // raw, or TLS over it
	tls      *tls.Conn
	in       *bufio.Reader
	out      *bufio.Writer

	name       string            // of the server
	extensions map[string]string // by keyword, in capitals; nil after HELO
	err        error             // why nothing more can be asked

	mu  sync.Mutex
	ctx context.Context // of the call that runs
	cut bool            // it ended while the call ran
}

// New reads the greeting and says EHLO, or HELO to a server that does not know that. A *tls.Conn is implicit TLS, its handshake made if
// need be. The error is an *Error; conn is then still the caller's to close.
func New(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	c := &Client{hello: o.Hello, timeouts: o.Timeouts.withDefaults(), raw: conn, conn: conn}
	c.in = bufio.NewReaderSize(netReader{c}, 2*maxReplyLine)
	c.out = bufio.NewWriterSize(netWriter{c}, 16<<10)
	defer c.during(ctx)()
	if t, ok := conn.(*tls.Conn); ok {
		if err := c.handshake(ctx, t); err != nil {
			return nil, err
		}
	}
	r, err := c.reply(Greeting, c.timeouts.Greeting)
	if err != nil {
		return nil, err
	}
	if !r.positive() {
		return nil, c.refused(Greeting, r)
	}
	if err := c.greet(); err != nil {
		return nil, err
	}
	return c, nil
}

// Name is how the server called itself in its answer to EHLO or HELO.
func (c *Client) Name() string { return c.name }

// Has reports whether the server offers an extension, named in capitals.
func (c *Client) Has(keyword string) bool {
	_, ok := c.extensions[keyword]
	return ok
}

// Parameters are what the server said behind the keyword of an extension.
func (c *Client) Parameters(keyword string) string { return c.extensions[keyword] }

// Err says why the client can't be used any more; nil while it can.
func (c *Client) Err() error { return c.err }

// TLS returns the state of TLS, or false in the clear.
func (c *Client) TLS() (tls.ConnectionState, bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return c.tls.ConnectionState(), true
}

// StartTLS goes on under TLS (RFC 3207), with cfg as crypto/tls has it, and says EHLO again: what was offered in the clear is
// forgotten. After an *Error of the handshake the connection is of no use; a server that only refused can be used in the clear.
func (c *Client) StartTLS(ctx context.Context, cfg *tls.Config) error {
	if c.err != nil {
		return c.err
	}
	defer c.during(ctx)()
	r, err := c.command("STARTTLS", "STARTTLS", c.timeouts.Command)
	if err != nil {
		return err
	}
	if r.Code != 220 {
		return &Error{During: "STARTTLS", Reply: r}
	}
	if c.in.Buffered() > 0 {
		return c.failed("STARTTLS", ErrInjected)
	}
	if err := c.handshake(ctx, tls.Client(c.raw, cfg)); err != nil {
		return err
	}
	return c.greet()
}

// handshake goes on over t.
func (c *Client) handshake(ctx context.Context, t *tls.Conn) error {
	err := c.allow(c.timeouts.Handshake)
	if err == nil {
		err = t.HandshakeContext(ctx)
	}
	if err != nil {
		return c.failed(Handshake, err)
	}
	c.conn, c.tls = t, t
	c.in.Reset(netReader{c})
	return nil
}

// greet says EHLO, or HELO where that is not known.
func (c *Client) greet() error {
	c.extensions = nil
	r, err := c.command("EHLO", "EHLO "+c.hello, c.timeouts.Command)
	if err != nil {
		return err
	}
	if r.positive() {
		c.extensions = parseExtensions(r.Text)
	} else if r.Code >= 500 {
		if r, err = c.command("HELO", "HELO "+c.hello, c.timeouts.Command); err != nil {
			return err
		}
	}
	if !r.positive() {
		return c.refused("EHLO", r)
	}
	c.name, _, _ = strings.Cut(r.Text, "\n")
	c.name, _, _ = strings.Cut(c.name, " ")
	return nil
}

// parseExtensions reads the lines of an answer to EHLO, of which the first only greets. "AUTH=" is how some servers said AUTH before
// it was settled.
func parseExtensions(text string) map[string]string {
	extensions := map[string]string{}
	_, rest, _ := strings.Cut(text, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		keyword, parameters, _ := strings.Cut(line, " ")
		keyword = strings.ToUpper(keyword)
		if mechanism, ok := strings.CutPrefix(keyword, "AUTH="); ok {
			keyword, parameters = "AUTH", mechanism+" "+parameters
		}
		if earlier, ok := extensions[keyword]; ok {
			parameters = earlier + " " + parameters
		}
		if keyword != "" {
			extensions[keyword] = strings.TrimSpace(parameters)
		}
	}
	return extensions
}

// Reset forgets a message that was begun (RSET), and so finds out whether the server is still there.
func (c *Client) Reset(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	defer c.during(ctx)()
	r, err := c.command("RSET", "RSET", c.timeouts.Command)
	if err == nil && !r.positive() {
		err = c.refused("RSET", r)
	}
	return err
}

// Quit says good-bye and closes the connection.
func (c *Client) Quit(ctx context.Context) {
	if c.err == nil {
		end := c.during(ctx)
		_, _ = c.command("QUIT", "QUIT", c.timeouts.Quit) // whatever the answer, it is the last
		end()
	}
	c.Close()
}

// Close closes the connection without a word.
func (c *Client) Close() {
	if c.tls != nil && c.err == nil {
		_ = c.tls.Close() // says good-bye to TLS; who does not listen any more does not matter
	}
	_ = c.raw.Close()
	if c.err == nil {
		c.err = net.ErrClosed
	}
}

// during breaks off what the client waits for when ctx ends. The function that it returns stops that.
func (c *Client) during(ctx context.Context) (end func()) {
	c.mu.Lock()
	c.ctx = ctx
	c.cut = c.cut || ctx.Err() != nil // AfterFunc may take its time
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut = true
		_ = c.raw.SetDeadline(time.Unix(1, 0)) // a closed connection fails anyway
	})
	return func() {
		if !stop() && c.err == nil { // the deadline may come at any moment, now or in the next call
			c.err = &Error{During: "the command before", Err: context.Cause(ctx)}
		}
	}
}

// allow gives what comes next d to be done.
func (c *Client) allow(d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return context.Cause(c.ctx)
	}
	return c.raw.SetDeadline(time.Now().Add(d))
}

// command says line and returns the answer.
func (c *Client) command(verb, line string, wait time.Duration) (Reply, error) {
	c.say(line)
	return c.reply(verb, wait)
}

// say queues a line. It goes out with reply.
func (c *Client) say(line string) {
	// A write that fails shows in reply.
	_, _ = c.out.WriteString(line)
	_, _ = c.out.WriteString("\r\n")
}

// reply sends what is queued and reads the answer to a command. A connection that fails as it is written to is read all the same:
// who closes one mostly says why. 421 is an error whatever it answers: the server closes the connection.
func (c *Client) reply(during string, wait time.Duration) (Reply, error) {
	sent := c.out.Flush()
	if sent != nil {
		wait = min(wait, time.Second)
	}
	err := c.allow(wait)
	var r Reply
	if err == nil {
		r, err = readReply(c.in)
	}
	switch {
	case err != nil && sent != nil:
		return Reply{}, c.failed(during, sent)
	case err != nil:
		return Reply{}, c.failed(during, err)
	case r.Code == 421:
		return Reply{}, c.refused(during, r)
	case sent != nil && c.err == nil:
		c.err = sent
	}
	return r, nil
}

// failed ends the use of the connection for what went wrong.
func (c *Client) failed(during string, err error) *Error {
	c.mu.Lock()
	if c.cut {
		err = context.Cause(c.ctx)
	}
	c.mu.Unlock()
	e := &Error{During: during, Err: err}
	c.err = e
	return e
}

// refused ends the use of the connection for what the server said.
func (c *Client) refused(during string, r Reply) *Error {
	e := &Error{During: during, Reply: r}
	c.err = e
	return e
}

// netReader and netWriter are the connection for the buffers.
type netReader struct{ c *Client }

func (r netReader) Read(p []byte) (int, error) { return r.c.conn.Read(p) }

type netWriter struct{ c *Client }

func (w netWriter) Write(p []byte) (int, error) {
	if err := w.c.allow(w.c.timeouts.Block); err != nil {
		return 0, err
	}
	return w.c.conn.Write(p)
}
