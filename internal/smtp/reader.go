package smtp

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	readBuffer = 16 << 10
	// commandLimit is the longest command line with its CRLF. RFC 5321 section 4.5.3.1.4 asks for 512, its extensions for more.
	commandLimit = 2 << 10
	// authLimit is the longest line of an AUTH exchange (RFC 4954 section 4), and of AUTH itself with its initial response.
	authLimit = 12288 + 2
)

var (
	errLineTooLong = errors.New("the line is too long")
	errBareBreak   = errors.New("a CR or LF stands alone")
	errInterrupted = errors.New("the session was interrupted")
)

// wire is the connection as a session reads and writes it. Every read from the network first sends the replies that wait.
// Its deadlines can be overruled from outside, by interrupt.
type wire struct {
	in  *bufio.Reader
	out *bufio.Writer

	writeTimeout time.Duration

	mu          sync.Mutex
	conn        net.Conn
	interrupted bool // reads of command lines fail
	broken      bool // all reads fail
	inMessage   bool

	perRead time.Duration // deadline of each read, while a message comes in
	until   time.Time     // deadline of all reads together
}

func newWire(conn net.Conn, writeTimeout time.Duration) *wire {
	w := &wire{conn: conn, writeTimeout: writeTimeout}
	w.in = bufio.NewReaderSize(netReader{w}, readBuffer)
	w.out = bufio.NewWriterSize(netWriter{w}, 4<<10)
	return w
}

// switchTo goes on with another connection, TLS over the first, and forgets everything read and not used.
func (w *wire) switchTo(conn net.Conn) {
	w.mu.Lock()
	w.conn = conn
	w.mu.Unlock()
	w.in.Reset(netReader{w})
}

// expectCommand sets the deadline for the next command line; expectMessage those for a message.
func (w *wire) expectCommand(d time.Duration, notAfter time.Time) {
	until := time.Now().Add(d)
	if !notAfter.IsZero() && notAfter.Before(until) {
		until = notAfter
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.perRead, w.until, w.inMessage = 0, until, false
}

func (w *wire) expectMessage(perRead, whole time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.perRead, w.until, w.inMessage = perRead, time.Now().Add(whole), true
}

// interrupt makes reads fail from now on: at once, or (unless inMessageToo) after the message that comes in now.
func (w *wire) interrupt(inMessageToo bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.interrupted = true
	w.broken = w.broken || inMessageToo
	if !w.inMessage || w.broken {
		_ = w.conn.SetReadDeadline(time.Unix(1, 0)) // a closed connection fails its reads anyway
	}
}

func (w *wire) isBroken() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// netReader reads from the network for the buffer.
type netReader struct{ w *wire }

func (r netReader) Read(p []byte) (int, error) {
	w := r.w
	if err := w.out.Flush(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	if w.broken || w.interrupted && !w.inMessage {
		w.mu.Unlock()
		return 0, errInterrupted
	}
	deadline := w.until
	if w.perRead > 0 {
		if d := time.Now().Add(w.perRead); d.Before(deadline) {
			deadline = d
		}
	}
	err := w.conn.SetReadDeadline(deadline)
	conn := w.conn
	w.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := conn.Read(p)
	if err != nil && n == 0 {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.broken || w.interrupted && !w.inMessage {
			return 0, errInterrupted
		}
	}
	return n, err
}

type netWriter struct{ w *wire }

func (n netWriter) Write(p []byte) (int, error) {
	n.w.mu.Lock()
	conn := n.w.conn
	n.w.mu.Unlock()
	if err := conn.SetWriteDeadline(time.Now().Add(n.w.writeTimeout)); err != nil {
		return 0, err
	}
	return conn.Write(p)
}

// line reads a line without its CRLF. Once the session was broken off, what is in the buffer is no command any more.
// errLineTooLong and errBareBreak leave the reader at the beginning of the next line;
// after any other error nothing more can be read. The line is valid until the next read.
func (w *wire) line(limit int) ([]byte, error) {
	if w.isBroken() {
		return nil, errInterrupted
	}
	b, err := w.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return nil, w.skipLine(1 << 20)
	}
	if err != nil {
		return nil, err
	}
	switch n := len(b); {
	case n > limit:
		return nil, errLineTooLong
	case n < 2 || b[n-2] != '\r':
		return nil, errBareBreak
	default:
		b = b[:n-2]
	}
	for _, c := range b {
		if c == '\r' {
			return nil, errBareBreak
		}
	}
	return b, nil
}

// skipLine reads on to the end of a line that is longer than the buffer, most bytes at most.
func (w *wire) skipLine(most int) error {
	for read := 0; read < most; {
		b, err := w.in.ReadSlice('\n')
		read += len(b)
		if err == nil {
			return errLineTooLong
		}
		if err != bufio.ErrBufferFull {
			return err
		}
	}
	return io.ErrUnexpectedEOF
}
