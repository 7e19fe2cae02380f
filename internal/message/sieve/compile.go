package sieve

import (
	"slices"
	"strings"
)

// The defaults of Limits.
const (
	defaultScript    = 64 << 10
	defaultNesting   = 15
	defaultSteps     = 100_000
	defaultActions   = 32
	defaultRedirects = 4
	defaultVariables = 128
	defaultValue     = 16_000
)

func (l Limits) orDefaults() Limits {
	for _, f := range []struct {
		limit *int
		value int
	}{
		{&l.Script, defaultScript},
		{&l.Nesting, defaultNesting},
		{&l.Steps, defaultSteps},
		{&l.Actions, defaultActions},
		{&l.Redirects, defaultRedirects},
		{&l.Variables, defaultVariables},
		{&l.Value, defaultValue},
	} {
		if *f.limit == 0 {
			*f.limit = f.value
		}
	}
	return l
}

// Script is a compiled script. It holds no state: any number of runs may use it at a time.
type Script struct {
	commands []*node
	required map[string]bool
	limits   Limits
	size     int
}

// Size returns how many bytes of memory the script takes, about.
func (s *Script) Size() int { return s.size }

// What the parts of a script take, with their places in lists and maps.
const (
	scriptSize = 1024
	nodeSize   = 256
	valueSize  = 64
	tagSize    = 512 // with the map of the first
	textSize   = 72
	pieceSize  = 48
)

// Requires reports whether the script requires the extension.
func (s *Script) Requires(extension string) bool { return s.required[extension] }

// Compile reads a script, and checks all that can be known before a message is there. The error is an *Error.
func Compile(src []byte, l Limits) (*Script, error) {
	l = l.orDefaults()
	start := position{1, 1}
	if len(src) > l.Script {
		return nil, start.errorf("the script has %d bytes, and a script may have %d", len(src), l.Script)
	}
	text := string(src)
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, newLexer(text).position(i).errorf("a NUL byte can't stand in a script")
	}
	statements, err := parse(text, l.Nesting)
	if err != nil {
		return nil, err
	}
	c := &compiler{required: map[string]bool{}, limits: l, variables: map[string]bool{}, size: scriptSize + len(text)}
	commands, err := c.commands(statements, true)
	if err != nil {
		return nil, err
	}
	return &Script{commands: commands, required: c.required, limits: l, size: c.size}, nil
}

// compiler turns statements to nodes.
type compiler struct {
	required  map[string]bool
	limits    Limits
	variables map[string]bool // names that the script sets
	size      int             // of the script
}

// node is a command or a test, checked, with its arguments.
type node struct {
	at        position
	name      string
	signature *signature
	tags      map[string]value // nil for none
	args      []value
	tests     []*node
	block     []*node
	otherwise *node // what "elsif" or "else" begins, behind an "if" or "elsif"

	match match  // of a test that compares
	part  string // of an address
}

// value is an argument: a number or strings.
type value struct {
	at     position
	number int64
	texts  []text
}

// commands checks the commands of a block, or of the script.
func (c *compiler) commands(list []*statement, top bool) ([]*node, error) {
	var nodes []*node
	var chain *node // the last "if" or "elsif", if it is the last command
	requires := top
	for _, s := range list {
		if s.name == "require" {
			if !requires {
				return nil, s.at.errorf(`"require" stands behind another command: move it to the beginning of the script`)
			}
			if err := c.require(s); err != nil {
				return nil, err
			}
			continue
		}
		requires = false
		n, err := c.command(s)
		if err != nil {
			return nil, err
		}
		switch s.name {
		case "elsif", "else":
			if chain == nil {
				return nil, s.at.errorf(`%s stands behind no "if" or "elsif"`, show(s.name))
			}
			chain.otherwise = n
		default:
			nodes = append(nodes, n)
		}
		chain = nil
		if s.name == "if" || s.name == "elsif" {
			chain = n
		}
	}
	return nodes, nil
}

func (c *compiler) require(s *statement) error {
	if len(s.arguments) != 1 || s.arguments[0].kind != stringsArgument || s.tests != nil || s.hasBlock {
		return s.at.errorf(`"require" takes one list of strings, the names of extensions`)
	}
	for _, l := range s.arguments[0].strings {
		if !slices.Contains(extensions, l.value) {
			return l.at.errorf("there is no extension %s here; there are: %s", show(l.value), strings.Join(extensions, ", "))
		}
		c.required[l.value] = true
	}
	if c.required["vacation-seconds"] { // RFC 6131 section 2
		c.required["vacation"] = true
	}
	return nil
}

func (c *compiler) command(s *statement) (*node, error) {
	sig, ok := commands()[s.name]
	if !ok {
		if _, ok := tests()[s.name]; ok {
			return nil, s.at.errorf(`%s is a test, and stands behind "if"`, show(s.name))
		}
		return nil, s.at.errorf("there is no command %s", show(s.name))
	}
	n, err := c.node(s, sig)
	if err != nil {
		return nil, err
	}
	switch {
	case sig.block && !s.hasBlock:
		return nil, s.at.errorf("%s ends with a block in braces", show(s.name))
	case !sig.block && s.hasBlock:
		return nil, s.at.errorf("%s takes no block: it ends with a semicolon", show(s.name))
	}
	n.block, err = c.commands(s.block, false)
	return n, err
}

func (c *compiler) test(s *statement) (*node, error) {
	sig, ok := tests()[s.name]
	if !ok {
		if _, ok := commands()[s.name]; ok {
			return nil, s.at.errorf("%s is a command, and no test", show(s.name))
		}
		return nil, s.at.errorf("there is no test %s", show(s.name))
	}
	return c.node(s, sig)
}

