package imapsource

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report says what a run did, for every account.
type Report struct {
	Organization string           `json:"organization"`
	Server       string           `json:"server"`
	DryRun       bool             `json:"dryRun"`
	Mailboxes    []*MailboxReport `json:"mailboxes"`
}

// MailboxReport is about one account.
type MailboxReport struct {
	Address string `json:"address"`
	User    string `json:"user"`
	// Error is why the run for this account ended early, or did not begin.
	Error   string          `json:"error,omitempty"`
	Folders []*FolderReport `json:"folders"`
	// Keywords were left out: the mailbox can't have them.
	Keywords []string `json:"keywordsLeftOut,omitempty"`
	// Notes are what is different here but not left out.
	Notes []string `json:"notes,omitempty"`
}

// FolderReport is about one folder of a source.
type FolderReport struct {
	Source string `json:"source"`
	Here   string `json:"here,omitempty"`
	// AtSource are the messages that the source has, Imported those of them that came here, in this run and before.
	AtSource int64 `json:"atSource"`
	Imported int64 `json:"imported"`
	// New messages of so many Bytes came in this run; Flagged ones got other flags, Removed ones are gone at the source, and Kept
	// ones too, but were changed here.
	New     int64 `json:"new"`
	Bytes   int64 `json:"bytes"`
	Flagged int64 `json:"flagged"`
	Removed int64 `json:"removed"`
	Kept    int64 `json:"kept"`
	// Error is why the folder was not gone through.
	Error   string    `json:"error,omitempty"`
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Skipped are messages that were left out for one reason.
type Skipped struct {
	Reason   string `json:"reason"`
	Messages int64  `json:"messages"`
	// UIDs are those of some of them, at the source.
	UIDs []uint32 `json:"uids,omitempty"`
}

// shownUIDs is how many messages are named of those that were left out for a reason.
const shownUIDs = 20

func (f *FolderReport) skip(reason string, uids ...uint32) {
	i := slices.IndexFunc(f.Skipped, func(s Skipped) bool { return s.Reason == reason })
	if i < 0 {
		i = len(f.Skipped)
		f.Skipped = append(f.Skipped, Skipped{Reason: reason})
	}
	s := &f.Skipped[i]
	s.Messages += int64(len(uids))
	s.UIDs = append(s.UIDs, uids[:min(len(uids), shownUIDs-len(s.UIDs))]...)
}

func (m *MailboxReport) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(m.Notes, n) {
		m.Notes = append(m.Notes, n)
	}
}

// LeftOut reports whether something of the source is not here.
func (r *Report) LeftOut() bool { return slices.ContainsFunc(r.Mailboxes, (*MailboxReport).LeftOut) }

// LeftOut reports whether something of the account is not here.
func (m *MailboxReport) LeftOut() bool {
	return m.Error != "" || len(m.Keywords) > 0 || slices.ContainsFunc(m.Folders, func(f *FolderReport) bool { return f.Error != "" || len(f.Skipped) > 0 })
}

// Write writes the report of one account for people.
func (m *MailboxReport) Write(out io.Writer) error {
	fmt.Fprintf(out, "%s (%s at the source)\n", m.Address, m.User)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	sum := FolderReport{Source: "all", Here: ""}
	if len(m.Folders) > 0 {
		fmt.Fprintln(w, "  FOLDER\tHERE\tAT SOURCE\tIMPORTED\tNEW\tBYTES\tFLAGGED\tREMOVED\tKEPT\t")
	}
	line := func(f *FolderReport) {
		fmt.Fprintf(w, "  %s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", printable(f.Source), printable(f.Here), f.AtSource, f.Imported, f.New, f.Bytes, f.Flagged, f.Removed, f.Kept)
	}
	for _, f := range m.Folders {
		line(f)
		sum.AtSource, sum.Imported, sum.New, sum.Bytes = sum.AtSource+f.AtSource, sum.Imported+f.Imported, sum.New+f.New, sum.Bytes+f.Bytes
		sum.Flagged, sum.Removed, sum.Kept = sum.Flagged+f.Flagged, sum.Removed+f.Removed, sum.Kept+f.Kept
	}
	if len(m.Folders) > 1 {
		line(&sum)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range m.Folders {
		if f.Error != "" {
			fmt.Fprintf(out, "  left out: %s: %s\n", printable(f.Source), printable(f.Error))
		}
		for _, s := range f.Skipped {
			which := ""
			if len(s.UIDs) > 0 {
				which = fmt.Sprintf(" (UID %s)", numbers(s.UIDs, s.Messages))
			}
			fmt.Fprintf(out, "  left out: %s: %d messages%s: %s\n", printable(f.Source), s.Messages, which, printable(s.Reason))
		}
	}
	for _, k := range m.Keywords {
		fmt.Fprintf(out, "  left out: the keyword %q, which the mailbox can't have\n", k)
	}
	for _, n := range m.Notes {
		fmt.Fprintf(out, "  note: %s\n", printable(n))
	}
	var err error
	if m.Error != "" {
		_, err = fmt.Fprintf(out, "  failed: %s\n", printable(m.Error))
	}
	return err
}

// printable is a text without what a terminal would take for a command.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func numbers(uids []uint32, all int64) string {
	var b strings.Builder
	for i, u := range uids {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, u)
	}
	if all > int64(len(uids)) {
		b.WriteString(", …")
	}
	return b.String()
}
