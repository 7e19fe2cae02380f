package scan

import (
	"slices"
	"strings"

	"github.com/pennypost/pennypost/internal/message"
)

// WorkMail is what stands in a list of types for those that WorkMail does not send.
const WorkMail = "workmail"

// workMail are the extensions that WorkMail names in its guide, its wildcards spelt out as Outlook's list of them has it: .vs* is not
// the drawings of Visio.
const workMail = `ade adp app asp bas bat cer chm cmd com cpl crt csh der exe fxp gadget hlp hta inf ins isp its js jse ksh lib lnk
	mad maf mag mam maq mar mas mat mau mav maw mda mdb mde mdt mdw mdz msc msh msh1 msh2 mshxml msh1xml msh2xml msi msp mst ops pcd
	pif plg prf prg ps1 ps1xml ps2 ps2xml psc1 psc2 reg scf scr sct shb shs sys tmp url vb vbe vbp vbs vsmacros vss vst vsw vxd ws wsc
	wsf wsh xnk`

// Types are extensions of file names, lower case and without the dot, that are not let through. One that ends in an asterisk stands for
// all that begin so.
type Types struct {
	exact    map[string]bool
	prefixes []string
}

// NewTypes reads a list of extensions, with or without their dot; WorkMail stands for its own.
func NewTypes(list []string) *Types {
	t := &Types{exact: map[string]bool{}}
	for _, e := range list {
		e = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(e)), ".")
		if prefix, all := strings.CutSuffix(e, "*"); all && prefix != "" {
			t.prefixes = append(t.prefixes, prefix)
			continue
		}
		if e == WorkMail {
			for _, e := range strings.Fields(workMail) {
				t.exact[e] = true
			}
			continue
		}
		if e != "" {
			t.exact[e] = true
		}
	}
	return t
}

// None reports whether everything is let through.
func (t *Types) None() bool { return len(t.exact)+len(t.prefixes) == 0 }

func (t *Types) has(extension string) bool {
	return t.exact[extension] || slices.ContainsFunc(t.prefixes, func(p string) bool { return strings.HasPrefix(extension, p) })
}

// extension is the type that a system would take a file of the name for. Windows drops dots and blanks at the end, and what is behind a
// colon is no name there.
func extension(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 127 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r == 0x2060 || r == 0xfeff { // not shown
			return -1
		}
		return r
	}, name)
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	if i := strings.IndexByte(name, ':'); i > 0 && strings.ContainsRune(name[:i], '.') {
		name = name[:i]
	}
	name = strings.TrimRight(name, ". \t\u00a0")
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return ""
	}
	return strings.ToLower(strings.TrimSpace(name[i+1:]))
}

// Blocked returns the name and the type of the first part that is not let through. more says that the message has more parts than can be
// looked at.
func (t *Types) Blocked(text []byte) (name, is string, more bool) {
	s := message.Scan(text)
	for i := range s.Parts {
		for _, name := range names(&s.Parts[i]) {
			if e := extension(name); e != "" && t.has(e) {
				return name, e, false
			}
		}
	}
	return "", "", s.Truncated
}

// names returns every name that a part gives itself: clients differ in which they take.
func names(p *message.Part) (list []string) {
	add := func(name string) {
		for _, n := range []string{name, message.DecodeWords(name)} {
			if n != "" && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	for _, of := range []struct {
		params []message.Param
		name   string
	}{{p.DispositionParams, "filename"}, {p.Params, "name"}} {
		add(message.DecodeParam(of.params, of.name))
		for _, param := range of.params {
			if param.Name == of.name {
				add(param.Value)
			}
		}
	}
	return list
}
