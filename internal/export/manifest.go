package export

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/mailbox"
)

// The manifest's lines, which docs/export.md describes.
type (
	headLine struct {
		Type          string    `json:"type"` // export
		Format        string    `json:"format"`
		Version       int       `json:"version"`
		Organization  string    `json:"organization"`
		Entity        string    `json:"entity"`
		Job           string    `json:"job"`
		Start         time.Time `json:"start"`
		End           time.Time `json:"end"`
		Folders       int       `json:"folders"`
		Messages      int64     `json:"messages"`
		Bytes         int64     `json:"bytes"`
		NonExportable int64     `json:"nonExportable"`
		Left          []string  `json:"leftOut"`
	}
	folderLine struct {
		Type        string           `json:"type"` // folder
		ID          mailbox.FolderID `json:"id"`
		Parent      mailbox.FolderID `json:"parent"`
		Name        string           `json:"name"`
		Path        string           `json:"path"`
		Kind        string           `json:"kind"`
		Use         string           `json:"use,omitempty"`
		Subscribed  bool             `json:"subscribed"`
		UIDValidity uint32           `json:"uidValidity"`
		Messages    int64            `json:"messages"`
		Bytes       int64            `json:"bytes"`
	}
	subscriptionLine struct {
		Type string `json:"type"` // subscription
		Path string `json:"path"`
	}
	messageLine struct {
		Type     string           `json:"type"` // message
		File     string           `json:"file,omitempty"`
		Folder   mailbox.FolderID `json:"folder"`
		UID      mailbox.UID      `json:"uid"`
		Item     mailbox.ItemID   `json:"item"`
		Flags    []string         `json:"flags"`
		Keywords []string         `json:"keywords"`
		Received time.Time        `json:"received"`
		Saved    time.Time        `json:"saved"`
		Size     int64            `json:"size"`
		SHA384   string           `json:"sha384,omitempty"`
		Missing  bool             `json:"missing,omitempty"`
	}
	// logFile is what WorkMail's own exports say in their log, with its string values.
	logFile struct {
		NonExportable string `json:"totalNonExportableItems"`
		Messages      string `json:"totalMessages"`
		SHA384        string `json:"sha384Hash"`
		Bytes         string `json:"totalBytes"`
		Folders       string `json:"totalFolders"`
		Start         string `json:"startTime"`
		End           string `json:"endTime"`
	}
)

const (
	format        = "pennypost-mailbox"
	formatVersion = 1

	manifestName = "manifest.jsonl"
	logName      = "export.json"
	mailDir      = "mail"
)

// leftOut are what a WorkMail mailbox has and this server doesn't keep yet, or never exports.
var leftOut = [...]string{"calendar", "contacts", "tasks", "notes"}

func line(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return append(text, '\n'), err
}

var flagNames = [...]struct {
	flag mailbox.Flags
	name string
}{
	{mailbox.Seen, `\Seen`},
	{mailbox.Answered, `\Answered`},
	{mailbox.Flagged, `\Flagged`},
	{mailbox.Deleted, `\Deleted`},
	{mailbox.Draft, `\Draft`},
}

func (s *session) messageLine(it *mailbox.Item, f mailbox.FolderID, file string, sum []byte) messageLine {
	l := messageLine{
		Type: "message", File: file, Folder: f, UID: it.UID, Item: it.ID, Flags: []string{}, Keywords: s.keywords.Names(it.Flags),
		Received: it.Received, Saved: it.Saved, Size: it.Size, SHA384: hex.EncodeToString(sum), Missing: file == "",
	}
	for _, f := range flagNames {
		if it.Flags.Has(f.flag) {
			l.Flags = append(l.Flags, f.name)
		}
	}
	if l.Keywords == nil {
		l.Keywords = []string{}
	}
	return l
}

func folderLineOf(f *mailbox.Folder, c count) folderLine {
	return folderLine{
		Type: "folder", ID: f.ID, Parent: f.Parent, Name: f.Name, Path: f.Path, Kind: kindName(f.Kind), Use: useName(f.Use),
		Subscribed: f.Subscribed, UIDValidity: f.UIDValidity, Messages: c.Messages, Bytes: c.Bytes,
	}
}

func kindName(k mailbox.Kind) string {
	switch k {
	case mailbox.Mail:
		return "mail"
	case mailbox.NoItems:
		return "noItems"
	case mailbox.Calendar:
		return "calendar"
	case mailbox.Contacts:
		return "contacts"
	case mailbox.Tasks:
		return "tasks"
	case mailbox.Notes:
		return "notes"
	}
	return "other"
}

func useName(u mailbox.Use) string {
	switch u {
	case mailbox.Inbox:
		return "inbox"
	case mailbox.Drafts:
		return "drafts"
	case mailbox.Sent:
		return "sent"
	case mailbox.Trash:
		return "trash"
	case mailbox.JunkMail:
		return "junk"
	case mailbox.Archive:
		return "archive"
	case mailbox.NoUse:
	}
	return ""
}

// maxDirName is how many bytes of a folder's name are in the names of files.
const maxDirName = 60

// fileName is where a message lies in the zip: below its folder's name, for people, by its item, which is unique. What some system
// can't have in a name becomes "_"; two folders may so share a directory, and the manifest says which message is whose.
func fileName(f *mailbox.Folder, item mailbox.ItemID) string {
	var b strings.Builder
	b.WriteString(mailDir)
	for name := range strings.SplitSeq(f.Path, mailbox.Delimiter) {
		safe := strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || strings.ContainsRune(`\:*?"<>|`, r) {
				return '_'
			}
			return r
		}, strings.ToValidUTF8(name, "_"))
		for len(safe) > maxDirName {
			_, n := utf8.DecodeLastRuneInString(safe)
			safe = safe[:len(safe)-n]
		}
		if trimmed := strings.TrimRight(safe, ". "); trimmed != safe || safe == "" {
			safe = trimmed + "_"
		}
		b.WriteString("/" + safe)
	}
	return b.String() + "/" + strconv.FormatInt(int64(item), 10) + ".eml"
}
