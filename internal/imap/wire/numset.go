package wire

import (
	"cmp"
	"slices"
	"strconv"
)

// Range is a range of sequence numbers or UIDs, both ends included. 0 stands for "*", the highest number there is.
type Range struct{ First, Last uint32 }

// NumSet is a set of sequence numbers or UIDs as a client gave it (RFC 3501 section 9, sequence-set).
type NumSet struct {
	Ranges []Range
	// Saved says that the set is "$", the result of the last SEARCH that was saved (RFC 5182).
	Saved bool
}

// numSet takes a sequence set. How many ranges it may have is bounded by the line.
func (r *Reader) numSet() NumSet {
	if r.accept('$') {
		return NumSet{Saved: true}
	}
	var set NumSet
	for r.err == nil {
		first := r.seqNumber()
		last := first
		if r.accept(':') {
			last = r.seqNumber()
		}
		set.Ranges = append(set.Ranges, Range{first, last})
		if !r.accept(',') {
			break
		}
	}
	return set
}

func (r *Reader) seqNumber() uint32 {
	if r.accept('*') {
		return 0
	}
	n := r.number()
	if n == 0 {
		r.fail("a sequence number or UID is not 0")
	}
	return n
}

// Resolve returns the set as ascending ranges that don't touch, with "*" for highest. Where highest is 0, there is
// nothing "*" could mean and a range with it is empty.
func (s NumSet) Resolve(highest uint32) []Range {
	out := make([]Range, 0, len(s.Ranges))
	for _, g := range s.Ranges {
		if (g.First == 0 || g.Last == 0) && highest == 0 {
			continue
		}
		if g.First == 0 {
			g.First = highest
		}
		if g.Last == 0 {
			g.Last = highest
		}
		if g.First > g.Last { // RFC 3501: the order of a range's ends does not matter
			g.First, g.Last = g.Last, g.First
		}
		out = append(out, g)
	}
	return Merge(out)
}

// Merge sorts ranges and joins those that touch, in place.
func Merge(ranges []Range) []Range {
	if len(ranges) < 2 {
		return ranges
	}
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:1]
	for _, g := range ranges[1:] {
		if last := &out[len(out)-1]; last.Last == 1<<32-1 || g.First <= last.Last+1 {
			last.Last = max(last.Last, g.Last)
		} else {
			out = append(out, g)
		}
	}
	return out
}

// AppendRanges appends ranges in the form of a sequence set.
func AppendRanges(dst []byte, ranges []Range) []byte {
	for i, g := range ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(g.First), 10)
		if g.Last != g.First {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(g.Last), 10)
		}
	}
	return dst
}
