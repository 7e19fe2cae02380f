package sieve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

func (r *run) mailboxExists(ctx context.Context, n *node) (bool, error) {
	for _, name := range r.expandAll(n.args[0]) {
		if ok, err := r.hasMailbox(ctx, n, name); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// hasMailbox asks for one mailbox. It counts as much as a hundred comparisons: the answer may come from a database.
func (r *run) hasMailbox(ctx context.Context, n *node, name string) (bool, error) {
	if err := r.spend(n, 100*bytesPerStep); err != nil || checkMailbox(name) != nil {
		return false, err
	}
	if r.env.Exists == nil {
		return isInbox(name), nil
	}
	return r.env.Exists(ctx, name)
}

// checkUse says what is wrong with a special use, a flag that begins with a backslash (RFC 6154).
func checkUse(s string) error {
	if name, ok := strings.CutPrefix(s, `\`); !ok || !isKeyword(name) {
		return fmt.Errorf(`%s is no special use: write it like "\\Junk", with two backslashes`, show(s))
	}
	return nil
}

func checkUses(_ *compiler, n *node) error { return n.args[len(n.args)-1].constants(checkUse) }

func (r *run) specialUseExists(ctx context.Context, n *node) (bool, error) {
	if r.env.Uses == nil {
		return false, nil
	}
	uses := r.expandAll(n.args[len(n.args)-1])
	for _, use := range uses {
		if checkUse(use) != nil {
			return false, nil
		}
	}
	if len(n.args) == 2 {
		name := r.expand(&n.args[0].texts[0])
		if ok, err := r.hasMailbox(ctx, n, name); !ok || err != nil {
			return false, err
		}
		return r.env.Uses(ctx, name, uses)
	}
	for _, use := range uses {
		if err := r.spend(n, 100*bytesPerStep); err != nil {
			return false, err
		}
		if ok, err := r.env.Uses(ctx, "", []string{use}); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// The time for which a message's id is remembered, in seconds.
const (
	usualMemory   = 7 * day
	longestMemory = 90 * day
)

// maxDuplicates is how many tests of that name a run takes: each may have a row written.
const maxDuplicates = 16

// duplicate is RFC 7352.
func (r *run) duplicate(ctx context.Context, n *node) (bool, error) {
	id := r.tagText(n, "uniqueid")
	if !n.has("uniqueid") {
		name := "message-id"
		if n.has("header") {
			name = r.tagText(n, "header")
		}
		fields, err := r.fields(n, name)
		if len(fields) == 0 || err != nil {
			return false, err
		}
		id = fields[0].read()
	}
	seconds := int64(usualMemory)
	if v, ok := n.tags["seconds"]; ok {
		if seconds = min(v.number, longestMemory); seconds == 0 {
			return false, nil
		}
	}
	handle := r.tagText(n, "handle")
	if err := r.spend(n, 100*bytesPerStep+8*(len(handle)+len(id))); err != nil {
		return false, err
	}
	if r.duplicates++; r.duplicates > maxDuplicates {
		return false, n.at.errorf(`the script takes more than %d tests "duplicate" on this message`, maxDuplicates)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s%s", len(handle), handle, id))
	d := Duplicate{ID: hex.EncodeToString(sum[:]), Until: r.env.Now.Add(time.Duration(seconds) * time.Second)}
	seen := false
	if r.env.Seen != nil {
		var err error
		if seen, err = r.env.Seen(ctx, d.ID); err != nil {
			return false, err
		}
	}
	if !seen || n.has("last") {
		r.remember(d)
	}
	return seen, nil
}

// remember notes an id, once.
func (r *run) remember(d Duplicate) {
	for i := range r.result.Duplicates {
		if r.result.Duplicates[i].ID == d.ID {
			r.result.Duplicates[i] = d
			return
		}
	}
	r.result.Duplicates = append(r.result.Duplicates, d)
}

// environmentTest is RFC 5183.
func (r *run) environmentTest(_ context.Context, n *node) (bool, error) {
	name := lower(r.expand(&n.args[0].texts[0]))
	value, ok := map[string]string{"name": "Pennypost", "location": "MDA", "phase": "during"}[name]
	if !ok {
		value, ok = r.env.Items[name]
	}
	if !ok {
		return false, nil
	}
	return r.compare(n, []string{value}, 1, n.args[1], true)
}
