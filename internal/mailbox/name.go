package mailbox

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/pennypost/pennypost/internal/fault"
)

// inboxName is the reserved name of the inbox (RFC 3501 section 5.1), in any case.
const inboxName = "INBOX"

// splitPath returns the names of a path in NFC, the inbox in capitals. Faults: Invalid Folder.
func splitPath(path string) ([]string, error) {
	if !utf8.ValidString(path) {
		return nil, badPath("the folder name is not valid UTF-8")
	}
	path = norm.NFC.String(path)
	if len(path) > MaxPathLength {
		return nil, badPath("the folder path is %d bytes long; at most %d are allowed", len(path), MaxPathLength)
	}
	names := strings.Split(path, Delimiter)
	if len(names) > MaxDepth {
		return nil, badPath("the folder path has %d levels; at most %d are allowed", len(names), MaxDepth)
	}
	for _, name := range names {
		switch {
		case name == "":
			return nil, badPath("the folder path %q has an empty name in it", path)
		case len(name) > MaxNameLength:
			return nil, badPath("the folder name %q is %d bytes long; at most %d are allowed", name, len(name), MaxNameLength)
		case strings.TrimSpace(name) == "":
			return nil, badPath("a folder name can't be made of blanks alone")
		}
		// RFC 9051 section 5.1: no control characters, no line or paragraph separators.
		if i := strings.IndexFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }); i >= 0 {
			return nil, badPath("the folder name %q has a control character at byte %d", name, i)
		}
	}
	if nameKey(names[0]) == nameKey(inboxName) {
		names[0] = inboxName
	}
	return names, nil
}

func badPath(format string, args ...any) error {
	return fault.New(fault.Invalid, fault.Folder, format, args...)
}

// nameKey is the form in which names are compared: without case.
func nameKey(name string) string { return norm.NFC.String(cases.Fold().String(name)) }

// pathKey is nameKey of each name of a path.
func pathKey(names []string) string { return nameKey(strings.Join(names, Delimiter)) }
