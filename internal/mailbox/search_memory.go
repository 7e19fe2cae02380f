package mailbox

// inMemory reports whether a snapshot of the folder answers all of c.
func (c *Criterion) inMemory() bool {
	if c.Op > FlagsAre {
		return false
	}
	for i := range c.Sub {
		if !c.Sub[i].inMemory() {
			return false
		}
	}
	return true
}

// narrows reports whether a snapshot answers c, or a part of it without which c doesn't hold.
func (c *Criterion) narrows() bool {
	if c.Op == And {
		for i := range c.Sub {
			if c.Sub[i].narrows() {
				return true
			}
		}
		return len(c.Sub) == 0
	}
	return c.inMemory()
}

// asks reports whether operators from first to last are among what c asks.
func (c *Criterion) asks(first, last Op) bool {
	if first <= c.Op && c.Op <= last {
		return true
	}
	for i := range c.Sub {
		if c.Sub[i].asks(first, last) {
			return true
		}
	}
	return false
}

// within returns the UIDs for which c holds, as far as the snapshot tells: exactly these if c is inMemory, and else those for
// which the parts hold that narrow it. The snapshot must have flags if c asks for them.
func (c *Criterion) within(snap *snapshot) *UIDList {
	all := snap.uids
	switch c.Op {
	case And:
		for i := range c.Sub {
			if sub := &c.Sub[i]; sub.narrows() {
				all = all.And(sub.within(snap))
			}
		}
	case Or:
		var any *UIDList
		for i := range c.Sub {
			any = any.Or(c.Sub[i].within(snap))
		}
		return any
	case Not:
		return all.Minus(c.Sub[0].within(snap))
	case InUIDs:
		var none *UIDList
		return none.With(all.Within(c.UIDs))
	case FlagsAre:
		return snap.flags.find(all, c.Mask, c.Flags&c.Mask)
	}
	return all
}
