package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Pigeonhole is Dovecot's Sieve, by its programs that compile a script and try it on a message.
type Pigeonhole struct {
	dir    string
	number int
}

// NewPigeonhole makes a directory for its scripts. It has no limit of actions.
func NewPigeonhole(t testing.TB) *Pigeonhole {
	t.Helper()
	for _, program := range []string{"/usr/bin/sieve-test", "/usr/bin/sievec"} {
		if _, err := os.Stat(program); err != nil {
			t.Fatalf("Pigeonhole's %s is missing: run scripts/setup-test (make test does)", program)
		}
	}
	dir, err := os.MkdirTemp("", "pigeonhole")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, who := &Pigeonhole{dir: dir}, account(t)
	p.give(t, dir)
	p.write(t, "conf", fmt.Sprintf(`mail_location = maildir:%s/Maildir
mail_uid = %s
mail_gid = %s
first_valid_uid = 1
log_path = /dev/stderr
plugin {
  sieve_extensions = +editheader +vacation-seconds +special-use
  sieve_max_actions = 0
  sieve_vacation_min_period = 1s
}
`, dir, who.Uid, who.Gid))
	return p
}

// give lets the programs write into a directory.
func (p *Pigeonhole) give(t testing.TB, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	who := account(t)
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
}

func (p *Pigeonhole) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// try runs sieve-test on a script and a message.
func (p *Pigeonhole) try(t testing.TB, script, message, from, to string, more ...string) Result {
	t.Helper()
	p.number++
	name := "script" + strconv.Itoa(p.number)
	args := append([]string{"-c", filepath.Join(p.dir, "conf"), "-f", from, "-r", to, "-a", to}, more...)
	return Run(t, Command{Name: "/usr/bin/sieve-test", Args: append(args, p.write(t, name+".sieve", script), p.write(t, name+".eml", message)), Dir: p.dir})
}

// Actions runs a script on a message and returns what it does, sorted: "fileinto INBOX (flag flag)", "redirect ADDRESS", "reject REASON",
// "vacation SECONDS". A script that fails is "error".
func (p *Pigeonhole) Actions(t testing.TB, script, message, from, to string) []string {
	t.Helper()
	r := p.try(t, script, message, from, to)
	if r.Status != 0 || !strings.Contains(r.Stderr, "final result: success") {
		return []string{"error"}
	}
	var actions []string
	for line := range strings.SplitSeq(r.Stdout, "\n") {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "* store message in folder: "); ok {
			actions = append(actions, "fileinto "+name)
		}
		if to, ok := strings.CutPrefix(line, "* redirect message to: "); ok {
			actions = append(actions, "redirect "+strings.Trim(to, "<>"))
		}
		if reason, ok := strings.CutPrefix(line, "* reject message with reason: "); ok {
			actions = append(actions, "reject "+reason)
		}
		if seconds, ok := strings.CutPrefix(line, "=> seconds : "); ok {
			actions = append(actions, "vacation "+seconds)
		}
		if flags, ok := strings.CutPrefix(line, "+ add IMAP flags: "); ok {
			list := strings.Fields(strings.ToLower(strings.ReplaceAll(flags, ",", " ")))
			slices.Sort(list)
			actions[len(actions)-1] += " (" + strings.Join(list, " ") + ")"
		}
	}
	slices.Sort(actions)
	return actions
}

// Stores runs a script on a message, and returns what it put into the folders that it made, by their names.
func (p *Pigeonhole) Stores(t testing.TB, script, message, from, to string) map[string]string {
	t.Helper()
	if r := p.try(t, script, message, from, to, "-e"); r.Status != 0 {
		t.Fatalf("sieve-test: %s", r)
	}
	files, err := filepath.Glob(filepath.Join(p.dir, "Maildir", ".*", "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		stored[strings.TrimPrefix(filepath.Base(filepath.Dir(filepath.Dir(f))), ".")] = string(text)
	}
	return stored
}

// Compiles reports which of the scripts it compiles, by their names.
func (p *Pigeonhole) Compiles(t testing.TB, scripts map[string]string) map[string]bool {
	t.Helper()
	dir := filepath.Join(p.dir, "compile")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p.give(t, dir)
	for name, text := range scripts {
		p.write(t, filepath.Join("compile", name+".sieve"), text)
	}
	Run(t, Command{Name: "sh", Args: []string{"-c", `ls *.sieve | xargs -n 1 -P 2 sievec -c ../conf`}, Dir: dir})
	compiled := map[string]bool{}
	for name := range scripts {
		_, err := os.Stat(filepath.Join(dir, name+".svbin"))
		compiled[name] = err == nil
	}
	return compiled
}
