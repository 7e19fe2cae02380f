package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// paths lists the paths of a mailbox's folders, with a star for subscribed ones and an n for names without items.
func (r *rig) paths(id ID) (out []string) {
	r.t.Helper()
	list, err := r.Folders(context.Background(), id)
	r.ok(err)
	for _, f := range list.Folders {
		p := f.Path
		if f.Subscribed {
			p += "*"
		}
		if !f.Selectable() {
			p += "(n)"
		}
		out = append(out, p)
	}
	for _, p := range list.SubscribedOnly {
		out = append(out, p+"?")
	}
	return out
}

func (r *rig) wantPaths(id ID, want ...string) {
	r.t.Helper()
	if got := r.paths(id); !slices.Equal(got, want) {
		r.t.Errorf("folders are\n%q, want\n%q", got, want)
	}
}

func TestANewMailboxHasItsFolders(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.wantPaths(id, "INBOX*", "Deleted Items*", "Drafts*", "Junk E-mail*", "Sent Items*")
		for use, path := range map[Use]string{Inbox: "INBOX", Drafts: "Drafts", Sent: "Sent Items", Trash: "Deleted Items", JunkMail: "Junk E-mail"} {
			f, err := r.FolderByUse(ctx, id, use)
			if err != nil || f.Path != path || !f.Default || f.UIDValidity == 0 || f.UIDNext != 1 || f.Highest < 1 {
				t.Errorf("use %d is folder %+v: %v", use, f, err)
			}
		}
		_, err := r.FolderByUse(ctx, id, Archive)
		wantFault(t, err, fault.NotFound, fault.Folder)
		_, err = r.FolderByUse(ctx, id, NoUse)
		wantFault(t, err, fault.NotFound, fault.Folder)
		_, err = r.Folders(ctx, 999)
		wantFault(t, err, fault.NotFound, fault.Mailbox)
		_, err = r.Folder(ctx, 999, "INBOX")
		wantFault(t, err, fault.NotFound, fault.Mailbox)
	})
}

func TestNamesAreComparedWithoutCase(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.folder(id, "Straße/Ärger")
		for _, path := range []string{"STRASSE/ärger", "straße/A\u0308rger"} {
			if f, err := r.Folder(ctx, id, path); err != nil || f.Path != "Straße/Ärger" {
				t.Errorf("Folder(%q) is %q: %v", path, f.Path, err)
			}
			_, err := r.CreateFolder(ctx, id, path, Mail, NoUse)
			wantFault(t, err, fault.Exists, fault.Folder)
		}
		if f, err := r.Folder(ctx, id, "iNbOx"); err != nil || f.Path != "INBOX" {
			t.Errorf("iNbOx is %q: %v", f.Path, err)
		}
		if f := r.folder(id, "inbox/x"); f.Path != "INBOX/x" || f.Parent != InboxID {
			t.Errorf("a folder below inbox is %+v", f)
		}
		r.ok(r.RenameFolder(ctx, id, "strasse", "STRASSE")) // only its case
		r.wantPaths(id, "INBOX*", "INBOX/x", "Deleted Items*", "Drafts*", "Junk E-mail*", "Sent Items*", "STRASSE", "STRASSE/Ärger")
	})
}

func TestBadNamesAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		for name, path := range map[string]string{
			"empty":                "",
			"an empty name in it":  "a//b",
			"a delimiter in front": "/a",
			"a delimiter behind":   "a/",
			"blanks":               "a/ \t",
			"a NUL":                "a\x00b",
			"a line end":           "a\nb",
			"DEL":                  "a\x7f",
			"a C1 control":         "a\u0085b",
			"a line separator":     "a\u2028b",
			"no UTF-8":             "a\xff",
			"a long name":          strings.Repeat("x", MaxNameLength+1),
			"a long path":          strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 200)+"/", 6), "/"),
			"a deep path":          strings.TrimSuffix(strings.Repeat("x/", MaxDepth+1), "/"),
		} {
			t.Run(name, func(t *testing.T) {
				_, err := r.CreateFolder(ctx, id, path, Mail, NoUse)
				wantFault(t, err, fault.Invalid, fault.Folder)
				wantFault(t, r.RenameFolder(ctx, id, "Drafts", path), fault.Invalid, fault.Folder)
				wantFault(t, r.Subscribe(ctx, id, path, true), fault.Invalid, fault.Folder)
				_, err = r.Folder(ctx, id, path)
				wantFault(t, err, fault.Invalid, fault.Folder)
			})
		}
		r.folder(id, strings.Repeat("x", MaxNameLength))
		r.folder(id, strings.TrimSuffix(strings.Repeat("x/", MaxDepth), "/"))
		// What lies below must still fit after a rename.
		r.folder(id, strings.TrimSuffix(strings.Repeat("y/", MaxDepth-1), "/"))
		wantFault(t, r.RenameFolder(ctx, id, "y", "z/z/z"), fault.Invalid, fault.Folder)
	})
}

func TestTheNumberOfFoldersIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		r.folder(id, "one/two")
		_, err := r.CreateFolder(ctx, id, "three", Mail, NoUse)
		wantFault(t, err, fault.Limit, fault.Folder)
		wantFault(t, r.RenameFolder(ctx, id, "one", "up/one"), fault.Limit, fault.Folder)
		r.ok(r.DeleteFolder(ctx, id, "one/two", false))
		r.folder(id, "three")
		for i := range 7 {
			r.ok(r.Subscribe(ctx, id, fmt.Sprint("nothing ", i), true))
		}
		wantFault(t, r.Subscribe(ctx, id, "too much", true), fault.Limit, fault.Folder)
	}, func(o *Options) { o.MaxFolders = 7 })
}

