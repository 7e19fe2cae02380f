package e2e

import (
	"bufio"
	"io"
)

// sawLine reads until the line comes.
// It reports whether it did.
func sawLine(r io.Reader, line string) bool {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if lines.Text() == line {
			return true
		}
	}
	return false
}
