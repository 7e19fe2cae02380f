package message

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// tree is a message as a sender makes it, and what Scan must find in it.
type tree struct {
	typ      string
	body     string
	children []tree
}

// drawTree makes a tree of parts. Boundaries are unique but may begin with one another.
func drawTree(t *rapid.T, depth int) tree {
	kinds := []string{"text/plain", "text/html", "application/pdf"}
	if depth > 0 {
		kinds = append(kinds, "multipart/mixed", "multipart/alternative", "message/rfc822")
	}
	n := tree{typ: rapid.SampledFrom(kinds).Draw(t, "type")}
	switch {
	case strings.HasPrefix(n.typ, "multipart/"):
		for range rapid.IntRange(1, 4).Draw(t, "children") {
			n.children = append(n.children, drawTree(t, depth-1))
		}
	case n.typ == "message/rfc822":
		n.children = []tree{drawTree(t, depth-1)}
	default:
		lines := rapid.SliceOfN(rapid.SampledFrom([]string{"", "text", "--", "--b", "-- ", "Content-Type: text/evil", "\x00\xff", "--bx--"}), 0, 5).Draw(t, "lines")
		n.body = strings.Join(lines, "\r\n")
	}
	return n
}

// write appends the message or part, and returns the number of the next boundary.
func (n *tree) write(out *strings.Builder, boundary int, eol string) int {
	fmt.Fprintf(out, "Content-Type: %s", n.typ)
	if !strings.HasPrefix(n.typ, "multipart/") {
		out.WriteString(eol + eol)
		if n.typ == "message/rfc822" {
			return n.children[0].write(out, boundary, eol)
		}
		out.WriteString(strings.ReplaceAll(n.body, "\r\n", eol))
		return boundary
	}
	// b, bb, bbb …: each begins with all before it
	b := strings.Repeat("b", boundary+2)
	boundary++
	fmt.Fprintf(out, "; boundary=\"%s\"%s%spreamble", b, eol, eol)
	for i := range n.children {
		out.WriteString(eol + "--" + b + eol)
		boundary = n.children[i].write(out, boundary, eol)
	}
	out.WriteString(eol + "--" + b + "--" + eol + "epilogue")
	return boundary
}

// check compares what Scan found at part i with the tree.
func (n *tree) check(t *rapid.T, b []byte, s *Structure, i int, eol string) {
	p := &s.Parts[i]
	if got := p.Type + "/" + p.Subtype; got != n.typ {
		t.Fatalf("part %d is %s, want %s", i, got, n.typ)
	}
	if len(p.Children) != len(n.children) {
		t.Fatalf("part %d has %d children, want %d", i, len(p.Children), len(n.children))
	}
	if len(n.children) == 0 {
		if got, want := string(b[p.BodyStart:p.End]), strings.ReplaceAll(n.body, "\r\n", eol); got != want {
			t.Fatalf("part %d is %q, want %q", i, got, want)
		}
	}
	for k := range n.children {
		n.children[k].check(t, b, s, p.Children[k], eol)
	}
}

func TestScanFindsWhatWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawTree(t, rapid.IntRange(0, 5).Draw(t, "depth"))
		eol := rapid.SampledFrom([]string{"\r\n", "\n"}).Draw(t, "eol")
		var out strings.Builder
		n.write(&out, 0, eol)
		b := []byte(out.String())
		n.check(t, b, Scan(b), 0, eol)
	})
}
