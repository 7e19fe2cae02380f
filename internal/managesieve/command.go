package managesieve

import (
	"bytes"
	"context"
	"strconv"

	"github.com/pennypost/pennypost/internal/fault"
)

// reply is how a command is answered: OK, NO or BYE, a response code without parentheses, and text for a person.
type reply struct {
	status, code, text string
	misunderstood      bool
	startTLS           bool // the handshake follows
	last               bool // the connection ends
}

func ok(code, text string) reply { return reply{status: "OK", code: code, text: text} }
func no(code, text string) reply { return reply{status: "NO", code: code, text: text} }

func misunderstood(text string) reply {
	return reply{status: "NO", text: text, misunderstood: true}
}

// say writes a response line.
func (c *conn) say(r reply) {
	b := append(c.w.AvailableBuffer(), r.status...)
	if r.code != "" {
		b = append(append(append(b, " ("...), r.code...), ')')
	}
	b = append(appendString(append(b, ' '), r.text), "\r\n"...)
	_, _ = c.w.Write(b) // the writer keeps the error until the next read
}

// verb is a command: what it takes, a string (s) or a number (n) for each argument, of which the last ones may be optional, and whether
// somebody must have signed in.
type verb struct {
	args     string
	optional int
	user     bool
	do       func(c *conn, ctx context.Context, args []word) reply
}

func verbOf(name string) (v verb, known bool) {
	switch name {
	case "CAPABILITY":
		v = verb{do: (*conn).capability}
	case "NOOP":
		v = verb{args: "s", optional: 1, do: (*conn).noop}
	case "LOGOUT":
		v = verb{do: (*conn).logout}
	case "STARTTLS":
		v = verb{do: (*conn).protect}
	case "AUTHENTICATE":
		v = verb{args: "ss", optional: 1, do: (*conn).authenticate}
	case "UNAUTHENTICATE":
		v = verb{user: true, do: (*conn).unauthenticate}
	case "HAVESPACE":
		v = verb{args: "sn", user: true, do: (*conn).haveSpace}
	case "PUTSCRIPT":
		v = verb{args: "ss", user: true, do: (*conn).putScript}
	case "CHECKSCRIPT":
		v = verb{args: "s", user: true, do: (*conn).checkScript}
	case "LISTSCRIPTS":
		v = verb{user: true, do: (*conn).listScripts}
	case "SETACTIVE":
		v = verb{args: "s", user: true, do: (*conn).setActive}
	case "GETSCRIPT":
		v = verb{args: "s", user: true, do: (*conn).getScript}
	case "DELETESCRIPT":
		v = verb{args: "s", user: true, do: (*conn).deleteScript}
	case "RENAMESCRIPT":
		v = verb{args: "ss", user: true, do: (*conn).renameScript}
	default:
		return verb{}, false
	}
	return v, true
}

// takes reports whether the arguments are such as the command takes.
func (v verb) takes(args []word) bool {
	if len(args) > len(v.args) || len(args) < len(v.args)-v.optional {
		return false
	}
	for i, w := range args {
		if want := v.args[i]; want == 's' && w.kind != text || want == 'n' && w.kind != number {
			return false
		}
	}
	return true
}

// run runs a command.
func (c *conn) run(ctx context.Context, words []word) reply {
	if len(words) == 0 || words[0].kind != atom {
		return misunderstood("a command begins with its name")
	}
	name := string(bytes.ToUpper(words[0].text))
	v, known := verbOf(name)
	switch args := words[1:]; {
	case !known:
		return misunderstood("there is no such command")
	case !v.takes(args):
		return misunderstood("these are not the arguments of " + name)
	case v.user && c.user == nil:
		return misunderstood("sign in first")
	default:
		return v.do(c, ctx, args)
	}
}

// done answers a command that a verb of the core was called for.
func (c *conn) done(ctx context.Context, err error, text string) reply {
	if err == nil {
		return ok("", text)
	}
	f := fault.As(err)
	if f == nil || f.Kind == fault.Internal {
		c.log.ErrorContext(ctx, "ManageSieve command failed", "error", err)
		return no("TRYLATER", "an internal error; it was logged as "+c.id)
	}
	return no(codeOf(f.Kind), f.Message)
}