// node binds the arguments of a statement.
func (c *compiler) node(s *statement, sig *signature) (*node, error) {
	if sig.extension != "" && !c.required[sig.extension] {
		return nil, s.at.errorf("%s belongs to an extension: write require %s; at the beginning of the script", show(s.name), show(sig.extension))
	}
	c.size += nodeSize
	n := &node{at: s.at, name: s.name, signature: sig, match: defaultMatch, part: "all"}
	rest, err := c.bindTags(n, s.arguments)
	if err != nil {
		return nil, err
	}
	if err := c.bindArguments(n, rest); err != nil {
		return nil, err
	}
	switch {
	case sig.tests == noTests && s.tests != nil:
		return nil, s.at.errorf("%s takes no test", show(s.name))
	case sig.tests == oneTest && (len(s.tests) != 1 || s.list):
		return nil, s.at.errorf("%s takes one test, without parentheses", show(s.name))
	case sig.tests == testList && !s.list:
		return nil, s.at.errorf("%s takes a list of tests, in parentheses", show(s.name))
	}
	for _, t := range s.tests {
		test, err := c.test(t)
		if err != nil {
			return nil, err
		}
		n.tests = append(n.tests, test)
	}
	if sig.check != nil {
		return n, sig.check(c, n)
	}
	return n, nil
}

// bindTags reads the tags, which stand before all other arguments (RFC 5228 section 2.6.2), and returns the others.
func (c *compiler) bindTags(n *node, arguments []argument) ([]argument, error) {
	var groups map[string]string
	for len(arguments) > 0 && arguments[0].kind == tagArgument {
		a := arguments[0]
		arguments = arguments[1:]
		word := show(":" + a.tag)
		i := slices.IndexFunc(n.signature.tags, func(t tag) bool { return t.name == a.tag })
		if i < 0 {
			return nil, a.at.errorf("%s has no tag %s", show(n.name), word)
		}
		t := n.signature.tags[i]
		if t.extension != "" && !c.required[t.extension] {
			return nil, a.at.errorf("%s belongs to an extension: write require %s; at the beginning of the script", word, show(t.extension))
		}
		if _, ok := n.tags[t.name]; ok {
			return nil, a.at.errorf("%s stands twice", word)
		}
		if other, ok := groups[t.group]; ok && t.group != "" {
			return nil, a.at.errorf("%s can't stand beside %s", word, show(":"+other))
		}
		if groups == nil {
			groups = map[string]string{}
		}
		groups[t.group] = t.name
		v := value{at: a.at}
		if t.argument != nothing {
			if len(arguments) == 0 {
				return nil, a.at.errorf("%s is followed by %s", word, t.argument)
			}
			var err error
			if v, err = c.value(arguments[0], t.argument, word+" is followed by"); err != nil {
				return nil, err
			}
			arguments = arguments[1:]
		}
		if n.tags == nil {
			n.tags = map[string]value{}
		}
		c.size += tagSize
		n.tags[t.name] = v
	}
	for _, a := range arguments {
		if a.kind == tagArgument {
			return nil, a.at.errorf("%s stands behind another argument: tags come first", show(":"+a.tag))
		}
	}
	return arguments, c.setMatch(n)
}

// bindArguments reads the arguments that have a place.
func (c *compiler) bindArguments(n *node, arguments []argument) error {
	kinds := n.signature.args
	if len(arguments) == len(kinds)-1 {
		switch n.signature.optional {
		case firstOptional:
			kinds = kinds[1:]
		case lastOptional:
			kinds = kinds[:len(kinds)-1]
		}
	}
	if len(arguments) != len(kinds) {
		var wanted []string
		for i, k := range n.signature.args {
			word := k.String()
			if i == 0 && n.signature.optional == firstOptional || i == len(n.signature.args)-1 && n.signature.optional == lastOptional {
				word += " (may be left out)"
			}
			wanted = append(wanted, word)
		}
		if wanted == nil {
			return n.at.errorf("%s takes no arguments besides tags", show(n.name))
		}
		return n.at.errorf("%s takes: %s", show(n.name), strings.Join(wanted, ", "))
	}
	for i, k := range kinds {
		v, err := c.value(arguments[i], k, show(n.name)+" takes here")
		if err != nil {
			return err
		}
		n.args = append(n.args, v)
	}
	return nil
}

// value checks the kind of an argument.
func (c *compiler) value(a argument, k kind, takes string) (value, error) {
	ok := a.kind == stringsArgument
	switch k {
	case number:
		ok = a.kind == numberArgument
	case oneString:
		ok = ok && !a.brackets
	}
	if !ok {
		return value{}, a.at.errorf("%s %s", takes, k)
	}
	v := value{at: a.at, number: a.number, texts: make([]text, len(a.strings))}
	for i, l := range a.strings {
		var err error
		if v.texts[i], err = c.text(l); err != nil {
			return value{}, err
		}
		v.texts[i].pieces = slices.Clip(v.texts[i].pieces)
		c.size += textSize + len(v.texts[i].pieces)*pieceSize
	}
	c.size += valueSize
	return v, nil
}

// has reports whether the node has the tag.
func (n *node) has(tag string) bool {
	_, ok := n.tags[tag]
	return ok
}

// constants calls check with those strings of the value that are the same in each run.
func (v value) constants(check func(s string) error) error {
	for i := range v.texts {
		if t := &v.texts[i]; t.constant() {
			if err := check(t.raw); err != nil {
				return t.at.errorf("%s", err)
			}
		}
	}
	return nil
}
