package imap

import "github.com/pennypost/pennypost/internal/mailbox"

// intersect returns what is in both sets.
func intersect(a, b mailbox.UIDSet) mailbox.UIDSet {
	var out mailbox.UIDSet
	for i, j := 0, 0; i < len(a) && j < len(b); {
		first, last := max(a[i].First, b[j].First), min(a[i].Last, b[j].Last)
		if first <= last {
			out = append(out, mailbox.UIDRange{First: first, Last: last})
		}
		if a[i].Last < b[j].Last {
			i++
		} else {
			j++
		}
	}
	return out
}

// subtract returns the UIDs of set below next that are not in list.
func subtract(set mailbox.UIDSet, list *mailbox.UIDList, next mailbox.UID) mailbox.UIDSet {
	if next <= 1 {
		return nil
	}
	return outside(intersect(set, mailbox.UIDSet{{First: 1, Last: next - 1}}), list)
}

// outside returns the UIDs of set that are not in list. It takes time by the ranges, not by the UIDs.
func outside(set mailbox.UIDSet, list *mailbox.UIDList) mailbox.UIDSet {
	var out mailbox.UIDSet
	for _, g := range set {
		next := g.First
		full := false
		for _, in := range list.Within(mailbox.UIDSet{g}) {
			if in.First > next {
				out = append(out, mailbox.UIDRange{First: next, Last: in.First - 1})
			}
			if full = in.Last == g.Last; full {
				break
			}
			next = in.Last + 1
		}
		if !full {
			out = append(out, mailbox.UIDRange{First: next, Last: g.Last})
		}
	}
	return out
}
