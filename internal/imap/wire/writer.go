package wire

import (
	"io"
	"strconv"
)

// Writer gathers responses and sends them in large pieces. Errors are kept: after the first one nothing is sent, and Err
// and Flush return it. Its buffer is there only while something waits in it, so that an idle connection costs none. It is
// not safe for concurrent use.
type Writer struct {
	dst   io.Writer
	buf   []byte
	err   error
	sent  int64
	spare func() []byte
	free  func([]byte)
}

// BufferSize is about how many bytes gather before they are sent.
const BufferSize = 32 << 10

// NewWriter sends to dst. spare hands out an empty buffer of about BufferSize and free takes it back.
func NewWriter(dst io.Writer, spare func() []byte, free func([]byte)) *Writer {
	return &Writer{dst: dst, spare: spare, free: free}
}

func (w *Writer) room() {
	if w.buf == nil {
		w.buf = w.spare()
	}
}

// Buf returns what waits to be sent, to be appended to and handed back to SetBuf.
func (w *Writer) Buf() []byte {
	w.room()
	return w.buf
}

// SetBuf takes back what Buf handed out, and sends it where much has gathered.
func (w *Writer) SetBuf(b []byte) {
	if w.buf = b; len(b) >= BufferSize {
		w.send()
	}
}

// Raw appends s as it is.
func (w *Writer) Raw(s string) {
	w.room()
	w.buf = append(w.buf, s...)
}

// Number appends n.
func (w *Writer) Number(n uint64) {
	w.room()
	w.buf = strconv.AppendUint(w.buf, n, 10)
}

// String appends s as a quoted string or a literal.
func (w *Writer) String(s string) {
	w.room()
	w.buf = AppendString(w.buf, s)
}

// Mailbox appends a mailbox name.
func (w *Writer) Mailbox(name string) {
	w.room()
	w.buf = AppendMailbox(w.buf, name)
}

// End ends a response, and sends what gathered if that is much.
func (w *Writer) End() {
	w.room()
	w.SetBuf(append(w.buf, '\r', '\n'))
}

// Write appends bytes of a literal, whose announcement was written before. Large ones are sent from p itself.
func (w *Writer) Write(p []byte) (int, error) {
	if len(p) < BufferSize/2 {
		w.room()
		w.SetBuf(append(w.buf, p...))
		return len(p), w.err
	}
	if w.send(); w.err != nil {
		return 0, w.err
	}
	n, err := w.dst.Write(p)
	w.sent += int64(n)
	w.err = err
	return n, err
}

// Status writes a status response: tag, "OK", "NO", "BAD", "BYE" or "PREAUTH", a response code without brackets or "",
// and text.
func (w *Writer) Status(tag, status, code, text string) {
	b := append(append(append(w.Buf(), tag...), ' '), status...)
	b = append(b, ' ')
	if code != "" {
		b = append(append(append(b, '['), code...), ']', ' ')
	}
	w.SetBuf(append(AppendText(b, text), '\r', '\n'))
}

// Waiting returns how many bytes wait to be sent.
func (w *Writer) Waiting() int { return len(w.buf) }

// Written returns how many bytes were taken so far, those that wait to be sent included.
func (w *Writer) Written() int64 { return w.sent + int64(len(w.buf)) }

// Sent returns how many bytes were sent.
func (w *Writer) Sent() int64 { return w.sent }

// Err returns the first error of sending.
func (w *Writer) Err() error { return w.err }

// Flush sends what waits, gives the buffer back and returns the first error there was.
func (w *Writer) Flush() error {
	if w.buf == nil {
		return w.err
	}
	w.send()
	w.free(w.buf)
	w.buf = nil
	return w.err
}

func (w *Writer) send() {
	if len(w.buf) == 0 {
		return
	}
	if w.err == nil {
		var n int
		n, w.err = w.dst.Write(w.buf)
		w.sent += int64(n)
	}
	w.buf = w.buf[:0]
}
