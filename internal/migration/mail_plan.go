package migration

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/principal"
)

// MailPlan asks where the folders of a source lead. They are all that the source has.
type MailPlan struct {
	Mailbox int64          `json:"mailbox"`
	Source  string         `json:"source"`
	Folders []SourceFolder `json:"folders"`
	// Dry makes no folder and remembers nothing.
	Dry bool `json:"dry"`
}

// PlannedFolder is where a folder of a source leads, and how far its import came.
type PlannedFolder struct {
	Path string `json:"path"`
	// Reason says why its messages can't be taken, Note what is different here. Both may be empty.
	Reason string `json:"reason,omitempty"`
	Note   string `json:"note,omitempty"`
	// Key names the folder in what follows; 0 where it is not read.
	Key int64 `json:"key"`
	// UIDNext and ModSeq are the source's when all of it was here, or 0. Known messages came from it.
	UIDNext uint32 `json:"uidNext"`
	ModSeq  uint64 `json:"modSeq"`
	Known   int64  `json:"known"`
	// Renumbered says that messages are to be found again by Renumber and Settle, before all else.
	Renumbered bool `json:"renumbered"`
}

// GoneFolder is a folder that the source had.
type GoneFolder struct {
	Key  int64  `json:"key"`
	Name string `json:"name"`
	Path string `json:"path"`
}

// CameFrom is a part of what came from a source: the messages of a folder under one UIDVALIDITY.
type CameFrom struct {
	Key int64 `json:"key"` // for Came
	// Folder is the index of the folder where they are now, -1 where the source has it no more.
	Folder int `json:"folder"`
	// Renumbered ones have other UIDs there than those that are known.
	Renumbered bool `json:"renumbered"`
}

// MailPlanned answers MailPlan, in the order of its folders.
type MailPlanned struct {
	Folders []PlannedFolder `json:"folders"`
	// Came is all that came from the source, but for its folders that are not read now.
	Came []CameFrom `json:"came"`
	// Gone are to be given to Settle.
	Gone []GoneFolder `json:"gone"`
}

// maxPlanned bounds the folders of a source.
const maxPlanned = 10_000

// Plan makes the folders of a source here, where they are missing, and says where each leads. What the source calls special leads
// to the mailbox's own folders. A folder that has a new name at the source gets it here too, unless it was renamed here. Faults:
// NotFound and State Mailbox, Limit Folder.
func (m *Mail) Plan(ctx context.Context, p principal.Principal, r MailPlan) (out MailPlanned, err error) {
	if err := mayImport(p); err != nil {
		return out, err
	}
	if len(r.Folders) > maxPlanned {
		return out, fault.New(fault.Limit, fault.Folder, "the source has %d folders; at most %d are taken", len(r.Folders), maxPlanned)
	}
	rows, err := m.foldersOf(ctx, mailbox.ID(r.Mailbox), r.Source)
	if err != nil {
		return out, err
	}
	w := planning{Mail: m, id: mailbox.ID(r.Mailbox), source: r.Source, dry: r.Dry, rows: rows, all: r.Folders, to: targets(r.Folders)}
	out.Folders = make([]PlannedFolder, len(r.Folders))
	order := make([]int, len(r.Folders))
	for i := range order {
		order[i] = i
	}
	// What lies above comes first.
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(r.Folders[a].Path), len(r.Folders[b].Path)) })
	w.compare()
	out.Came = w.came()
	for _, i := range order {
		if out.Folders[i], err = w.place(ctx, i); err != nil {
			return out, err
		}
	}
	for _, f := range w.gone {
		out.Gone = append(out.Gone, GoneFolder{f.key, f.name, f.path})
	}
	// What lies below goes first.
	slices.SortStableFunc(out.Gone, func(a, b GoneFolder) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	return out, nil
}

// planning is one call of Plan.
type planning struct {
	*Mail
	id     mailbox.ID
	source string
	dry    bool
	all    []SourceFolder
	to     []target
	rows   []folderRow

	current map[string]folderRow // by the source's name
	gone    []folderRow          // current ones that the source does not list any more
	renamed map[int]folderRow    // what a folder was before
}