func TestSpecialUseIsUnique(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		f, err := r.CreateFolder(ctx, id, "Old", Mail, Archive)
		if err != nil || f.Use != Archive {
			t.Fatalf("CreateFolder: %+v, %v", f, err)
		}
		_, err = r.CreateFolder(ctx, id, "Older", Mail, Archive)
		wantFault(t, err, fault.InUse, fault.Folder)
		r.ok(r.DeleteFolder(ctx, id, "Old", false))
		_, err = r.CreateFolder(ctx, id, "Older", Mail, Archive)
		r.ok(err)
	})
}

func TestDefaultFoldersStay(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		for _, path := range []string{"INBOX", "Drafts", "sent items", "Deleted Items", "Junk E-mail"} {
			wantFault(t, r.DeleteFolder(ctx, id, path, true), fault.Unsupported, fault.Folder)
		}
		wantFault(t, r.RenameFolder(ctx, id, "Drafts", "x"), fault.Unsupported, fault.Folder)
	})
}

func TestSubscriptionsOutliveFolders(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		rest := []string{"INBOX*", "Deleted Items*", "Drafts*", "Junk E-mail*", "Sent Items*"}
		r.ok(r.Subscribe(ctx, id, "later/On", true))
		r.ok(r.Subscribe(ctx, id, "LATER/on", true)) // once is enough
		r.wantPaths(id, append(slices.Clone(rest), "later/On?")...)
		r.folder(id, "later/on")
		r.wantPaths(id, "INBOX*", "Deleted Items*", "Drafts*", "Junk E-mail*", "later", "later/on*", "Sent Items*")
		r.ok(r.RenameFolder(ctx, id, "later/on", "soon"))
		r.wantPaths(id, append(slices.Clone(rest[:4]), "later", "Sent Items*", "soon*")...)
		r.ok(r.DeleteFolder(ctx, id, "soon", false))
		r.ok(r.DeleteFolder(ctx, id, "later", false))
		r.wantPaths(id, append(slices.Clone(rest), "soon?")...)
		r.ok(r.Subscribe(ctx, id, "SOON", false))
		r.ok(r.Subscribe(ctx, id, "SOON", false))
		r.ok(r.Subscribe(ctx, id, "drafts", false))
		r.wantPaths(id, "INBOX*", "Deleted Items*", "Drafts", "Junk E-mail*", "Sent Items*")
	})
}

// RFC 3501 sections 6.3.4 and 2.3.1.1.
func TestAFolderMadeAnewIsAnother(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		old := r.folder(id, "x")
		r.put(id, old.ID, "one", 0)
		r.ok(r.DeleteFolder(ctx, id, "x", false))
		_, err := r.FolderByID(ctx, id, old.ID)
		wantFault(t, err, fault.NotFound, fault.Folder)
		_, err = r.UIDList(ctx, id, &old)
		wantFault(t, err, fault.NotFound, fault.Folder)
		again := r.folder(id, "x")
		if again.ID == old.ID || again.UIDValidity <= old.UIDValidity || again.Messages != 0 {
			t.Errorf("the folder made anew is %+v, the old one was %+v", again, old)
		}
		// A name without items that becomes a folder again.
		r.folder(id, "x/below")
		r.ok(r.DeleteFolder(ctx, id, "x", false))
		r.wantPaths(id, "INBOX*", "Deleted Items*", "Drafts*", "Junk E-mail*", "Sent Items*", "x(n)", "x/below")
		wantFault(t, r.DeleteFolder(ctx, id, "x", false), fault.InUse, fault.Folder)
		third := r.folder(id, "x")
		if third.UIDValidity <= again.UIDValidity {
			t.Errorf("UIDVALIDITY %d after %d", third.UIDValidity, again.UIDValidity)
		}
		r.put(id, third.ID, "in it", 0)
		r.ok(r.DeleteFolder(ctx, id, "x", true))
		r.wantPaths(id, "INBOX*", "Deleted Items*", "Drafts*", "Junk E-mail*", "Sent Items*")
		if d, err := r.Details(ctx, id); err != nil || d.Bytes != 0 {
			t.Errorf("mailbox holds %d bytes after all was deleted: %v", d.Bytes, err)
		}
	})
}

func TestADeletionThatACrashCutShortIsFinished(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		id := r.mailbox("a")
		f := r.folder(id, "x")
		for i := range 5 {
			r.put(id, f.ID, fmt.Sprint(i), 0)
		}
		// The first transaction of DeleteFolder alone.
		r.ok(r.changeTree(ctx, id, func(ctx context.Context, tx *db.Tx, w *forest) error {
			x, _ := w.find([]string{"x"})
			return w.bury(ctx, tx, x)
		}))
		r.check()
		if n := r.count("SELECT COUNT(*) FROM item"); n != 5 {
			t.Fatalf("%d items before the sweep", n)
		}
		for more := true; more; {
			var err error
			more, err = r.Sweep(ctx)
			r.ok(err)
		}
		if n := r.count("SELECT COUNT(*) FROM body"); n != 0 {
			t.Errorf("%d bodies of a deleted folder are left", n)
		}
	})
}
