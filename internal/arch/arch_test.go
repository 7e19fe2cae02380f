package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/pennypost/pennypost/"

// layer is a set of packages with what they may import of ours. A package belongs to the layer that names it or, if none
// does, the nearest folder above it.
type layer struct {
	name     string
	packages []string
	may      []string // layers
	// ordered lets a package import those to its right in packages.
	ordered bool
	reason  string
}

var house = []layer{
	{
		name:     "command",
		packages: []string{"cmd/pennypost", "pennyposttest"},
		may:      []string{"wiring", "faces", "core", "ground", "words", "codecs"},
		reason:   "a command knows everybody and is short; nobody knows it",
	},
	{
		name:     "wiring",
		packages: []string{"internal/server"},
		may:      []string{"faces", "core", "ground", "words", "codecs"},
		reason:   "one plain function puts the server together, so that tests can call it; what it wires must not know it",
	},
	{
		name:     "faces",
		packages: []string{"internal/awsapi", "internal/smtp", "internal/imap"},
		may:      []string{"core", "words", "codecs", "plumbing"},
		reason: "a face translates a protocol to core verbs: no SQL (so no db), no rule, and no other face, " +
			"or the same rule would soon be written twice, slightly differently",
	},
	{
		name: "core",
		packages: []string{
			"internal/organization", "internal/transport", "internal/mailbox", "internal/identity",
			"internal/policy", "internal/directory", "internal/audit",
		},
		ordered: true,
		may:     []string{"ground", "words", "codecs", "plumbing"},
		reason: "the core decides and knows no protocol; one order (each may use those to its right) spares us cycles, " +
			"and what must set off work on the left is published to the feed",
	},
	{
		name: "ground",
		packages: []string{
			"internal/job", "internal/db", "internal/blob", "internal/tls", "internal/config",
		},
		ordered: true,
		may:     []string{"words", "plumbing"},
		reason:  "the ground stores, and knows nothing of mail",
	},
	{
		name:     "plumbing",
		packages: []string{"internal/feed", "internal/dns", "internal/clock", "internal/secret", "internal/id"},
		may:      []string{"words"},
		reason:   "time, names, keys and notices are handed to everybody, so they must know nobody",
	},
	{
		name:     "words",
		packages: []string{"internal/principal", "internal/fault"},
		reason:   "the words that all layers share import nothing of ours",
	},
	{
		name: "codecs",
		packages: []string{
			"internal/message", "internal/awsapi/contract", "internal/awsapi/sigv4", "internal/imap/wire",
		},
		reason: "a codec turns bytes to values and back; it imports nothing of ours, so that it can be fuzzed and read alone",
	},
	{
		name:     "tests",
		packages: []string{"test", "internal/arch", "internal/db/dbtest"},
		may:      []string{"command", "wiring", "faces", "core", "ground", "plumbing", "words", "codecs", "tests"},
		reason:   "tests may look anywhere; shipped code must not lean on them",
	},
}

// place finds the layer of a package and its position there.
func place(path string) (l layer, position int, ok bool) {
	best := ""
	for _, candidate := range house {
		for i, p := range candidate.packages {
			if (path == p || strings.HasPrefix(path, p+"/")) && len(p) > len(best) {
				l, position, ok, best = candidate, i, true, p
			}
		}
	}
	return l, position, ok
}

// TestImportDirections fails for an import that runs upwards or sideways, and says why the rule is there.
func TestImportDirections(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		fromLayer, fromPosition, ok := place(from)
		if !ok {
			t.Errorf("%s has no place in the house: name it in a layer of this test", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			seen++
			toLayer, toPosition, ok := place(to)
			if !ok {
				continue // reported when its own turn comes
			}
			allowed := slices.Contains(fromLayer.may, toLayer.name)
			if toLayer.name == fromLayer.name {
				// A package and its sub-packages share a position and may use each other.
				allowed = allowed || fromPosition == toPosition || fromLayer.ordered && toPosition > fromPosition
			}
			if !allowed {
				t.Errorf("%s (%s) imports %s (%s): %s", from, fromLayer.name, to, toLayer.name, fromLayer.reason)
			}
		}
	}
	if seen == 0 {
		t.Error("not one import of ours was seen: go list answered something else than expected")
	}
}

// TestDatabaseStaysBelow holds that nothing but the ground's db opens a database: the engines' difference lives there.
func TestDatabaseStaysBelow(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			driver := strings.HasPrefix(imported, "modernc.org/") || strings.HasPrefix(imported, "github.com/jackc/")
			if driver && from != "internal/db" && !strings.HasPrefix(from, "internal/db/") {
				t.Errorf("%s imports %s: database drivers are db's alone, so that one SQL serves both engines", from, imported)
			}
		}
	}
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list's output: %v", err)
		}
		all = append(all, p)
	}
}
