package mailbox

// And returns the UIDs that are in both lists.
func (l *UIDList) And(m *UIDList) *UIDList {
	return l.merge(m, false, false, func(a, b uint64) uint64 { return a & b })
}

// Minus returns the UIDs of the list that are not in m.
func (l *UIDList) Minus(m *UIDList) *UIDList {
	if m.Len() == 0 {
		return l
	}
	return l.merge(m, true, false, func(a, b uint64) uint64 { return a &^ b })
}

// Or returns the UIDs that are in either list.
func (l *UIDList) Or(m *UIDList) *UIDList {
	if m.Len() == 0 {
		return l
	}
	return l.merge(m, true, true, func(a, b uint64) uint64 { return a | b })
}

// merge combines two lists window by window: those that both have with op, those of one alone as they are, if they are kept.
// Windows kept so are shared with the list they come from.
func (l *UIDList) merge(m *UIDList, keepL, keepM bool, op func(a, b uint64) uint64) *UIDList {
	var a, b []uidBlock
	if l != nil {
		a = l.blocks
	}
	if m != nil {
		b = m.blocks
	}
	out := &UIDList{}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].key < b[0].key:
			if keepL {
				out.share(a[0])
			}
			a = a[1:]
		case len(a) == 0 || b[0].key < a[0].key:
			if keepM {
				out.share(b[0])
			}
			b = b[1:]
		default:
			words, others := a[0].words(), b[0].words()
			for i := range words {
				words[i] = op(words[i], others[i])
			}
			out.append(a[0].key, words)
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// share appends a window of another list.
func (l *UIDList) share(b uidBlock) {
	b.before = uint32(l.n)
	l.blocks = append(l.blocks, b)
	l.n += int(b.n)
}
