package sieve

import (
	"context"
	"errors"
)

// bytesPerStep is how many bytes may be looked at for one step. Whatever is looked at counts perLook besides, and the context is asked
// after so many bytes.
const (
	bytesPerStep = 8 << 10
	perLook      = 128
	perQuestion  = 1000 * bytesPerStep
)

// errStop ends a run as "stop" does.
var errStop = errors.New("sieve: stop")

// run is one run of a script.
type run struct {
	script *Script
	env    Environment
	mail   *mail
	work   int          // bytes looked at, a step being bytesPerStep
	asked  int          // work when ended was asked last
	ended  func() error // the context's
	fault  error        // found where it could not be returned

	variables map[string]string
	match     []string // match variables
	flags     string   // the internal variable of imap4flags

	result   Result
	explicit bool // an action cancelled the implicit keep
	answered bool // a vacation was executed
	rejected bool
	added    int // bytes of header fields that were added
	versions int // of the message that were delivered

	duplicates int // tests of that name
}

func newRun(ctx context.Context, s *Script, env Environment, raw []byte) *run {
	return &run{script: s, env: env, mail: newMail(raw), ended: ctx.Err, variables: map[string]string{}}
}

// Run runs the script on a message. An *Error is the script's own fault: its user is to be told, and the result with it is the implicit
// keep of the message as it arrived (RFC 5228 section 2.10.6). Any other error is one of the environment's functions or of the context, and has no
// result: the run can be tried again.
func (s *Script) Run(ctx context.Context, env Environment, raw []byte) (*Result, error) {
	r := newRun(ctx, s, env, raw)
	err := ctx.Err()
	if err == nil {
		err = r.block(ctx, s.commands)
	}
	if err == nil || errors.Is(err, errStop) {
		if err = r.fault; err == nil && !r.explicit {
			r.implicitKeep()
		}
	}
	var fault *Error
	switch {
	case errors.As(err, &fault):
		return &Result{Actions: []Action{&Keep{}}}, err
	case err != nil:
		return nil, err
	}
	return &r.result, nil
}

// block runs commands in order.
func (r *run) block(ctx context.Context, list []*node) error {
	for _, n := range list {
		if err := r.step(ctx, n); err != nil {
			return err
		}
		if err := n.signature.run(r, ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// holds runs a test.
func (r *run) holds(ctx context.Context, n *node) (bool, error) {
	if err := r.step(ctx, n); err != nil {
		return false, err
	}
	return n.signature.test(r, ctx, n)
}

// step counts a command or a test.
func (r *run) step(ctx context.Context, n *node) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.spend(n, bytesPerStep)
}

// spend counts a look at that many bytes.
func (r *run) spend(n *node, bytes int) error {
	if r.fault != nil {
		return r.fault
	}
	r.work += perLook + bytes
	if r.left() < 0 {
		return n.at.errorf("the script takes more than %d steps on this message, which are its tests and what they compare", r.script.limits.Steps)
	}
	if r.work-r.asked >= perQuestion {
		r.asked = r.work
		return r.ended()
	}
	return nil
}

// left returns how many bytes may still be looked at.
func (r *run) left() int { return r.script.limits.Steps*bytesPerStep - r.work }

func (r *run) condition(ctx context.Context, n *node) error {
	for n != nil {
		if len(n.tests) == 0 { // else
			return r.block(ctx, n.block)
		}
		ok, err := r.holds(ctx, n.tests[0])
		if err != nil {
			return err
		}
		if ok {
			return r.block(ctx, n.block)
		}
		n = n.otherwise
	}
	return nil
}

func (r *run) stop(context.Context, *node) error { return errStop }

func (r *run) always(context.Context, *node) (bool, error) { return true, nil }

func (r *run) never(context.Context, *node) (bool, error) { return false, nil }

func (r *run) not(ctx context.Context, n *node) (bool, error) {
	ok, err := r.holds(ctx, n.tests[0])
	return !ok && err == nil, err
}

func (r *run) allOf(ctx context.Context, n *node) (bool, error) {
	for _, t := range n.tests {
		if ok, err := r.holds(ctx, t); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) anyOf(ctx context.Context, n *node) (bool, error) {
	for _, t := range n.tests {
		if ok, err := r.holds(ctx, t); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// expand returns the string with variables put in, cut at what a script may have bytes.
func (r *run) expand(t *text) string { return r.expandTo(t, r.script.limits.Script) }

func (r *run) expandTo(t *text, most int) string {
	if t.constant() {
		return t.raw
	}
	var out []byte
	for _, p := range t.pieces {
		s := p.literal
		switch {
		case p.variable != "":
			s = r.variables[p.variable]
		case s == "" && p.match < len(r.match):
			s = cutString(r.match[p.match], r.script.limits.Value)
		}
		out = append(out, s...)
		if len(out) > most {
			return cutString(string(out), most)
		}
	}
	return string(out)
}

// expandAll returns the strings with variables put in. If they become too large together, the run ends at its next step.
func (r *run) expandAll(v value) []string {
	list := make([]string, len(v.texts))
	size := 0
	for i := range v.texts {
		list[i] = r.expand(&v.texts[i])
		if size += len(list[i]); size > 4*r.script.limits.Script {
			r.fault = v.at.errorf("the strings of this list have more than %d bytes, with their variables", 4*r.script.limits.Script)
			return list
		}
	}
	return list
}

// tagText returns the string behind a tag, "" where the tag is missing.
func (r *run) tagText(n *node, tag string) string {
	if !n.has(tag) {
		return ""
	}
	return r.expand(&n.tags[tag].texts[0])
}

// act adds an action.
func (r *run) act(n *node, a Action) error {
	if len(r.result.Actions) >= r.script.limits.Actions {
		return n.at.errorf("the script takes more than %d actions on this message", r.script.limits.Actions)
	}
	r.result.Actions = append(r.result.Actions, a)
	return nil
}
