package wire

// Pattern is a compiled LIST pattern: "*" stands for any characters, "%" for any but the delimiter (RFC 3501 section
// 6.3.8). Matching takes time proportional to the name's length times the pattern's length divided by 64, whatever they
// hold: all places in the pattern where the match may stand are advanced together, a bit each.
type Pattern struct {
	size      int
	least     int // how long a name must be: the places that are no wildcards
	delimiter byte
	star      []uint64          // places of "*"
	percent   []uint64          // places of "%"
	masks     map[byte][]uint64 // places of each other character
	folded    map[byte][]uint64 // the same with ASCII letters folded to capitals
	all       bool              // the pattern is "*"
}

// CompilePattern prepares a pattern, which is in UTF-8.
func CompilePattern(pattern string, delimiter byte) *Pattern {
	p := &Pattern{delimiter: delimiter, masks: map[byte][]uint64{}, folded: map[byte][]uint64{}}
	var places []byte
	for i := range len(pattern) {
		c := pattern[i]
		if n := len(places); n > 0 && (c == '*' || c == '%') && (places[n-1] == '*' || places[n-1] == '%') {
			if c == '*' { // any run of wildcards means what its strongest one does
				places[n-1] = '*'
			}
			continue
		}
		places = append(places, c)
	}
	p.size = len(places)
	p.all = string(places) == "*"
	words := len(places)/64 + 1
	p.star, p.percent = make([]uint64, words), make([]uint64, words)
	for i, c := range places {
		switch c {
		case '*':
			set(p.star, i)
		case '%':
			set(p.percent, i)
		default:
			p.least++
			mark(p.masks, c, i, words)
			mark(p.folded, capital(c), i, words)
		}
	}
	return p
}

func mark(masks map[byte][]uint64, c byte, i, words int) {
	if masks[c] == nil {
		masks[c] = make([]uint64, words)
	}
	set(masks[c], i)
}

// Match reports whether name, in UTF-8, matches the pattern. INBOX matches without case.
func (p *Pattern) Match(name string) bool {
	if p.all {
		return true
	}
	if len(name) < p.least {
		return false
	}
	inbox := name == "INBOX"
	masks := p.masks
	if inbox {
		masks = p.folded
	}
	at, next := make([]uint64, len(p.star)), make([]uint64, len(p.star))
	set(at, 0)
	p.passWildcards(at)
	for i := range len(name) {
		c := name[i]
		if inbox {
			c = capital(c)
		}
		p.advance(next, at, masks[c], c == p.delimiter)
		at, next = next, at
		p.passWildcards(at)
	}
	return at[p.size/64]>>(p.size%64)&1 == 1
}

// advance computes the places after one more character of the name: those behind a place of that character, and the
// wildcards that take it.
func (p *Pattern) advance(next, at, mask []uint64, delimiter bool) {
	carry := uint64(0)
	for i, here := range at {
		stay := here & p.star[i]
		if !delimiter {
			stay |= here & p.percent[i]
		}
		moved := uint64(0)
		if mask != nil {
			moved = here & mask[i]
		}
		next[i] = moved<<1 | carry | stay
		carry = moved >> 63
	}
}

// passWildcards adds the places behind wildcards, which may stand for nothing. No two wildcards stand side by side.
func (p *Pattern) passWildcards(at []uint64) {
	carry := uint64(0)
	for i := range at {
		wild := at[i] & (p.star[i] | p.percent[i])
		at[i] |= wild<<1 | carry
		carry = wild >> 63
	}
}

func set(bits []uint64, i int) { bits[i/64] |= 1 << (i % 64) }

func capital(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}
