package imap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/imap/imaptest"
)

// TestScripts plays the conversations in testdata, each on both engines.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			onBoth(t, func(t *testing.T, r *rig) {
				p := imaptest.Player{
					Dial: r.connect, Password: "sesame", EndSessions: r.endSessions,
					Deliver: func(folder, message string) { r.deliver(folder, message, 0) },
				}
				p.Play(t, string(script))
			})
		})
	}
}
