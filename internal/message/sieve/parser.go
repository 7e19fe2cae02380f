package sieve

// statement is a command or a test as it is written (RFC 5228 section 8.2).
type statement struct {
	at        position
	name      string
	arguments []argument
	tests     []*statement
	list      bool // tests stand in parentheses
	block     []*statement
	hasBlock  bool
}

type argumentKind uint8

const (
	tagArgument argumentKind = iota
	numberArgument
	stringsArgument
)

// argument is a tag, a number or a list of strings.
type argument struct {
	kind     argumentKind
	at       position
	tag      string
	number   int64
	strings  []literal
	brackets bool // the list is written as one
}

type literal struct {
	at    position
	value string
}

// parser reads statements, one token ahead.
type parser struct {
	lexer   *lexer
	token   token
	nesting int // the limit, for blocks and for tests
}

func parse(src string, nesting int) ([]*statement, error) {
	p := &parser{lexer: newLexer(src), nesting: nesting}
	if err := p.advance(); err != nil {
		return nil, err
	}
	list, err := p.commands(0)
	if err != nil {
		return nil, err
	}
	if p.token.kind != endToken {
		return nil, p.token.at.errorf("%s can't stand here: a command begins with its name", p.token)
	}
	return list, nil
}

func (p *parser) advance() (err error) {
	p.token, err = p.lexer.next()
	return err
}

// take reads the sign if it is next.
func (p *parser) take(sign string) (bool, error) {
	if !p.token.is(sign) {
		return false, nil
	}
	return true, p.advance()
}

// commands reads commands up to what begins none.
func (p *parser) commands(depth int) ([]*statement, error) {
	var list []*statement
	for p.token.kind == identifierToken {
		s, err := p.command(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func (p *parser) command(depth int) (*statement, error) {
	s, err := p.statement(0)
	if err != nil {
		return nil, err
	}
	if ok, err := p.take(";"); ok || err != nil {
		return s, err
	}
	at := p.token.at
	if ok, err := p.take("{"); err != nil {
		return nil, err
	} else if !ok {
		return nil, at.errorf("%s stands where the command %s ends: with a semicolon, or a block in braces", p.token, show(s.name))
	}
	if depth >= p.nesting {
		return nil, at.errorf("blocks are nested deeper than %d", p.nesting)
	}
	s.hasBlock = true
	if s.block, err = p.commands(depth + 1); err != nil {
		return nil, err
	}
	if ok, err := p.take("}"); ok || err != nil {
		return s, err
	}
	if p.token.kind == endToken {
		return nil, at.errorf(`the block that begins here has no "}"`)
	}
	return nil, p.token.at.errorf("%s can't stand here: a command begins with its name", p.token)
}

// statement reads a name, arguments and tests.
func (p *parser) statement(depth int) (*statement, error) {
	s := &statement{at: p.token.at, name: p.token.text}
	if err := p.advance(); err != nil {
		return nil, err
	}
	for {
		a, ok, err := p.argument()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		s.arguments = append(s.arguments, a)
	}
	if p.token.kind != identifierToken && !p.token.is("(") {
		return s, nil
	}
	if depth > p.nesting { // the command around the tests is no test
		return nil, p.token.at.errorf("tests are nested deeper than %d", p.nesting)
	}
	if p.token.kind == identifierToken {
		test, err := p.statement(depth + 1)
		if err != nil {
			return nil, err
		}
		s.tests = []*statement{test}
		return s, nil
	}
	s.list = true
	for {
		if err := p.advance(); err != nil {
			return nil, err
		}
		if p.token.kind != identifierToken {
			return nil, p.token.at.errorf("%s stands where a test is wanted", p.token)
		}
		test, err := p.statement(depth + 1)
		if err != nil {
			return nil, err
		}
		s.tests = append(s.tests, test)
		if !p.token.is(",") {
			break
		}
	}
	if ok, err := p.take(")"); !ok && err == nil {
		return nil, p.token.at.errorf(`%s stands in a list of tests: wanted is "," or ")"`, p.token)
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

func (p *parser) argument() (a argument, ok bool, err error) {
	a.at = p.token.at
	switch p.token.kind {
	case tagToken:
		a.kind, a.tag = tagArgument, p.token.text
		return a, true, p.advance()
	case numberToken:
		a.kind, a.number = numberArgument, p.token.number
		return a, true, p.advance()
	case stringToken:
		a.kind, a.strings = stringsArgument, []literal{{p.token.at, p.token.text}}
		return a, true, p.advance()
	}
	if !p.token.is("[") {
		return a, false, nil
	}
	a.kind, a.brackets = stringsArgument, true
	for {
		if err := p.advance(); err != nil {
			return a, false, err
		}
		if p.token.kind != stringToken {
			return a, false, p.token.at.errorf("%s stands where a string of a list is wanted", p.token)
		}
		a.strings = append(a.strings, literal{p.token.at, p.token.text})
		if err := p.advance(); err != nil {
			return a, false, err
		}
		if !p.token.is(",") {
			break
		}
	}
	if ok, err := p.take("]"); ok || err != nil {
		return a, ok, err
	}
	return a, false, p.token.at.errorf(`%s stands in a list of strings: wanted is "," or "]"`, p.token)
}
