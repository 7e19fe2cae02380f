package imapsource

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/pennypost/pennypost/internal/migration"
)

// listed is a folder of the source, and its numbers.
type listed struct {
	migration.SourceFolder
	status imap.StatusData
	size   int64
	refuse string // why its numbers are not known
}

func (l *listed) messages() int64 {
	if l.status.NumMessages == nil {
		return 0
	}
	return int64(*l.status.NumMessages)
}

// maxListed bounds the folders of an account.
const maxListed = 20_000

// list asks for all folders and their numbers.
func (t *task) list(context.Context) error {
	t.c.names()
	var spaces imap.NamespaceData
	if t.c.caps.Has(imap.CapNamespace) {
		data, err := t.c.client.Namespace().Wait()
		if err != nil {
			return judge("ask for namespaces", err)
		}
		spaces = *data
	}
	var options *imap.ListOptions
	extended := t.c.caps.Has(imap.CapListExtended)
	if extended {
		options = &imap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: t.c.caps.Has(imap.CapSpecialUse)}
	}
	folders, err := t.c.client.List("", "*", options).Collect()
	if err != nil {
		return judge("list folders", err)
	}
	t.listed = nil
	seen := map[string]bool{}
	for _, f := range folders {
		if seen[f.Mailbox] {
			continue
		}
		seen[f.Mailbox] = true
		if foreign(f.Mailbox, append(slices.Clone(spaces.Other), spaces.Shared...)) {
			t.report.note("%s is shared by others and is left to them", printable(f.Mailbox))
			continue
		}
		if len(t.listed) == maxListed {
			t.report.note("the source lists more than %d folders: the others are left out", maxListed)
			break
		}
		t.listed = append(t.listed, listed{SourceFolder: t.c.folder(f, spaces.Personal, extended)})
	}
	t.reached()
	return t.numbers()
}

// foreign reports whether a name lies in a namespace of others.
func foreign(name string, spaces []imap.NamespaceDescriptor) bool {
	return slices.ContainsFunc(spaces, func(n imap.NamespaceDescriptor) bool {
		return n.Prefix != "" && (strings.HasPrefix(name, n.Prefix) || n.Delim != 0 && name == strings.TrimSuffix(n.Prefix, string(n.Delim)))
	})
}

// folder turns an answer to LIST into what the core plans with.
func (c *conn) folder(f *imap.ListData, personal []imap.NamespaceDescriptor, extended bool) migration.SourceFolder {
	out := migration.SourceFolder{Name: f.Mailbox}
	rest := f.Mailbox
	for _, n := range personal {
		if after, ok := strings.CutPrefix(rest, n.Prefix); ok && n.Prefix != "" && after != "" {
			rest = after
			break
		}
	}
	out.Path = []string{rest}
	if f.Delim != 0 {
		out.Path = strings.Split(rest, string(f.Delim))
	}
	// Who can't ask for subscriptions shows all folders.
	out.Subscribed = !extended || slices.Contains(f.Attrs, imap.MailboxAttrSubscribed)
	for _, a := range f.Attrs {
		switch a {
		case imap.MailboxAttrNoSelect, imap.MailboxAttrNonExistent:
			out.NoSelect = true
		case imap.MailboxAttrAll, imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrFlagged, imap.MailboxAttrJunk,
			imap.MailboxAttrSent, imap.MailboxAttrTrash, imap.MailboxAttrImportant:
			out.Use = string(a)
		}
	}
	return out
}

// askedAtOnce is how many folders are asked for their numbers at a time.
const askedAtOnce = 50

// numbers asks for the numbers of all folders.
func (t *task) numbers() error {
	items := &imap.StatusOptions{
		NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: t.c.caps.Has(imap.CapCondStore),
		Size: t.o.DryRun && t.c.caps.Has(imap.CapStatusSize),
	}
	for chunk := range slices.Chunk(t.listed, askedAtOnce) {
		asked := make([]*imapclient.StatusCommand, len(chunk))
		for i := range chunk {
			if !chunk[i].NoSelect {
				asked[i] = t.c.client.Status(chunk[i].Name, items)
			}
		}
		for i, cmd := range asked {
			if cmd == nil {
				continue
			}
			f := &chunk[i]
			data, err := cmd.Wait()
			if err = judge("ask for its numbers", err); err != nil {
				if _, refused := err.(refusedError); !refused {
					return err
				}
				f.Unread, f.refuse = true, err.Error()
				continue
			}
			if f.status = *data; data.UIDValidity == 0 {
				f.Unread, f.refuse = true, "the source does not say its numbers"
			}
			if f.UIDValidity = data.UIDValidity; data.Size != nil {
				f.size = *data.Size
			}
		}
	}
	t.reached()
	return nil
}
