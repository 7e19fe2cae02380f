package flow

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

// Author is who a message says it is from.
type Author struct {
	// Sender are the addresses of its Sender field: rules are held against From only where there is none, or no rule matches it.
	Sender, From []message.Address
}

// AuthorOf reads who a message with the header is from.
func AuthorOf(header []byte) (a Author) {
	header = header[:min(len(header), message.MaxHeader)]
	for f := range message.Fields(header[:message.HeaderEnd(header)]) {
		to := &a.From
		switch {
		case f.Is("sender"):
			to = &a.Sender
		case !f.Is("from"):
			continue
		}
		for _, e := range message.ParseAddressList(f.Value()) {
			if e.Kind == message.Mailbox && e.Domain != "" && len(*to) < maxAuthors {
				*to = append(*to, message.Address{Local: e.Local, Domain: e.Domain})
			}
		}
	}
	return a
}

// maxAuthors is how many addresses of a field are looked at: more than any honest one has, as what stands behind escapes the rules.
const maxAuthors = 100

// Set is the rules of an organisation and direction, made for matching. It does not change.
type Set struct {
	direction Direction
	rules     []Rule
	// precedence of each rule: the lower, the more restrictive.
	precedence []int
	// senders and recipients have for each pattern the rules with it.
	senders, recipients map[string][]int
}

// NewSet makes rules, which were checked, ready for matching.
func NewSet(d Direction, rules []Rule) *Set {
	s := &Set{direction: d, rules: rules, senders: map[string][]int{}, recipients: map[string][]int{}}
	for i := range rules {
		r := &rules[i]
		s.precedence = append(s.precedence, slices.Index(d.actions(), r.Action))
		for _, p := range r.Senders {
			s.senders[p] = append(s.senders[p], i)
		}
		for _, p := range r.Recipients {
			s.recipients[p] = append(s.recipients[p], i)
		}
	}
	return s
}

// Direction says what mail the rules are for.
func (s *Set) Direction() Direction { return s.direction }

// Empty reports whether there is no rule.
func (s *Set) Empty() bool { return s == nil || len(s.rules) == 0 }

// Matcher holds a set against the recipients of one message. It belongs to one goroutine.
type Matcher struct {
	set *Set
	// by has for Sender, if there is one, and for From how specifically each rule matches: 0 for not at all.
	by [][]int
	// recipient is for Rule: all 0 between its calls.
	recipient []int
}

// For returns the matcher for the messages of an author. Who is nobody is matched by * alone.
func (s *Set) For(a Author) *Matcher {
	m := &Matcher{set: s, recipient: make([]int, len(s.rules))}
	sides := [][]message.Address{a.Sender, a.From}
	if len(a.Sender) == 0 {
		sides = sides[1:]
	}
	for _, addresses := range sides {
		ranks := make([]int, len(s.rules))
		if len(addresses) == 0 {
			s.rank(s.senders, message.Address{}, ranks)
		}
		for _, address := range addresses {
			s.rank(s.senders, address, ranks)
		}
		m.by = append(m.by, ranks)
	}
	return m
}

// How specific a pattern is: an address more than its domain, that more than what has its subdomains too, of these the longer one more,
// and * least.
const (
	rankAll     = 1 // a pattern with subdomains has one more for each label
	rankDomain  = 1 << 20
	rankAddress = rankDomain + 1
)

// maxDomainBytes is how long a domain can be in Unicode: MaxDomain is of its ASCII form.
const maxDomainBytes = utf8.UTFMax * message.MaxDomain

// patternsFor calls yield with all patterns that match an address, the most specific first. Headers have addresses of any length; no pattern
// names a part that is too long, and a domain of a million labels must not cost a million patterns.
func patternsFor(a message.Address, yield func(pattern string, rank int)) {
	domain := ""
	if len(a.Domain) <= maxDomainBytes {
		domain = message.FoldDomain(a.Domain)
	}
	if domain != "" && len(domain) <= message.MaxDomain {
		local := message.FoldLocal(a.Local)
		local, _, tagged := strings.Cut(local, "+")
		if tagged && local == "" {
			local = message.FoldLocal(a.Local) // no tag, and no pattern has it
		}
		if len(local) <= message.MaxLocal {
			yield(local+"@"+domain, rankAddress)
		}
		yield(domain, rankDomain)
		for labels, more := strings.Count(domain, ".")+1, true; more; labels-- {
			yield("*."+domain, rankAll+labels)
			_, domain, more = strings.Cut(domain, ".")
		}
	}
	yield("*", rankAll)
}

// rank raises ranks to how specifically rules match the address.
func (s *Set) rank(index map[string][]int, a message.Address, ranks []int) {
	patternsFor(a, func(pattern string, rank int) {
		for _, i := range index[pattern] {
			ranks[i] = max(ranks[i], rank)
		}
	})
}

// candidate is a rule that matches.
type candidate struct{ rule, sender, recipient int }

// Rule returns the rule that acts on the message for a recipient, nil for none.
func (m *Matcher) Rule(to message.Address) *Rule {
	s := m.set
	var matching []int
	patternsFor(to, func(pattern string, rank int) {
		for _, i := range s.recipients[pattern] {
			if m.recipient[i] == 0 { // what comes later is less specific
				m.recipient[i] = rank
				matching = append(matching, i)
			}
		}
	})
	defer func() {
		for _, i := range matching {
			m.recipient[i] = 0
		}
	}()
	for _, sender := range m.by {
		var found []candidate
		for _, i := range matching {
			if sender[i] > 0 {
				found = append(found, candidate{i, sender[i], m.recipient[i]})
			}
		}
		if len(found) > 0 {
			return &s.rules[s.choose(found)]
		}
	}
	return nil
}

// choose returns the most restrictive of those that no other is more specific than.
func (s *Set) choose(found []candidate) int {
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.sender, a.sender), cmp.Compare(b.recipient, a.recipient))
	})
	best := -1
	var reach candidate // the first with the highest rank of a recipient so far
	for _, c := range found {
		switch {
		case c.recipient > reach.recipient:
			reach = c
		case c.recipient < reach.recipient, c.sender < reach.sender:
			continue // reach is more specific
		}
		if best < 0 || s.before(c.rule, best) {
			best = c.rule
		}
	}
	return best
}

// before reports whether a rule acts rather than another that is as specific.
func (s *Set) before(a, b int) bool {
	return cmp.Or(cmp.Compare(s.precedence[a], s.precedence[b]), strings.Compare(s.rules[a].Name, s.rules[b].Name)) < 0
}
