package imap

import (
	"context"
	"strings"

	"github.com/pennypost/pennypost/internal/imap/wire"
)

// result is how a command that was done is answered: OK, a response code without brackets or "", and text, or the
// command's name where it is "".
type result struct{ code, text string }

// run runs a command and answers it. It returns false when the connection is to end.
func (c *conn) run(ctx context.Context, cmd wire.Command) bool {
	if _, out := cmd.Args.(wire.Logout); out {
		c.bye("", "until next time")
		c.w.Status(cmd.Tag, "OK", "", "LOGOUT done")
		return false
	}
	c.touched = touched{}
	var at here
	if c.sel != nil {
		at = here{c.sel.path, c.sel.folder}
	}
	res, err := c.do(ctx, cmd)
	if err == nil || len(c.touched.items) > 0 || c.touched.summaries { // or some of it was done
		c.tellAccess(ctx, cmd.Args, at)
	}
	var after error // what was done stays done, whatever comes of telling the news
	if _, opened := cmd.Args.(wire.Select); c.sel != nil && !opened && !endsConnection(err) {
		after = c.update(ctx, mayExpunge(cmd.Args), isNoop(cmd.Args))
		res.code = c.upTo(res.code, err)
	}
	if err != nil {
		if !c.answerError(ctx, cmd, err) {
			return false
		}
	} else {
		if res.text == "" {
			res.text = cmd.Name + " done"
		}
		c.w.Status(cmd.Tag, "OK", res.code, res.text)
	}
	if after != nil {
		return c.answerNews(ctx, after)
	}
	if _, ok := cmd.Args.(wire.StartTLS); ok && err == nil {
		return c.startTLS(ctx)
	}
	return true
}

// mayExpunge reports whether EXPUNGE may be sent before the command's answer: not where the command names messages by
// sequence number, since the client may have sent several of them (RFC 3501 section 7.4.1, RFC 7162 section 3.2.10.2).
func mayExpunge(args wire.Args) bool {
	switch a := args.(type) {
	case wire.Fetch:
		return a.UID
	case wire.Store:
		return a.UID
	case wire.Search:
		return a.UID && !namesNumbers(&a.Key)
	}
	return true
}

func namesNumbers(k *wire.SearchKey) bool {
	for i := range k.Keys {
		if namesNumbers(&k.Keys[i]) {
			return true
		}
	}
	return k.Op == wire.SearchSeq && !k.Set.Saved
}

// isNoop reports whether the command's very purpose is to hear what is new.
func isNoop(args wire.Args) bool {
	switch args.(type) {
	case wire.Noop, wire.Check, wire.Expunge:
		return true
	}
	return false
}

// do runs a command, if it fits the connection's state.
func (c *conn) do(ctx context.Context, cmd wire.Command) (result, error) {
	switch a := cmd.Args.(type) {
	case wire.Capability:
		c.w.Raw("* CAPABILITY " + c.capabilities())
		c.w.End()
		return result{}, nil
	case wire.Noop:
		return result{}, nil
	case wire.ID:
		return c.identify(ctx, a)
	case wire.StartTLS, wire.Login, wire.Authenticate:
		if c.user != nil {
			return result{}, bad("you are signed in already")
		}
		return c.doBeforeSignIn(ctx, a)
	}
	if c.user == nil {
		if a, ok := cmd.Args.(wire.Append); ok {
			return result{}, c.finish(a, bad("sign in first"))
		}
		return result{}, bad("sign in first")
	}
	if res, ok, err := c.doWithMailbox(ctx, cmd.Args); ok {
		return res, err
	}
	if c.sel == nil {
		return result{}, bad("select a folder first")
	}
	return c.doWithFolder(ctx, cmd.Args)
}

func (c *conn) doBeforeSignIn(ctx context.Context, args wire.Args) (result, error) {
	switch a := args.(type) {
	case wire.Login:
		return c.login(ctx, a)
	case wire.Authenticate:
		return c.authenticate(ctx, a)
	}
	if c.protected || c.s.TLS == nil {
		return result{}, bad("STARTTLS is not offered here")
	}
	return result{text: "begin TLS now"}, nil
}

// doWithMailbox runs the commands of a user who has signed in; ok is false for others.
func (c *conn) doWithMailbox(ctx context.Context, args wire.Args) (res result, ok bool, err error) {
	switch a := args.(type) {
	case wire.Enable:
		res, err = c.enable(a)
	case wire.Namespace:
		c.w.Raw(`* NAMESPACE (("" "/")) NIL NIL`)
		c.w.End()
	case wire.Select:
		res, err = c.selectFolder(ctx, a)
	case wire.Create:
		res, err = c.create(ctx, a)
	case wire.Delete:
		res, err = c.delete(ctx, a)
	case wire.Rename:
		res, err = c.rename(ctx, a)
	case wire.Subscribe:
		res, err = c.subscribe(ctx, a.Mailbox, true)
	case wire.Unsubscribe:
		res, err = c.subscribe(ctx, a.Mailbox, false)
	case wire.List:
		res, err = c.list(ctx, a)
	case wire.Status:
		res, err = c.status(ctx, a)
	case wire.Append:
		res, err = c.append(ctx, a)
	case wire.GetQuota:
		res, err = c.getQuota(ctx, a)
	case wire.GetQuotaRoot:
		res, err = c.getQuotaRoot(ctx, a)
	case wire.SetQuota:
		err = no("NOPERM", "quotas are the administrator's")
	case wire.Idle:
		res, err = c.idle(ctx)
	default:
		return result{}, false, nil
	}
	return res, true, err
}

// doWithFolder runs the commands on the selected folder.
func (c *conn) doWithFolder(ctx context.Context, args wire.Args) (result, error) {
	switch a := args.(type) {
	case wire.Check:
		return result{}, nil
	case wire.Close:
		return c.closeFolder(ctx)
	case wire.Unselect:
		c.unselect()
		return result{}, nil
	case wire.Expunge:
		return c.expunge(ctx, a)
	case wire.Search:
		return c.search(ctx, a)
	case wire.Fetch:
		return c.fetch(ctx, a)
	case wire.Store:
		return c.store(ctx, a)
	case wire.Copy:
		return c.copy(ctx, a)
	case wire.Move:
		return c.move(ctx, a)
	}
	return result{}, bad("the command is not done here")
}

// canonical brings a path to the form in which folders are named: no delimiter at its end.
func canonical(path string) string { return strings.TrimRight(path, "/") }
