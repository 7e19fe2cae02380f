package imap

import (
	"cmp"
	"slices"

	"github.com/pennypost/pennypost/internal/mailbox"
)

// view is what a session has been told of its folder: the messages by sequence number, and up to which change. What has
// changed since and was not told yet waits in it.
type view struct {
	list    *mailbox.UIDList // the messages the client knows, those that are gone and not yet told of included
	next    mailbox.UID      // messages below it are in list, or were and are gone
	told    mailbox.ModSeq   // changes up to this one are in the view
	whole   mailbox.ModSeq   // changes up to this one, expunges among them, the client has heard of
	gone    mailbox.UIDSet   // in list, but no longer in the folder
	flags   []mailbox.FlagUpdate
	exists  int            // how many messages the client was told there are
	recent  mailbox.UIDSet // the messages that are \Recent in this session
	changes ownChanges
}

// ownChanges are the numbers of changes that this session made and answered: they are no news to its client.
type ownChanges []struct{ first, last mailbox.ModSeq }

func (o *ownChanges) add(updates []mailbox.FlagUpdate) {
	if len(updates) == 0 {
		return
	}
	numbers := make([]mailbox.ModSeq, len(updates))
	for i, u := range updates {
		numbers[i] = u.ModSeq
	}
	slices.Sort(numbers) // above all that were added before: the counter rises
	for _, n := range numbers {
		if k := len(*o); k > 0 && n == (*o)[k-1].last+1 {
			(*o)[k-1].last = n
		} else {
			*o = append(*o, struct{ first, last mailbox.ModSeq }{n, n})
		}
	}
}

func (o ownChanges) has(n mailbox.ModSeq) bool {
	_, ok := slices.BinarySearchFunc(o, n, func(r struct{ first, last mailbox.ModSeq }, n mailbox.ModSeq) int {
		switch {
		case r.last < n:
			return -1
		case r.first > n:
			return 1
		}
		return 0
	})
	return ok
}

// made notes changes that this session made itself and that its client hears of in the command's own responses. Where
// they follow the last change that was told, nothing lies between them: they need not be read again, and made returns true.
func (v *view) made(updates []mailbox.FlagUpdate) bool {
	v.changes.add(updates)
	if len(v.changes) != 1 || v.changes[0].first != v.told+1 {
		return false
	}
	v.told = v.changes[0].last
	v.changes = nil
	return true
}

// take adds what happened after v.told. current returns the folder's messages, for the case that what vanished has been
// forgotten.
func (v *view) take(ch *mailbox.Changes, current func() (*mailbox.UIDList, error)) error {
	if ch.Folder.Highest <= v.told && ch.Folder.UIDNext <= v.next {
		return nil
	}
	vanished := ch.Vanished
	if ch.Forgotten {
		now, err := current()
		if err != nil {
			return err
		}
		vanished = missing(v.list, now)
	}
	var arrived []mailbox.UIDRange
	for _, u := range ch.Changed {
		switch {
		case u.UID >= v.next:
			arrived = append(arrived, mailbox.UIDRange{First: u.UID, Last: u.UID})
		case !v.changes.has(u.ModSeq):
			v.flags = append(v.flags, u)
		}
	}
	if len(arrived) > 0 {
		v.list = v.list.With(mailbox.NewUIDSet(arrived...))
	}
	if left := v.list.Within(vanished); len(left) > 0 {
		v.gone = mailbox.NewUIDSet(append(slices.Clone(v.gone), left...)...)
	}
	v.next = max(v.next, ch.Folder.UIDNext)
	v.told = ch.Folder.Highest
	v.changes = nil
	return nil
}

// missing returns the messages of was that are not in is.
func missing(was, is *mailbox.UIDList) mailbox.UIDSet {
	var out mailbox.UIDSet
	for _, u := range was.All() {
		if _, ok := is.Seq(u); ok {
			continue
		}
		if n := len(out); n > 0 && out[n-1].Last+1 == u {
			out[n-1].Last = u
		} else {
			out = append(out, mailbox.UIDRange{First: u, Last: u})
		}
	}
	return out
}

// takeFlags returns the flag changes that wait, each message once with its newest, and forgets them.
func (v *view) takeFlags() []mailbox.FlagUpdate {
	updates := v.flags
	v.flags = nil
	slices.SortStableFunc(updates, func(a, b mailbox.FlagUpdate) int {
		return cmp.Or(cmp.Compare(a.UID, b.UID), cmp.Compare(b.ModSeq, a.ModSeq))
	})
	return slices.CompactFunc(updates, func(a, b mailbox.FlagUpdate) bool { return a.UID == b.UID })
}

// highest returns the UID that "*" stands for, 0 in an empty folder.
func (v *view) highest() mailbox.UID {
	if n := v.list.Len(); n > 0 {
		return v.list.UID(n)
	}
	return 0
}