// compare finds which folders of the source are known, which are gone, and which seem to have another name now: the only new one with
// the UIDVALIDITY of the only one that is gone. Whether it holds the same messages is not taken for granted: they are found again
// one by one.
func (w *planning) compare() {
	w.current, w.renamed = map[string]folderRow{}, map[int]folderRow{}
	followed := map[int64]bool{}
	for _, r := range w.rows {
		followed[r.previous] = true
	}
	for _, r := range w.rows {
		if !followed[r.key] {
			w.current[r.name] = r
		}
	}
	listed := map[string]bool{}
	fresh := map[uint32][]int{}
	for i, f := range w.all {
		listed[f.Name] = true
		if _, known := w.current[f.Name]; !known && !f.NoSelect && !f.Unread && w.to[i].reason == "" && mailbox.DefaultPath(w.to[i].use) == "" {
			fresh[f.UIDValidity] = append(fresh[f.UIDValidity], i)
		}
	}
	lost := map[uint32][]folderRow{}
	for _, r := range w.rows {
		if !followed[r.key] && !listed[r.name] {
			lost[r.uidvalidity] = append(lost[r.uidvalidity], r)
		}
	}
	for _, r := range w.rows {
		if followed[r.key] || listed[r.name] {
			continue
		}
		if new := fresh[r.uidvalidity]; len(new) == 1 && len(lost[r.uidvalidity]) == 1 {
			w.renamed[new[0]] = r
		} else {
			w.gone = append(w.gone, r)
		}
	}
}

// came lists what came from the source, but for its folders that are not read now.
func (w *planning) came() (all []CameFrom) {
	at := map[string]int{}
	for i, f := range w.all {
		at[f.Name] = i
	}
	for i, r := range w.renamed {
		at[r.name] = i
	}
	next := map[int64]folderRow{}
	for _, r := range w.rows {
		next[r.previous] = r
	}
	for _, r := range w.rows {
		newest := r
		for n, ok := next[newest.key]; ok; n, ok = next[newest.key] {
			newest = n
		}
		i, ok := at[newest.name]
		if !ok {
			all = append(all, CameFrom{Key: r.key, Folder: -1})
			continue
		}
		if f := w.all[i]; !f.NoSelect && !f.Unread && w.to[i].reason == "" {
			all = append(all, CameFrom{r.key, i, f.Name != r.name || f.UIDValidity != r.uidvalidity || r.key != newest.key})
		}
	}
	return all
}

// place says where one folder leads, and makes it.
func (w *planning) place(ctx context.Context, i int) (PlannedFolder, error) {
	f, t := w.all[i], w.to[i]
	out := PlannedFolder{Path: t.path, Reason: t.reason, Note: t.note}
	if t.reason != "" {
		return out, nil
	}
	row, known := w.current[f.Name]
	before, renamed := w.renamed[i]
	if w.dry {
		switch {
		case known && row.uidvalidity == f.UIDValidity:
			return w.progress(ctx, out, row)
		case known:
			out.Known, out.Renumbered = 0, true
		}
		return out, nil
	}
	if f.NoSelect {
		return out, w.name(ctx, i, &out)
	}
	if f.Unread {
		return out, nil
	}
	was := row // whose folder here is to be this one's
	if !known && renamed {
		was = before
		if err := w.follow(ctx, before, t.path); err != nil {
			return out, err
		}
	}
	here, err := w.find(ctx, was, t)
	if fault.Is(err, fault.Invalid, fault.Folder) || fault.Is(err, fault.Limit, fault.Folder) || fault.Is(err, fault.InUse, fault.Folder) {
		out.Reason = err.Error()
		return out, nil
	}
	if err != nil {
		return out, err
	}
	out.Path = here.Path
	if was.key == 0 && f.Subscribed && !here.Subscribed {
		if err := w.Mailboxes.Subscribe(ctx, w.id, here.Path, true); err != nil {
			return out, err
		}
	}
	if known && row.uidvalidity == f.UIDValidity && row.folder == here.ID {
		return w.progress(ctx, out, row)
	}
	next := folderRow{key: id.Key(), mailbox: w.id, name: f.Name, uidvalidity: f.UIDValidity, folder: here.ID, path: t.path, previous: was.key}
	save := insertTx
	if known && row.uidvalidity == f.UIDValidity {
		next, save = row, updateTx
		next.folder = here.ID
	}
	if err = w.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return save(ctx, tx, w.source, &next) }); err != nil {
		return out, err
	}
	return w.progress(ctx, out, next)
}