// codeOf is the response code (RFC 5804 section 1.3) of each kind of fault, empty where there is none for it.
func codeOf(k fault.Kind) string {
	switch k {
	case fault.NotFound:
		return "NONEXISTENT"
	case fault.Exists:
		return "ALREADYEXISTS"
	case fault.InUse:
		return "ACTIVE"
	case fault.Limit:
		return "QUOTA/MAXSCRIPTS"
	case fault.TooLarge:
		return "QUOTA/MAXSIZE"
	case fault.OverQuota:
		return "QUOTA"
	case fault.Internal, fault.Temporary, fault.Conflict, fault.DirectoryDown, fault.DirectoryRefusedUs:
		return "TRYLATER"
	case fault.Invalid, fault.Reserved, fault.State, fault.AlreadyRegistered, fault.Unsupported, fault.BadPassword, fault.BadConfiguration,
		fault.Unauthenticated, fault.Denied:
		return ""
	}
	return ""
}

func (c *conn) noop(_ context.Context, args []word) reply {
	if len(args) == 0 {
		return ok("", "NOOP done")
	}
	if !args[0].whole() {
		return misunderstood("the tag is too long")
	}
	return ok("TAG "+string(appendString(nil, args[0].text)), "NOOP done")
}

func (c *conn) logout(context.Context, []word) reply {
	return reply{status: "OK", text: "until next time", last: true}
}

func (c *conn) haveSpace(ctx context.Context, args []word) reply {
	err := c.s.Scripts.HaveSpace(ctx, c.user.Principal, c.user.Mailbox, name(args[0]), args[1].size)
	return c.done(ctx, err, "there is room")
}

func (c *conn) putScript(ctx context.Context, args []word) reply {
	script := args[1]
	if !script.whole() {
		return c.done(ctx, c.s.Scripts.Fits(script.size), "")
	}
	err := c.s.Scripts.Put(ctx, c.user.Principal, c.user.Mailbox, name(args[0]), script.text)
	return c.done(ctx, err, "stored")
}

func (c *conn) checkScript(ctx context.Context, args []word) reply {
	script := args[0]
	if !script.whole() {
		return c.done(ctx, c.s.Scripts.Fits(script.size), "")
	}
	return c.done(ctx, c.s.Scripts.Compile(ctx, script.text), "the script is valid")
}

func (c *conn) listScripts(ctx context.Context, _ []word) reply {
	list, err := c.s.Scripts.List(ctx, c.user.Principal, c.user.Mailbox)
	var b []byte
	for _, s := range list {
		b = appendString(b, s.Name)
		if s.Active {
			b = append(b, " ACTIVE"...)
		}
		b = append(b, "\r\n"...)
	}
	_, _ = c.w.Write(b) // the writer keeps the error until the next read
	return c.done(ctx, err, "these are your scripts")
}

func (c *conn) setActive(ctx context.Context, args []word) reply {
	err := c.s.Scripts.Activate(ctx, c.user.Principal, c.user.Mailbox, name(args[0]))
	return c.done(ctx, err, "from now on")
}

func (c *conn) getScript(ctx context.Context, args []word) reply {
	source, err := c.s.Scripts.Get(ctx, c.user.Principal, c.user.Mailbox, name(args[0]))
	if err == nil { // always as a literal: a script has lines
		b := append(strconv.AppendInt([]byte{'{'}, int64(len(source)), 10), "}\r\n"...)
		_, _ = c.w.Write(append(append(b, source...), "\r\n"...)) // the writer keeps the error until the next read
	}
	return c.done(ctx, err, "this is it")
}

func (c *conn) deleteScript(ctx context.Context, args []word) reply {
	return c.done(ctx, c.s.Scripts.Delete(ctx, c.user.Principal, c.user.Mailbox, name(args[0])), "deleted")
}

func (c *conn) renameScript(ctx context.Context, args []word) reply {
	err := c.s.Scripts.Rename(ctx, c.user.Principal, c.user.Mailbox, name(args[0]), name(args[1]))
	return c.done(ctx, err, "renamed")
}

// name is a script's name as it was said. One that was too long to be kept is as long here, so that the core refuses it.
func name(w word) string {
	if !w.whole() {
		return string(bytes.Repeat([]byte{'x'}, maxLine))
	}
	return string(w.text)
}
