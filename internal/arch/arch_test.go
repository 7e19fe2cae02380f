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
		may:      []string{"wiring", "settings", "faces", "core", "ground", "plumbing", "words", "codecs"},
		reason:   "a command knows everybody and is short; nobody knows it",
	},
	{
		name:     "wiring",
		packages: []string{"internal/server"},
		may:      []string{"settings", "faces", "core", "ground", "plumbing", "words", "codecs"},
		reason:   "one plain function puts the server together, so that tests can call it; what it wires must not know it",
	},
	{
		name:     "faces",
		packages: []string{"internal/awsapi", "internal/smtp", "internal/imap", "internal/managesieve", "internal/web"},
		may:      []string{"core", "parts of a face", "words", "codecs", "plumbing"},
		reason: "a face translates a protocol to core verbs: no SQL (so no db), no rule, and no other face, " +
			"or the same rule would soon be written twice, slightly differently",
	},
	{
		name: "core",
		packages: []string{
			"internal/migration", "internal/organization", "internal/transport", "internal/export", "internal/mailbox", "internal/identity",
			"internal/policy", "internal/availability", "internal/directory", "internal/audit",
		},
		ordered: true,
		may:     []string{"ground", "words", "codecs", "plumbing"},
		reason: "the core decides and knows no protocol; one order (each may use those to its right) spares us cycles, " +
			"and what must set off work on the left is published to the feed",
	},
	{
		name: "ground",
		packages: []string{
			"internal/job", "internal/certificate", "internal/db", "internal/blob",
		},
		ordered: true,
		may:     []string{"words", "plumbing"},
		reason:  "the ground stores, and knows nothing of mail",
	},
	{
		name:     "settings",
		packages: []string{"internal/config", "internal/tls"},
		may:      []string{"words", "plumbing"},
		reason:   "settings and certificates are read once, by the wiring, which hands on what each part needs",
	},
	{
		name:     "plumbing",
		packages: []string{"internal/trace", "internal/otlp", "internal/feed", "internal/dns", "internal/dial", "internal/clock", "internal/secret", "internal/id", "internal/accept", "internal/netblock", "internal/spool", "internal/owner"},
		ordered:  true,
		may:      []string{"words"},
		reason:   "time, names, keys and notices are handed to everybody, so they must know nobody",
	},
	{
		name:     "words",
		packages: []string{"internal/principal", "internal/fault", "internal/lazy", "internal/lazyregexp", "internal/stack"},
		reason:   "the words that all layers share import nothing of ours",
	},
	{
		name:     "codecs",
		packages: []string{"internal/message", "internal/smtpclient", "internal/imap/wire", "internal/ews/soap"},
		may:      []string{"parts of a codec"},
		reason:   "a codec turns bytes to values and back; it imports nothing of ours, so that it can be fuzzed and read alone",
	},
	{
		name:     "parts of a codec",
		packages: []string{"internal/boundedxml"},
		reason:   "what several codecs need is below them, and as alone",
	},
	{
		name: "tests",
		packages: []string{
			"test", "bench", "internal/arch", "internal/leash", "internal/audit/audittest", "internal/awsapi/contract/contracttest", "internal/db/dbtest", "internal/blob/blobtest",
			"internal/dns/dnstest", "internal/directory/ldap/ldaptest", "internal/imap/imaptest", "internal/smtpclient/smtptest", "internal/transport/transporttest",
			"internal/transport/queue/queuetest", "internal/transport/scan/scantest",
		},
		may:    []string{"command", "wiring", "settings", "faces", "core", "ground", "plumbing", "words", "parts of a face", "codecs", "parts of a codec", "tests"},
		reason: "tests may look anywhere; shipped code must not lean on them",
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

// judge says whether from may import to, both without the module's path, and the reason of the rule if not.
func judge(from, to string) (allowed bool, reason string) {
	fromLayer, fromPosition, ok := place(from)
	if !ok {
		return false, from + " has no place in the house: name it in a layer of this test"
	}
	toLayer, toPosition, ok := place(to)
	if !ok {
		return false, to + " has no place in the house: name it in a layer of this test"
	}
	if fromLayer.name != toLayer.name {
		return slices.Contains(fromLayer.may, toLayer.name), fromLayer.reason
	}
	// A package and its sub-packages share a position and may use each other.
	allowed = fromPosition == toPosition || fromLayer.ordered && toPosition > fromPosition || slices.Contains(fromLayer.may, toLayer.name)
	return allowed, fromLayer.reason
}

// TestImportDirections fails for an import that runs upwards or sideways, and says why the rule is there.
func TestImportDirections(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if _, _, ok := place(from); !ok {
			t.Errorf("%s has no place in the house: name it in a layer of this test", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			seen++
			if allowed, reason := judge(from, to); !allowed {
				t.Errorf("%s imports %s: %s", from, to, reason)
			}
		}
	}
	if seen == 0 {
		t.Error("not one import of ours was seen: go list answered something else than expected")
	}
}

// TestJudge holds the rules themselves: what they are for must be refused.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		from, to string
		allowed  bool
	}{
		{"internal/smtp", "internal/transport", true},
		{"internal/smtp", "internal/imap", false},
		{"internal/smtp", "internal/db", false},
		{"internal/imap", "internal/imap/wire", true},
		{"internal/smtp", "internal/imap/wire", true}, // a codec is anybody's
		{"internal/imap/wire", "internal/imap", false},
		{"internal/organization", "internal/directory", true},
		{"internal/directory", "internal/organization", false},
		{"internal/migration", "internal/organization", true},
		{"internal/organization", "internal/migration", false},
		{"internal/migration/workmail", "internal/awsapi", false},
		{"internal/directory", "internal/db", true},
		{"internal/db", "internal/directory", false},
		{"internal/db/dbtest", "internal/db", true},
		{"internal/mailbox", "internal/config", false},
		{"internal/mailbox", "internal/imap", false},
		{"internal/message", "internal/fault", false},
		{"internal/transport/courier", "internal/smtpclient", true},
		{"internal/smtpclient", "internal/message", false},
		{"internal/ews/soap", "internal/boundedxml", true},
		{"internal/boundedxml", "internal/message", false},
		{"internal/server", "internal/awsapi", true},
		{"internal/awsapi", "internal/server", false},
		{"internal/server", "test/e2e", false},
		{"internal/unheard", "internal/fault", false},
	} {
		if allowed, _ := judge(c.from, c.to); allowed != c.allowed {
			t.Errorf("may %s import %s: %v, want %v", c.from, c.to, allowed, c.allowed)
		}
	}
}

// TestDatabaseStaysBelow holds that nothing but the ground's db opens a database: the engines' difference lives there.
func TestDatabaseStaysBelow(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			driver := strings.HasPrefix(imported, "modernc.org/") || strings.HasPrefix(imported, "github.com/jackc/")
			if driver && !strings.HasPrefix(from+"/", "internal/db/") && !strings.HasPrefix(from, "test/") {
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
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
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
