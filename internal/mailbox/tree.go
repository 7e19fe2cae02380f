package mailbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// tree is the folders of a mailbox at one version (mailbox.tree_change): their properties, and counts that may be older
// than the rows. It is immutable.
type tree struct {
	version ModSeq
	list    FolderList // in the order FolderList promises
	byID    map[FolderID]int
	byKey   map[string]int // by pathKey
}

// find returns the folder of the names.
func (t *tree) find(names []string) (Folder, bool) {
	i, ok := t.byKey[pathKey(names)]
	if !ok {
		return Folder{}, false
	}
	return t.list.Folders[i], true
}

// below returns the folders under f, parents before children.
func (t *tree) below(f FolderID) []Folder {
	in := map[FolderID]bool{f: true}
	var out []Folder
	for _, c := range t.list.Folders {
		if in[c.Parent] {
			in[c.ID] = true
			out = append(out, c)
		}
	}
	return out
}

const readTree = `SELECT m.tree_change, ` + folderColumns + ` FROM mailbox m JOIN folder f ON f.mailbox = m.id
WHERE m.id = $1 AND NOT f.gone`

// readFolders reads all folders of a mailbox. Faults: NotFound Mailbox.
func readFolders(ctx context.Context, tx *db.Tx, id ID) (*tree, error) {
	t := &tree{}
	var rows []Folder
	err := tx.Each(ctx, func(row db.Row) error {
		var f Folder
		err := scanFolder(versioned{row, &t.version}, &f)
		rows = append(rows, f)
		return err
	}, readTree, int64(id))
	if err != nil {
		return nil, fmt.Errorf("read the folders of mailbox %s: %w", id, err)
	}
	if len(rows) == 0 {
		return nil, noMailbox(id)
	}
	err = tx.Each(ctx, func(row db.Row) error {
		var path string
		err := row.Scan(&path)
		t.list.SubscribedOnly = append(t.list.SubscribedOnly, path)
		return err
	}, `SELECT path FROM subscription WHERE mailbox = $1 ORDER BY key`, int64(id))
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions of mailbox %s: %w", id, err)
	}
	t.grow(rows)
	return t, nil
}

// versioned scans a row that has the tree's version in front.
type versioned struct {
	row     db.Row
	version *ModSeq
}

func (v versioned) Scan(dest ...any) error {
	return v.row.Scan(append([]any{v.version}, dest...)...)
}

// grow puts the rows into order and gives them their paths.
func (t *tree) grow(rows []Folder) {
	children := map[FolderID][]Folder{}
	for _, f := range rows {
		children[f.Parent] = append(children[f.Parent], f)
	}
	for _, c := range children {
		slices.SortFunc(c, func(a, b Folder) int {
			if (a.ID == InboxID) != (b.ID == InboxID) {
				return cmp.Compare(b2i(b.ID == InboxID), b2i(a.ID == InboxID))
			}
			return strings.Compare(nameKey(a.Name), nameKey(b.Name))
		})
	}
	t.byID, t.byKey = make(map[FolderID]int, len(rows)), make(map[string]int, len(rows))
	var walk func(parent FolderID, above []string)
	walk = func(parent FolderID, above []string) {
		for _, f := range children[parent] {
			names := append(slices.Clone(above), f.Name)
			f.Path = strings.Join(names, Delimiter)
			f.HasChildren = len(children[f.ID]) > 0
			t.byID[f.ID], t.byKey[pathKey(names)] = len(t.list.Folders), len(t.list.Folders)
			t.list.Folders = append(t.list.Folders, f)
			walk(f.ID, names)
		}
	}
	walk(0, nil)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// maxTrees is how many mailboxes' trees are remembered.
const maxTrees = 4096

// trees remembers trees by mailbox, so that a path is resolved without reading all folders. An entry is used only together
// with a row that says it is still the version.
type trees struct {
	mu sync.Mutex
	m  map[ID]*tree
}

func newTrees() *trees { return &trees{m: map[ID]*tree{}} }

func (c *trees) get(id ID) *tree {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.m[id]
}

func (c *trees) put(id ID, t *tree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.m[id]; old != nil && old.version > t.version {
		return
	}
	if len(c.m) >= maxTrees {
		for other := range c.m { // any: the cache only has to stay bounded
			delete(c.m, other)
			break
		}
	}
	c.m[id] = t
}

// Folders returns all folders with their counts. Faults: NotFound Mailbox.
func (s *Store) Folders(ctx context.Context, id ID) (*FolderList, error) {
	var t *tree
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		t, err = readFolders(ctx, tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.trees.put(id, t)
	list := t.list
	list.Folders = slices.Clone(list.Folders)
	return &list, nil
}

const readFolderAndVersion = `SELECT m.tree_change, ` + folderColumns + ` FROM mailbox m JOIN folder f ON f.mailbox = m.id
WHERE m.id = $1 AND f.id = $2 AND NOT f.gone`

// Folder returns the folder of that path as it stands (SELECT and STATUS): usually one row is read. Paths are compared
// without case. Faults: NotFound Mailbox, NotFound Folder, Invalid Folder (a path that can't exist).
func (s *Store) Folder(ctx context.Context, id ID, path string) (Folder, error) {
	names, err := splitPath(path)
	if err != nil {
		return Folder{}, err
	}
	return s.folderBy(ctx, id, func(t *tree) (Folder, error) {
		f, ok := t.find(names)
		if !ok {
			return f, fault.New(fault.NotFound, fault.Folder, "there is no folder %q", path)
		}
		return f, nil
	})
}

// FolderByID is Folder by id. Faults: NotFound Mailbox, NotFound Folder.
func (s *Store) FolderByID(ctx context.Context, id ID, fid FolderID) (Folder, error) {
	return s.folderBy(ctx, id, func(t *tree) (Folder, error) {
		i, ok := t.byID[fid]
		if !ok {
			return Folder{}, noFolder(fid)
		}
		return t.list.Folders[i], nil
	})
}

// FolderByUse returns the folder of a special use. Faults: NotFound Mailbox, NotFound Folder.
func (s *Store) FolderByUse(ctx context.Context, id ID, use Use) (Folder, error) {
	return s.folderBy(ctx, id, func(t *tree) (Folder, error) {
		i := slices.IndexFunc(t.list.Folders, func(f Folder) bool { return f.Use == use })
		if i < 0 || use == NoUse {
			return Folder{}, fault.New(fault.NotFound, fault.Folder, "the mailbox has no folder of that use")
		}
		return t.list.Folders[i], nil
	})
}

// folderBy picks a folder from the remembered tree and reads its row; if the tree is no longer the version, or says there is
// no such folder, it reads all folders.
func (s *Store) folderBy(ctx context.Context, id ID, pick func(*tree) (Folder, error)) (f Folder, err error) {
	var fresh *tree
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		if t := s.trees.get(id); t != nil {
			if known, err := pick(t); err == nil {
				f = Folder{}
				var version ModSeq
				err := scanFolder(versioned{tx.QueryRow(ctx, readFolderAndVersion, int64(id), int64(known.ID)), &version}, &f)
				if err == nil && version == t.version {
					f.Path, f.HasChildren = known.Path, known.HasChildren
					return nil
				}
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return fmt.Errorf("read folder %d of mailbox %s: %w", known.ID, id, err)
				}
			}
		}
		var err error
		if fresh, err = readFolders(ctx, tx, id); err != nil {
			return err
		}
		f, err = pick(fresh)
		return err
	})
	if fresh != nil {
		s.trees.put(id, fresh)
	}
	return f, err
}
