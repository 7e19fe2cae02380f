package mailbox

import (
	"iter"
	"slices"
	"strconv"
)

// UIDRange is the UIDs from First to Last, both included.
type UIDRange struct{ First, Last UID }

// UIDSet is a set of UIDs as ascending ranges that neither overlap nor touch. The nil set is empty. NewUIDSet makes one of
// ranges in any order; verbs that take a UIDSet need it in this form.
type UIDSet []UIDRange

// NewUIDSet returns the union of ranges in any order. A range whose ends are swapped is taken as if they were not.
func NewUIDSet(ranges ...UIDRange) UIDSet {
	s := slices.Clone(ranges)
	for i, r := range s {
		if r.First > r.Last {
			s[i] = UIDRange{r.Last, r.First}
		}
	}
	slices.SortFunc(s, func(a, b UIDRange) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (out[n-1].Last == MaxUID || r.First <= out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// UIDs returns the set of single UIDs in any order.
func UIDs(uids ...UID) UIDSet {
	ranges := make([]UIDRange, len(uids))
	for i, u := range uids {
		ranges[i] = UIDRange{u, u}
	}
	return NewUIDSet(ranges...)
}

// AllUIDs is every UID: 1:*.
func AllUIDs() UIDSet { return UIDSet{{1, MaxUID}} }

// add appends u, which must be above all UIDs of the set.
func (s *UIDSet) add(u UID) {
	if n := len(*s); n > 0 && (*s)[n-1].Last+1 == u {
		(*s)[n-1].Last = u
		return
	}
	*s = append(*s, UIDRange{u, u})
}

// Contains reports whether u is in the set.
func (s UIDSet) Contains(u UID) bool {
	i, found := slices.BinarySearchFunc(s, u, func(r UIDRange, u UID) int {
		switch {
		case r.Last < u:
			return -1
		case r.First > u:
			return 1
		}
		return 0
	})
	return found && i < len(s)
}

// Len returns the number of UIDs.
func (s UIDSet) Len() int64 {
	var n int64
	for _, r := range s {
		n += int64(r.Last-r.First) + 1
	}
	return n
}

// All goes through the UIDs, ascending.
func (s UIDSet) All() iter.Seq[UID] {
	return func(yield func(UID) bool) {
		for _, r := range s {
			for u := r.First; ; u++ {
				if !yield(u) {
					return
				}
				if u == r.Last {
					break
				}
			}
		}
	}
}

// String returns the set as IMAP writes it: "1:3,7".
func (s UIDSet) String() string {
	var b []byte
	for i, r := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.First), 10)
		if r.Last != r.First {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Last), 10)
		}
	}
	return string(b)
}
