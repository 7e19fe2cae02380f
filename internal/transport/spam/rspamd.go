package spam

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/fault"
)

// Rspamd is a filter beside the server, asked by its HTTP protocol.
type Rspamd struct {
	// URL is where messages are checked: a normal or a proxy worker; empty for nowhere. Controller is where they are learned; empty for nowhere.
	URL, Controller string
	// Password opens the controller, and is sent along with checks too; empty for none.
	Password string
	// Reject says that its action reject refuses the message; without it goes to Junk E-mail.
	Reject bool
	Client *http.Client
	// Timeout bounds a check; 0 means 15 seconds.
	Timeout time.Duration
}

const (
	rspamdTimeout = 15 * time.Second
	learnTimeout  = 30 * time.Second
	maxAnswer     = 1 << 20
)

func (r *Rspamd) teaches() bool { return r.Controller != "" }

// check asks about a message. Faults: Denied Message, Temporary Message; another error says that there is no answer.
func (r *Rspamd) check(ctx context.Context, m *Message) (*Opinion, error) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = rspamdTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := r.request(ctx, r.URL, "/checkv2", m.Bytes)
	if err != nil {
		return nil, err
	}
	if a := m.Client.Address; a.IsValid() {
		req.Header.Set("IP", a.Unmap().WithZone("").String())
	}
	set := func(name, value string) {
		if value = inHeader(value); value != "" {
			req.Header.Add(name, value)
		}
	}
	set("Helo", m.Client.Hello)
	set("From", m.Client.From.String())
	for _, a := range m.Addresses {
		set("Rcpt", a.String())
	}
	set("Queue-Id", m.Trace)
	if v := m.Verdict; v != nil && v.IPRev.Result == "pass" {
		set("Hostname", v.IPRev.Domain)
	}
	_, body, err := r.do(req)
	if err != nil {
		return nil, err
	}
	a, err := parseAnswer(body)
	if err != nil {
		return nil, err
	}
	return a.opinion(r.Reject)
}

// learnError says that rspamd could not be told what a message is.
type learnError struct {
	err      error
	answered bool // it is there, and does not want this message
}

func (e *learnError) Error() string { return "rspamd could not learn a message: " + e.err.Error() }
func (e *learnError) Unwrap() error { return e.err }

// learn tells what a message is. A message that it will not learn is no error: 204 where it is too short, 208 or 404 where it is known.
func (r *Rspamd) learn(ctx context.Context, asSpam bool, text []byte) error {
	path := "/learnham"
	if asSpam {
		path = "/learnspam"
	}
	ctx, cancel := context.WithTimeout(ctx, learnTimeout)
	defer cancel()
	req, err := r.request(ctx, r.Controller, path, text)
	if err != nil {
		return &learnError{err, false}
	}
	status, body, err := r.do(req)
	if err == nil || status == http.StatusNotFound && bytes.Contains(body, []byte(" has been already learned as ")) {
		return nil
	}
	return &learnError{err, status/100 == 4}
}

func (r *Rspamd) request(ctx context.Context, base, path string, text []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(base, "/")+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if r.Password != "" {
		req.Header.Set("Password", r.Password)
	}
	return req, nil
}

// do returns the status, 0 where there is none, and the body. Only 2xx is no error.
func (r *Rspamd) do(req *http.Request) (int, []byte, error) {
	res, err := r.Client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return 0, nil, err
	case len(body) > maxAnswer:
		return 0, nil, fmt.Errorf("rspamd answers with more than %d bytes", maxAnswer)
	case res.StatusCode/100 != 2:
		return res.StatusCode, body, fmt.Errorf("rspamd answers %s: %s", res.Status, inHeader(string(body[:min(len(body), 200)])))
	}
	return res.StatusCode, body, nil
}

// inHeader is s as a field of HTTP can hold it.
func inHeader(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 127 {
			return ' '
		}
		return r
	}, s))
}

// answer is what rspamd says of a message.
type answer struct {
	Action   string  `json:"action"`
	Score    float64 `json:"score"`
	Required float64 `json:"required_score"`
	Symbols  map[string]struct {
		Score float64 `json:"score"`
	} `json:"symbols"`
	Messages map[string]any `json:"messages"`
	Error    string         `json:"error"`
}

func parseAnswer(b []byte) (*answer, error) {
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, fmt.Errorf("rspamd's answer: %w", err)
	}
	if a.Error != "" {
		return nil, errors.New("rspamd: " + inHeader(a.Error[:min(len(a.Error), 200)]))
	}
	if a.Action == "" {
		return nil, errors.New("rspamd's answer names no action")
	}
	return &a, nil
}

// opinion is what the answer means for every recipient.
func (a *answer) opinion(reject bool) (*Opinion, error) {
	o := &Opinion{Verdict: Pass, Score: a.Score, Required: a.Required}
	switch a.Action {
	case "no action":
	case "reject":
		if reject {
			return nil, fault.New(fault.Denied, fault.Message, "%s", a.says("this looks like spam"))
		}
		o.Verdict = Fail
	case "add header", "rewrite subject", "quarantine", "discard":
		o.Verdict = Fail
	case "greylist", "soft reject":
		return nil, fault.New(fault.Temporary, fault.Message, "%s", a.says("try again later"))
	default:
		return nil, fmt.Errorf("rspamd answers with action %q, which means nothing here", inHeader(a.Action[:min(len(a.Action), 50)]))
	}
	o.Reasons = append(o.Reasons, "rspamd: "+a.Action)
	for _, name := range a.heaviest() {
		o.Reasons = append(o.Reasons, fmt.Sprintf("%s %+.1f", name, a.Symbols[name].Score))
	}
	return o, nil
}

// says is what the sender is told: rspamd's own words, where it has some.
func (a *answer) says(otherwise string) string {
	if text, ok := a.Messages["smtp_message"].(string); ok {
		if text = printable(text); strings.TrimSpace(text) != "" {
			return text
		}
	}
	return otherwise
}

// heaviest returns the names of the symbols that weigh most.
func (a *answer) heaviest() []string {
	var names []string
	for name, s := range a.Symbols {
		if s.Score != 0 && !math.IsNaN(s.Score) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(math.Abs(a.Symbols[y].Score), math.Abs(a.Symbols[x].Score)), strings.Compare(x, y))
	})
	return names[:min(len(names), maxReasons-1)]
}
