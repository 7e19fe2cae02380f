package imap

import (
	"context"
	"strings"

	"github.com/pennypost/pennypost/internal/imap/wire"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// list answers LIST, with the options of RFC 5258, and LSUB.
func (c *conn) list(ctx context.Context, a wire.List) (result, error) {
	if !a.Extended && !a.LSub && a.Patterns[0] == "" { // it asks for the delimiter (RFC 3501 section 6.3.8)
		c.w.Raw(`* LIST (\Noselect) "/" ""`)
		c.w.End()
		return result{}, nil
	}
	all, err := c.s.Mailboxes.Folders(ctx, c.box)
	if err != nil {
		return result{}, err
	}
	l := newListing(a, all)
	for i := range all.Folders {
		if err := ctx.Err(); err != nil { // many patterns on many long names take long
			return result{}, err
		}
		if f := &all.Folders[i]; f.Kind == mailbox.Mail || f.Kind == mailbox.NoItems {
			if err := c.listFolder(ctx, l, f); err != nil {
				return result{}, err
			}
		}
	}
	for _, path := range all.SubscribedOnly {
		c.listMissing(l, path, true)
	}
	for _, path := range l.above {
		c.listMissing(l, path, false)
	}
	return result{}, nil
}

// listing is one LIST or LSUB while it is answered.
type listing struct {
	wire.List
	patterns []*wire.Pattern
	below    map[string]bool // paths with a subscribed folder somewhere below
	hidden   map[string]bool // those of below where such a folder is not listed itself
	above    []string        // those of below where no folder is, and which are not subscribed
}

func newListing(a wire.List, all *mailbox.FolderList) *listing {
	l := &listing{List: a, below: map[string]bool{}, hidden: map[string]bool{}}
	for _, p := range a.Patterns {
		if p != "" || a.LSub {
			l.patterns = append(l.patterns, wire.CompilePattern(a.Reference+p, '/'))
		}
	}
	if !a.LSub && !a.RecursiveMatch {
		return l
	}
	here := map[string]bool{}
	mark := func(path string) {
		markAbove(l.below, path)
		if l.SpecialUse || !l.matches(path) {
			markAbove(l.hidden, path)
		}
	}
	for i := range all.Folders {
		if f := &all.Folders[i]; f.Kind == mailbox.Mail || f.Kind == mailbox.NoItems {
			here[f.Path] = true
			if f.Subscribed {
				mark(f.Path)
			}
		}
	}
	for _, path := range all.SubscribedOnly {
		here[path] = true
		mark(path)
	}
	for path := range l.below {
		if !here[path] {
			l.above = append(l.above, path)
		}
	}
	return l
}

// markAbove adds all paths above path to set.
func markAbove(set map[string]bool, path string) {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if set[path[:i]] {
			break // and so are those above it
		}
		set[path[:i]] = true
	}
}

func (l *listing) matches(path string) bool {
	for _, p := range l.patterns {
		if p.Match(path) {
			return true
		}
	}
	return false
}

// childInfo reports whether a folder that is not selected itself is listed for those below it: by RECURSIVEMATCH, or in
// LSUB by a pattern that ends in "%" (RFC 3501 section 6.3.9). Where all of those are listed themselves, that would say
// nothing new (RFC 5258 section 3.5).
func (l *listing) childInfo(path string) bool {
	return l.hidden[path] && (l.RecursiveMatch || l.LSub && strings.HasSuffix(l.Patterns[0], "%"))
}

// listFolder lists a folder if it is asked for.
func (c *conn) listFolder(ctx context.Context, l *listing, f *mailbox.Folder) error {
	if !l.matches(f.Path) {
		return nil
	}
	selected := true
	if l.Subscribed || l.LSub {
		selected = f.Subscribed
	}
	if l.SpecialUse {
		selected = selected && useAttribute(f.Use) != ""
	}
	if !selected && !l.childInfo(f.Path) {
		return nil
	}
	var attributes []string
	if !f.Selectable() || l.LSub && !selected {
		attributes = append(attributes, `\Noselect`)
	}
	if !l.LSub {
		if f.HasChildren {
			attributes = append(attributes, `\HasChildren`)
		} else {
			attributes = append(attributes, `\HasNoChildren`)
		}
		if f.Subscribed && (l.Subscribed || l.ReturnSubscribed) {
			attributes = append(attributes, `\Subscribed`)
		}
	}
	if attr := useAttribute(f.Use); attr != "" {
		attributes = append(attributes, attr)
	}
	c.listLine(l, attributes, f.Path)
	if l.ReturnStatus != 0 && f.Selectable() && selected {
		return c.tellStatus(ctx, l.ReturnStatus, f)
	}
	return nil
}

// listMissing lists a path where no folder is: one that is subscribed all the same, or one above such.
func (c *conn) listMissing(l *listing, path string, subscribed bool) {
	if !l.LSub && !l.Subscribed || l.SpecialUse || !l.matches(path) || !subscribed && !l.childInfo(path) {
		return
	}
	attributes := []string{`\NonExistent`}
	if l.LSub {
		attributes = []string{`\Noselect`}
	} else if subscribed {
		attributes = append(attributes, `\Subscribed`)
	}
	c.listLine(l, attributes, path)
}

func (c *conn) listLine(l *listing, attributes []string, path string) {
	name := "* LIST ("
	if l.LSub {
		name = "* LSUB ("
	}
	b := append(append(c.w.Buf(), name...), strings.Join(attributes, " ")...)
	b = wire.AppendMailbox(append(b, `) "/" `...), path)
	if l.RecursiveMatch && l.below[path] {
		b = append(b, ` ("CHILDINFO" ("SUBSCRIBED"))`...)
	}
	c.w.SetBuf(append(b, '\r', '\n'))
}

func useAttribute(u mailbox.Use) string {
	for _, known := range uses {
		if known.use == u {
			return known.attr
		}
	}
	return ""
}
