package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/stack"
)

// The control socket speaks HTTP with JSON bodies: POST /<verb>. Some verbs take bytes too, which follow a request of one line.
// Who may open it is the operator: it lies in a directory that only its owner may enter.

const (
	// maxControlBytes bounds a request and an answer on the control socket.
	maxControlBytes = 64 << 20
	// verbTimeout bounds a verb, on both sides: the check of a large store takes minutes. One whose caller went away ends sooner.
	verbTimeout = time.Hour
)

// verb carries out one operator's verb: it reads a JSON request and returns what becomes the JSON answer. body is what follows the
// request.
type verb func(ctx context.Context, request []byte, body io.Reader) (any, error)

// typed makes a verb of a function with a request and an answer of their own types.
func typed[Request, Answer any](fn func(context.Context, Request) (Answer, error)) verb {
	return streamed(func(ctx context.Context, r Request, _ io.Reader) (Answer, error) { return fn(ctx, r) })
}

// streamed makes a verb of a function that takes bytes beside its request.
func streamed[Request, Answer any](fn func(context.Context, Request, io.Reader) (Answer, error)) verb {
	return func(ctx context.Context, request []byte, body io.Reader) (any, error) {
		var r Request
		if err := json.Unmarshal(request, &r); err != nil {
			return nil, fault.New(fault.Invalid, fault.None, "the request is not understood: is this pennypost of the server's version? (%v)", err)
		}
		return fn(ctx, r, body)
	}
}

// refusal is the body of an answer that is not 200.
type refusal struct {
	Message string `json:"message"`
}

// controlHandler answers requests for verbs.
func controlHandler(verbs map[string]verb, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stack.Deepen()
		name := strings.TrimPrefix(r.URL.Path, "/")
		if err := ownDeadline(w); err != nil {
			log.Error("a verb on the control socket has the bounds of other requests", "verb", name, "error", err)
		}
		status, answer := http.StatusOK, any(nil)
		run, known := verbs[name]
		body := bufio.NewReader(r.Body)
		request, err := readRequest(body)
		switch {
		case err != nil:
		case !known:
			err = fault.New(fault.Unsupported, fault.None, "the running server does not know the verb %q: is it of another version?", name)
		default:
			answer, err = run(r.Context(), request, body)
		}
		if err != nil {
			status, answer = http.StatusBadRequest, refusal{err.Error()}
			if fault.As(err) == nil {
				log.Error("a verb on the control socket failed", "verb", name, "error", err)
			}
		}
		text, err := json.Marshal(answer)
		if err != nil {
			panic("server: an answer that is no JSON: " + err.Error()) // the answers are our own plain structs
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(text) // a verb that went away hears nothing
	})
}

// readRequest reads the line that a body begins with. JSON has none within.
func readRequest(body *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := body.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxControlBytes {
			return nil, fault.New(fault.TooLarge, fault.None, "the request is longer than %d bytes", maxControlBytes)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// ownDeadline gives a verb more time than the server gives requests.
func ownDeadline(w http.ResponseWriter) error {
	c, end := http.NewResponseController(w), time.Now().Add(verbTimeout)
	return errors.Join(c.SetReadDeadline(end), c.SetWriteDeadline(end))
}

// socketDir is the directory of the control socket; only its owner may enter it.
func socketDir(dir string) string { return filepath.Join(dir, "run") }

const socketName = "control.sock"

// listenControl opens the control socket of a data directory that the caller has locked.
func listenControl(ctx context.Context, dir string) (net.Listener, error) {
	run := socketDir(dir)
	if err := os.MkdirAll(run, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(run, 0o700); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// A socket left behind by a killed server is nobody's: the lock is ours.
	if err := os.Remove(filepath.Join(run, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	path, done, err := shortSocketPath(run)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer done()
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path may be the short one, which is gone by then
	if err := os.Chmod(filepath.Join(run, socketName), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	return l, nil
}

// removeSocket removes the control socket of a data directory that the caller has locked, and its directory unless something
// else is in it.
func removeSocket(dir string) error {
	run := socketDir(dir)
	if err := os.Remove(filepath.Join(run, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	_ = os.Remove(run) // somebody else's files keep it
	return nil
}

// maxSocketPath is the longest path of a socket on all systems we run on (104 bytes on macOS, 108 on Linux), one byte of
// which ends it.
const maxSocketPath = 103

// shortSocketPath returns a path of the socket in run that is short enough for the system. done must be called when the
// path is no longer needed.
func shortSocketPath(run string) (path string, done func(), err error) {
	path = filepath.Join(run, socketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	// Linux reaches a directory through an open descriptor, whose path is short.
	d, err := os.Open(run)
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join("/proc/self/fd", strconv.Itoa(int(d.Fd())), socketName)
	return path, func() { _ = d.Close() }, nil
}

// callControl asks the server that holds dir to carry out a verb. The error is a fault where the server refused, and
// errNoServer where there is none.
func callControl(ctx context.Context, dir, verb string, request, answer any) error {
	return streamControl(ctx, dir, verb, request, nil, answer)
}

// streamControl is callControl with bytes that follow the request, unless they are nil.
func streamControl(ctx context.Context, dir, verb string, request any, stream io.Reader, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, verbTimeout)
	defer cancel()
	head, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("verb %s: %w", verb, err)
	}
	var body io.Reader = bytes.NewReader(head)
	if stream != nil {
		body = io.MultiReader(bytes.NewReader(append(head, '\n')), stream)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			path, done, err := shortSocketPath(socketDir(dir))
			if err != nil {
				return nil, err
			}
			defer done()
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://control/"+verb, body)
	if err != nil {
		return fmt.Errorf("verb %s: %w", verb, err)
	}
	resp, err := client.Do(req)
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("the data directory %s is for its owner: %w", dir, err)
	}
	if opErr := (*net.OpError)(nil); errors.As(err, &opErr) && opErr.Op == "dial" || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w (%w)", errNoServer, err)
	}
	if err != nil {
		return fmt.Errorf("ask the running server: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxControlBytes))
	if err != nil {
		return fmt.Errorf("read the running server's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var r refusal
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("the running server answered %s", resp.Status)
		}
		return fault.New(fault.Invalid, fault.None, "%s", r.Message)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the running server's answer is not understood: is it of another version? %w", err)
	}
	return nil
}

// errNoServer says that nothing answers on the control socket.
var errNoServer = errors.New("no server answers")
