package mailbox

import (
	"context"
	"fmt"
	"strings"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

// wellKnown are the keywords whose bits are the same in every mailbox.
var wellKnown = [...]struct {
	bit  Flags
	name string
}{
	{MDNSent, "$MDNSent"},
	{Forwarded, "$Forwarded"},
	{Junk, "$Junk"},
	{NotJunk, "$NotJunk"},
	{Phishing, "$Phishing"},
	{SubmitPending, "$SubmitPending"},
	{Submitted, "$Submitted"},
	{Important, "$Important"},
}

// Keywords maps keyword bits to names for one mailbox. It is immutable. A name keeps its bit for ever, so an old Keywords is
// never wrong, only incomplete.
type Keywords struct {
	bits  map[string]Flags // by ASCII lower case
	names [64]string
	all   Flags
}

func newKeywords() *Keywords {
	k := &Keywords{bits: map[string]Flags{}}
	for _, w := range wellKnown {
		k.add(w.bit, w.name)
	}
	return k
}

func (k *Keywords) add(bit Flags, name string) {
	k.bits[strings.ToLower(name)] = bit
	k.all |= bit
	for i := range k.names {
		if bit == 1<<i {
			k.names[i] = name
		}
	}
}

// Bit returns the bit of a keyword, compared without case, and whether the mailbox knows it.
func (k *Keywords) Bit(name string) (Flags, bool) {
	bit, ok := k.bits[strings.ToLower(name)]
	return bit, ok
}

// Names returns the names of the keyword bits of f in the order of the bits; flags that are no keywords are left out.
func (k *Keywords) Names(f Flags) []string {
	var names []string
	for i := range k.names {
		if f&(1<<i) != 0 && k.names[i] != "" {
			names = append(names, k.names[i])
		}
	}
	return names
}

// All returns every bit that has a name: what FLAGS and PERMANENTFLAGS list.
func (k *Keywords) All() Flags { return k.all }

// Keywords returns the names of the mailbox's keyword bits.
func (s *Store) Keywords(ctx context.Context, id ID) (k *Keywords, err error) {
	err = s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		k, err = keywordsTx(ctx, tx, id)
		return err
	})
	return k, err
}

func keywordsTx(ctx context.Context, tx *db.Tx, id ID) (*Keywords, error) {
	k := newKeywords()
	err := tx.Each(ctx, func(r db.Row) error {
		var bit int
		var name string
		err := r.Scan(&bit, &name)
		k.add(1<<bit, name)
		return err
	}, `SELECT bit, name FROM keyword WHERE mailbox = $1 ORDER BY bit`, int64(id))
	if err != nil {
		return nil, fmt.Errorf("read the keywords of mailbox %s: %w", id, err)
	}
	return k, nil
}

// DefineKeywords returns the bits of the names (compared without case), giving out new ones where needed: that is a write of
// its own, and only then. Faults: Invalid Message (not an atom of RFC 3501 section 9, or longer than MaxKeywordLength);
// Limit Mailbox (MaxKeywords); NotFound Mailbox.
func (s *Store) DefineKeywords(ctx context.Context, id ID, names []string) (Flags, error) {
	for _, name := range names {
		if err := checkKeyword(name); err != nil {
			return 0, err
		}
	}
	k, err := s.Keywords(ctx, id)
	if err != nil {
		return 0, err
	}
	flags, missing := k.lookUp(names)
	if !missing {
		return flags, nil
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if _, err := s.lock(ctx, tx, id, 0, 0, 0); err != nil {
			return err
		}
		k, err := keywordsTx(ctx, tx, id)
		if err != nil {
			return err
		}
		next := firstFreeBit
		for next <= lastFreeBit && k.names[next] != "" {
			next++
		}
		for _, name := range names {
			if _, known := k.Bit(name); known {
				continue
			}
			if next > lastFreeBit {
				return fault.New(fault.Limit, fault.Mailbox, "the mailbox has %d keywords of its own; it can't have more", MaxKeywords)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO keyword (mailbox, bit, key, name) VALUES ($1, $2, $3, $4)`,
				int64(id), next, strings.ToLower(name), name); err != nil {
				return fmt.Errorf("define keyword %q in mailbox %s: %w", name, id, err)
			}
			k.add(1<<next, name)
			next++
		}
		flags, _ = k.lookUp(names)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return flags, nil
}

func (k *Keywords) lookUp(names []string) (flags Flags, missing bool) {
	for _, name := range names {
		bit, ok := k.Bit(name)
		flags |= bit
		missing = missing || !ok
	}
	return flags, missing
}

// checkKeyword tells whether name is an atom that can be a keyword.
func checkKeyword(name string) error {
	if name == "" || len(name) > MaxKeywordLength {
		return fault.New(fault.Invalid, fault.Message, "a keyword has 1 to %d characters, not %d", MaxKeywordLength, len(name))
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return fault.New(fault.Invalid, fault.Message, "keyword %q has a character that keywords can't have at byte %d", name, i)
		}
	}
	return nil
}
