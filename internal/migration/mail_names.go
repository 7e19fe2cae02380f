package migration

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// SourceFolder is a folder as the source lists it.
type SourceFolder struct {
	Name string   `json:"name"` // the source's own, whole
	Path []string `json:"path"` // its parts, without the prefix that all folders of the user have
	// Use is its special use (RFC 6154), "\Sent" for example, or empty.
	Use string `json:"use,omitempty"`
	// NoSelect is a name that holds no messages.
	NoSelect    bool   `json:"noSelect,omitempty"`
	Subscribed  bool   `json:"subscribed,omitempty"`
	UIDValidity uint32 `json:"uidValidity"`
	// Unread says that what is in the folder could not be asked for: it is known to be there, and no more.
	Unread bool `json:"unread,omitempty"`
}

// target is where a source's folder leads.
type target struct {
	use  mailbox.Use // of one of the mailbox's own folders
	path string      // of another one
	// reason says why there can be none, and note what is different here.
	reason, note string
}

var usesByAttribute = lazy.Value[map[string]mailbox.Use]{Make: func() map[string]mailbox.Use {
	return map[string]mailbox.Use{
		`\drafts`: mailbox.Drafts, `\sent`: mailbox.Sent, `\trash`: mailbox.Trash, `\junk`: mailbox.JunkMail, `\archive`: mailbox.Archive,
	}
}}

// usesByName are the names of folders at the top that are taken for special ones where the source says nothing of them: WorkMail's
// and those of common clients. Where several are there, the first stands for the use.
var usesByName = []struct {
	use   mailbox.Use
	names []string
}{
	{mailbox.Sent, []string{"sent items", "sent", "sent messages", "sent mail"}},
	{mailbox.Drafts, []string{"drafts"}},
	{mailbox.Trash, []string{"deleted items", "trash", "deleted messages"}},
	{mailbox.JunkMail, []string{"junk e-mail", "junk email", "junk", "spam"}},
}

// virtual folders show messages that are in others.
var virtual = []string{`\all`, `\flagged`, `\important`}

const pathSeparator = "\x00" // is in no name

// targets says for each folder of a source where it leads.
func targets(folders []SourceFolder) []target {
	out := make([]target, len(folders))
	uses := map[int]mailbox.Use{}
	taken := map[mailbox.Use]bool{}
	claim := func(i int, u mailbox.Use) {
		if _, has := uses[i]; !has && !taken[u] {
			uses[i], taken[u] = u, true
		}
	}
	for i, f := range folders {
		if len(f.Path) == 1 && strings.EqualFold(f.Path[0], "INBOX") {
			claim(i, mailbox.Inbox)
		} else if u, ok := usesByAttribute.Get()[strings.ToLower(f.Use)]; ok {
			claim(i, u)
		}
	}
	for _, u := range usesByName {
		for _, name := range u.names {
			for i, f := range folders {
				if len(f.Path) == 1 && strings.ToLower(f.Path[0]) == name {
					claim(i, u.use)
				}
			}
		}
	}
	special := map[string]string{} // where folders that are not under their own name lead
	for i, u := range uses {
		if path := mailbox.DefaultPath(u); path != "" {
			special[strings.Join(folders[i].Path, pathSeparator)] = path
		}
	}
	for i, f := range folders {
		t := &out[i]
		t.use = uses[i]
		switch {
		case len(f.Name) > maxSourceName || !utf8.ValidString(f.Name) || strings.Contains(f.Name, pathSeparator):
			t.reason = "its name is too long or has characters that can't be kept"
		case slices.Contains(virtual, strings.ToLower(f.Use)):
			t.reason = "it is a view (" + f.Use + ") of messages that are in other folders"
		case mailbox.DefaultPath(t.use) != "":
			t.path = mailbox.DefaultPath(t.use)
		default:
			t.path, t.note, t.reason = pathHere(f.Path, special)
		}
	}
	return out
}

// pathHere is the path of a folder, below the nearest folder above it that leads elsewhere.
func pathHere(names []string, special map[string]string) (path, note, reason string) {
	var parts []string
	base := ""
	for n := len(names); n > 0; n-- {
		if at, ok := special[strings.Join(names[:n], pathSeparator)]; ok {
			base, names = at, names[n:]
			break
		}
	}
	if base != "" {
		parts = append(parts, base)
	}
	for _, name := range names {
		if !utf8.ValidString(name) {
			return "", "", "its name is not valid UTF-8"
		}
		clean := strings.Map(func(r rune) rune {
			if string(r) == mailbox.Delimiter || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
				return '_'
			}
			return r
		}, name)
		switch {
		case strings.TrimSpace(clean) == "":
			return "", "", "a part of its name is empty"
		case len(clean) > mailbox.MaxNameLength:
			return "", "", fmt.Sprintf("a part of its name has %d bytes; at most %d are allowed", len(clean), mailbox.MaxNameLength)
		case clean != name:
			note = "characters that no folder's name can have are \"_\" here"
		}
		parts = append(parts, clean)
	}
	if len(parts) > mailbox.MaxDepth {
		return "", "", fmt.Sprintf("it lies %d levels deep; at most %d are allowed", len(parts), mailbox.MaxDepth)
	}
	path = strings.Join(parts, mailbox.Delimiter)
	if len(path) > mailbox.MaxPathLength {
		return "", "", fmt.Sprintf("its path has %d bytes; at most %d are allowed", len(path), mailbox.MaxPathLength)
	}
	return path, note, ""
}