func updateTx(ctx context.Context, tx *db.Tx, _ string, f *folderRow) error {
	if _, err := tx.Exec(ctx, `UPDATE import_folder SET folder = $2 WHERE key = $1`, f.key, int64(f.folder)); err != nil {
		return fmt.Errorf("remember the import of a folder: %w", err)
	}
	return nil
}

func insertTx(ctx context.Context, tx *db.Tx, source string, f *folderRow) error {
	_, err := tx.Exec(ctx, `INSERT INTO import_folder (key, mailbox, source, name, uidvalidity, uidnext, modseq, folder, path, previous)
VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7, $8)`, f.key, int64(f.mailbox), source, f.name, int64(f.uidvalidity), int64(f.folder), f.path, f.previous)
	if db.IsUnique(err) {
		return anotherRuns()
	}
	if err != nil {
		return fmt.Errorf("remember the import of a folder: %w", err)
	}
	return nil
}

// anotherRuns says that two runs met.
func anotherRuns() error {
	return fault.New(fault.Conflict, fault.Mailbox, "another import of the same mailbox runs: wait for its end and run again")
}

// progress adds how far the import of a folder came.
func (w *planning) progress(ctx context.Context, out PlannedFolder, f folderRow) (PlannedFolder, error) {
	out.Key, out.UIDNext, out.ModSeq, out.Renumbered = f.key, uint32(f.uidnext), uint64(f.modseq), f.previous != 0
	err := w.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		out.Known, err = countTx(ctx, tx, f.key)
		return err
	})
	return out, err
}

func countTx(ctx context.Context, tx *db.Tx, folder int64) (n int64, err error) {
	if err := tx.QueryRow(ctx, `SELECT COUNT(*) FROM import_item WHERE folder = $1`, folder).Scan(&n); err != nil {
		return 0, fmt.Errorf("count what was imported: %w", err)
	}
	return n, nil
}

// find returns the folder here, made where it is missing: the one that messages went to before, if it is still there.
func (w *planning) find(ctx context.Context, was folderRow, t target) (mailbox.Folder, error) {
	if was.key != 0 {
		f, err := w.Mailboxes.FolderByID(ctx, w.id, was.folder)
		if !fault.Is(err, fault.NotFound, fault.Folder) {
			return f, err
		}
	}
	if mailbox.DefaultPath(t.use) != "" {
		return w.Mailboxes.FolderByUse(ctx, w.id, t.use)
	}
	f, err := w.Mailboxes.Folder(ctx, w.id, t.path)
	if err == nil && f.Selectable() || err != nil && !fault.Is(err, fault.NotFound, fault.Folder) {
		return f, err
	}
	if f, err = w.Mailboxes.CreateFolder(ctx, w.id, t.path, mailbox.Mail, t.use); fault.Is(err, fault.InUse, fault.Folder) {
		f, err = w.Mailboxes.CreateFolder(ctx, w.id, t.path, mailbox.Mail, mailbox.NoUse)
	}
	if fault.Is(err, fault.Exists, fault.Folder) { // made just now, for another account that goes to this mailbox
		return w.Mailboxes.Folder(ctx, w.id, t.path)
	}
	return f, err
}

// name makes a name that holds no messages, if something lies below it: names above others come by themselves, but as folders.
func (w *planning) name(ctx context.Context, i int, out *PlannedFolder) error {
	above := strings.Join(w.all[i].Path, pathSeparator) + pathSeparator
	if !slices.ContainsFunc(w.all, func(f SourceFolder) bool {
		return strings.HasPrefix(strings.Join(f.Path, pathSeparator), above)
	}) {
		return nil
	}
	_, err := w.Mailboxes.CreateFolder(ctx, w.id, out.Path, mailbox.NoItems, mailbox.NoUse)
	if f := fault.As(err); f != nil && f.Subject == fault.Folder {
		if f.Kind != fault.Exists {
			out.Reason = f.Error()
		}
		return nil
	}
	return err
}

// follow gives a folder here the name that its source has now, unless somebody gave it another one here.
func (w *planning) follow(ctx context.Context, was folderRow, path string) error {
	f, err := w.Mailboxes.FolderByID(ctx, w.id, was.folder)
	if err == nil && f.Path == was.path && !f.Default {
		err = w.Mailboxes.RenameFolder(ctx, w.id, f.Path, path)
	}
	if f := fault.As(err); f != nil && f.Subject == fault.Folder {
		return nil // it keeps its name
	}
	return err
}
