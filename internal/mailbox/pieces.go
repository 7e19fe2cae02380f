package mailbox

import "context"

// maxRanges is how many ranges of UIDs one transaction reads.
const maxRanges = 128

// pieces cuts a set of a folder's UIDs into sets of at most BatchRows existing items each, in few ranges. A small set is one
// piece without a look at the folder.
func (s *Store) pieces(ctx context.Context, id ID, f FolderID, set UIDSet) ([]UIDSet, error) {
	if len(set) == 0 {
		return nil, nil
	}
	if len(set) <= maxRanges && set.Len() <= int64(s.batch) {
		return []UIDSet{set}, nil
	}
	folder, err := s.FolderByID(ctx, id, f)
	if err != nil {
		return nil, err
	}
	if len(set) <= maxRanges && folder.Messages <= int64(s.batch) {
		last := folder.UIDNext - 1
		return []UIDSet{set.upTo(last)}, nil
	}
	list, err := s.UIDList(ctx, id, &folder)
	if err != nil {
		return nil, err
	}
	if cut := list.pieces(set, s.batch, maxRanges); len(cut) > 0 {
		return cut, nil
	}
	return []UIDSet{{{set[0].First, set[0].First}}}, nil // nothing is there, but what is wrong with the folders is still to be told
}

// upTo returns the part of the set that is at most last.
func (s UIDSet) upTo(last UID) UIDSet {
	var out UIDSet
	for _, r := range s {
		if r.First > last {
			break
		}
		out = append(out, UIDRange{r.First, min(r.Last, last)})
	}
	return out
}

// pieces cuts the UIDs of the list that are in set into sets of at most rows UIDs and ranges ranges. A range spans UIDs that
// aren't in the list, so that neighbours in the list share one.
func (l *UIDList) pieces(set UIDSet, rows, ranges int) []UIDSet {
	var out []UIDSet
	var piece UIDSet
	n, last := 0, 0 // UIDs in piece; the highest sequence number in it
	for _, r := range set {
		low, in := l.Rank(r.First)
		if !in {
			low++
		}
		high, _ := l.Rank(r.Last)
		for low <= high {
			if n == rows || (len(piece) == ranges && low != last+1) {
				out = append(out, piece)
				piece, n, last = nil, 0, 0
			}
			k := min(high-low+1, rows-n)
			first, end := l.UID(low), l.UID(low+k-1)
			if len(piece) > 0 && low == last+1 {
				piece[len(piece)-1].Last = end
			} else {
				piece = append(piece, UIDRange{first, end})
			}
			n, last, low = n+k, low+k-1, low+k
		}
	}
	if len(piece) > 0 {
		out = append(out, piece)
	}
	return out
}

// most returns how many items of a piece there can be.
func (s *Store) most(piece UIDSet) int { return int(min(piece.Len(), int64(s.batch))) }
