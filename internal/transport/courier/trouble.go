package courier

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/smtpclient"
	"github.com/pennypost/pennypost/internal/transport/queue"
)

// maxReply is how many bytes of a reply are handed on.
const maxReply = 1000

// trouble is why a host took nothing.
type trouble struct {
	permanent bool
	status    string
	text      string // what the server said, or words for the sender
	host, tls string
	down      bool
	ours      bool // not the host's: see queue.Outcome
}

func (t *trouble) Error() string { return t.status + " " + t.text }

func (t *trouble) outcome() queue.Outcome {
	o := queue.Outcome{Result: queue.Deferred, Status: t.status, Reply: cut(t.text), Host: t.host, TLS: t.tls, Down: t.down && !t.permanent, Ours: t.ours}
	if t.permanent {
		o.Result = queue.Failed
	}
	return o
}

// dialTrouble is the trouble of a connection that was not made.
func dialTrouble(t *target, err error) *trouble {
	if refused := (*dial.Refused)(nil); errors.As(err, &refused) {
		return &trouble{
			permanent: true, status: "5.4.4",
			text: fmt.Sprintf("mail can't be sent to %s: %s", t.host, refused),
		}
	}
	return &trouble{status: "4.4.1", text: fmt.Sprintf("no connection to %s (%s): %s", t.host, t.address, reason(err)), down: true}
}

// reason is the last part of a chain of errors, which repeats addresses otherwise.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

// clientTrouble is the trouble of a connection on which no message could be offered.
func clientTrouble(t *target, err error) *trouble {
	var e *smtpclient.Error
	var refusal *smtpclient.Refusal
	switch {
	case errors.As(err, &e) && e.Reply.Code != 0:
		status, permanent := e.Reply.Status, e.Reply.Code >= 500
		if t.gateway != nil || e.Reply.Code < 400 {
			status, permanent = temporary(status), false
		}
		return &trouble{permanent: permanent, status: status, text: e.Reply.String(), host: t.host, down: true}
	case errors.As(err, &refusal):
		return &trouble{status: temporary(refusal.Status), text: refusal.Text, host: t.host, down: true}
	case errors.As(err, &e) && e.During == smtpclient.Handshake:
		return &trouble{status: "4.7.5", text: fmt.Sprintf("TLS with %s failed: %s", t.host, e.Err), host: t.host, down: true}
	}
	return &trouble{status: "4.4.2", text: fmt.Sprintf("%s: %s", t.host, err), host: t.host, down: true}
}

// temporary is the status code with class 4.
func temporary(status string) string {
	if _, rest, ok := strings.Cut(status, "."); ok {
		return "4." + rest
	}
	return "4.0.0"
}

// cut shortens what a server said.
func cut(s string) string {
	if len(s) <= maxReply {
		return s
	}
	return strings.ToValidUTF8(s[:maxReply], "")
}
