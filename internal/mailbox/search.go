package mailbox

import (
	"context"

	"github.com/pennypost/pennypost/internal/fault"
)

// Found is the result of a search.
type Found struct {
	UIDs UIDSet
	// Highest is the highest ModSeq of the items found, filled only where the search read it: WithModSeq was asked.
	Highest ModSeq
}

// Search returns the items of the folder for which c holds. What flags decide is answered from memory, questions about an item's
// own row by scans of pages of the folder; only items that these leave in doubt are looked at further. m answers what needs a message's bytes; it may be
// nil when c asks no such question. withModSeq fills Found.Highest. Like Fetch it holds no snapshot between pages.
// Faults: NotFound Folder; Invalid Message (a malformed criterion).
func (s *Store) Search(ctx context.Context, id ID, f FolderID, c *Criterion, m Matcher, withModSeq bool) (Found, error) {
	if err := c.check(m); err != nil {
		return Found{}, err
	}
	folder, err := s.FolderByID(ctx, id, f)
	if err != nil {
		return Found{}, err
	}
	set := UIDSet{{1, MaxUID}}.upTo(folder.UIDNext - 1)
	if c.narrows() {
		snap, err := s.snapshot(ctx, id, &folder, c.asks(FlagsAre, FlagsAre))
		if err != nil {
			return Found{}, err
		}
		set = c.within(snap).Within(set)
		if c.inMemory() && !withModSeq {
			return Found{UIDs: set}, nil
		}
	}
	return s.searchItems(ctx, id, f, c, m, set)
}

// searchItems judges the items of set one by one.
func (s *Store) searchItems(ctx context.Context, id ID, f FolderID, c *Criterion, m Matcher, set UIDSet) (Found, error) {
	var out Found
	k := candidate{matcher: m}
	if c.onlyMessages() {
		return s.searchMessages(ctx, id, f, c, &k, set)
	}
	want := WantModSeq
	if c.asks(Larger, ThreadIs) {
		want |= WantItem
	}
	if c.need() >= envelopeLevel {
		want |= WantEnvelope
	}
	var doubtful UIDSet
	for it, err := range s.Fetch(ctx, id, f, set, want, 0) {
		if err != nil {
			return out, err
		}
		k.reset(it, min(c.need(), envelopeLevel))
		v, err := c.judge(ctx, &k)
		if err != nil {
			return out, err
		}
		switch v {
		case yes:
			out.add(it)
		case unknown:
			doubtful.add(it.UID)
		}
	}
	if len(doubtful) == 0 {
		return out, nil
	}
	more, err := s.searchMessages(ctx, id, f, c, &k, doubtful)
	if err != nil {
		return out, err
	}
	return Found{UIDs: NewUIDSet(append(out.UIDs, more.UIDs...)...), Highest: max(out.Highest, more.Highest)}, nil
}

// searchMessages judges items with their messages at hand.
func (s *Store) searchMessages(ctx context.Context, id ID, f FolderID, c *Criterion, k *candidate, set UIDSet) (Found, error) {
	var out Found
	for it, err := range s.Fetch(ctx, id, f, set, WantMeta|WantBody, 0) {
		if err != nil {
			return out, err
		}
		content, err := s.Open(ctx, it)
		if fault.Is(err, fault.NotFound, fault.Message) {
			continue // removed since the page was read
		}
		if err != nil {
			return out, err
		}
		k.reset(it, messageLevel)
		k.message = k.matcher.Message(it.Structure, content, len(it.Prefix))
		v, err := c.judge(ctx, k)
		if cerr := content.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return out, err
		}
		if v == yes {
			out.add(it)
		}
	}
	return out, nil
}

func (f *Found) add(it *Item) {
	f.UIDs.add(it.UID)
	f.Highest = max(f.Highest, it.ModSeq)
}

// candidate is an item while it is judged.
type candidate struct {
	matcher Matcher
	item    *Item
	level   level
	message MessageMatcher
}

func (k *candidate) reset(it *Item, l level) { k.item, k.level, k.message = it, l, nil }

// ask has the matcher answer, unless nobody waits for it any more: many questions about a large message take long.
func (k *candidate) ask(ctx context.Context, c *Criterion) (verdict, error) {
	if k.level >= envelopeLevel && c.Op != BodyHas && c.Op != TextHas {
		if match, known := k.matcher.MatchEnvelope(c, k.item.Envelope); known {
			return verdictOf(match), nil
		}
	}
	if k.level < messageLevel {
		return unknown, nil
	}
	if err := ctx.Err(); err != nil {
		return unknown, err
	}
	match, err := k.message.Match(c)
	return verdictOf(match), err
}

// maxCriteria bounds the parts of a criterion, and maxCriterionDepth how deep they nest.
const (
	maxCriteria       = 10_000
	maxCriterionDepth = 100
)

// check refuses a criterion that can't be judged.
func (c *Criterion) check(m Matcher) error {
	n := 0
	var walk func(c *Criterion, depth int) error
	walk = func(c *Criterion, depth int) error {
		if n++; n > maxCriteria || depth > maxCriterionDepth {
			return fault.New(fault.Limit, fault.Message, "the search has more than %d parts, or nests deeper than %d", maxCriteria, maxCriterionDepth)
		}
		switch {
		case c.Op > TextHas || (c.Op == Not && len(c.Sub) != 1):
			return fault.New(fault.Invalid, fault.Message, "the search is malformed")
		case m == nil && c.Op >= SentFrom:
			return fault.New(fault.Unsupported, fault.Message, "this search can't look into messages")
		}
		for i := range c.Sub {
			if err := walk(&c.Sub[i], depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(c, 0)
}
