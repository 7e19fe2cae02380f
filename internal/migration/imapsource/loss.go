package imapsource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pennypost/pennypost/internal/migration"
)

// The most of what came from an account that a run may remove by itself: more than this share of it, and more than the number, is
// likelier a source that is being taken down than mail that was thrown away.
const (
	lossShare  = 2 // half
	lossNumber = 20
)

// losses is what came from an account and is not where it was.
type losses struct {
	*task
	came int64
	lost int64
	// identities are those of the lost ones, with how many of each there are.
	identities map[int64]int
	// found are the UIDs of what came from a folder and is there, ascending; closed folders have nothing else, or can't be read.
	found  map[int][]uint32
	closed map[int]bool
}

func (l *losses) much() bool { return l.lost > lossNumber && l.lost > l.came/lossShare }

// loss says that too much is gone at the source, empty where it is not. A message is there under its UID or, in whatever folder, by
// its identity, which is asked for where UIDs alone say that too much is gone.
func (t *task) loss(ctx context.Context) (string, error) {
	l := losses{task: t, identities: map[int64]int{}, found: map[int][]uint32{}, closed: map[int]bool{}}
	from := map[int][]migration.CameFrom{}
	for _, c := range t.planned.Came {
		from[c.Folder] = append(from[c.Folder], c)
	}
	for i := range t.listed {
		if from[i] == nil {
			continue
		}
		if err := l.look(ctx, i, from[i]); err != nil {
			return "", err
		}
	}
	for _, c := range from[-1] {
		if _, err := l.compare(ctx, c, nil); err != nil {
			return "", err
		}
	}
	for i := range t.listed {
		if err := l.find(ctx, i); err != nil {
			return "", err
		}
	}
	if !l.much() {
		return "", nil
	}
	return fmt.Sprintf("of the %d messages that came from the source, %d are not there any more, and would be removed here: "+
		"is it being taken down? Give --accept-loss if that is wanted", l.came, l.lost), nil
}

// look compares a folder with what came from it.
func (l *losses) look(ctx context.Context, i int, from []migration.CameFrom) error {
	p := l.passage(i)
	if len(from) == 1 && !from[0].Renumbered && p.untouched() {
		l.came, l.closed[i] = l.came+p.to.Known, true
		return nil
	}
	var uids []uint32
	err := l.with(ctx, func(context.Context) (err error) {
		_, uids, err = p.open()
		return err
	})
	var refused refusedError
	if errors.As(err, &refused) { // nothing of it is going to be removed
		l.closed[i] = true
		return nil
	}
	if err != nil {
		return err
	}
	l.reached()
	for _, c := range from {
		if c.Renumbered {
			_, err = l.compare(ctx, c, nil)
		} else {
			l.found[i], err = l.compare(ctx, c, uids)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compare counts what came, and returns what of it has one of the UIDs, which are ascending. The rest is lost.
func (l *losses) compare(ctx context.Context, c migration.CameFrom, uids []uint32) (found []uint32, err error) {
	for after := uint32(0); ; {
		page, err := l.core.CameMail(ctx, migration.MailCame{Mailbox: l.opened.Mailbox, Key: c.Key, After: after})
		if err != nil || len(page.Messages) == 0 {
			return found, err
		}
		for _, m := range page.Messages {
			l.came++
			if has(uids, m.UID) {
				found = append(found, m.UID)
				continue
			}
			l.lost++
			l.identities[m.Identity]++
		}
		after = page.Messages[len(page.Messages)-1].UID
	}
}

// has reports whether ascending UIDs contain one.
func has(uids []uint32, uid uint32) bool {
	_, ok := slices.BinarySearch(uids, uid)
	return ok
}

// find looks for what is lost among the other messages of a folder, until not much is.
func (l *losses) find(ctx context.Context, i int) error {
	p := l.passage(i)
	if !l.much() || l.closed[i] || p.at.NoSelect || p.at.Unread || p.to.Reason != "" {
		return nil
	}
	last := uint32(0)
	err := l.with(ctx, func(context.Context) error {
		_, uids, err := p.open()
		if err != nil {
			return err
		}
		uids = slices.DeleteFunc(uids, func(u uint32) bool { return u <= last || has(l.found[i], u) })
		for chunk := range slices.Chunk(uids, renumbered) {
			if !l.much() {
				break
			}
			numbers, err := p.identities(chunk)
			if err != nil {
				return err
			}
			for _, n := range numbers {
				if l.identities[n.Identity] > 0 {
					l.identities[n.Identity]--
					l.lost--
				}
			}
			last = chunk[len(chunk)-1]
			l.reached()
		}
		return nil
	})
	var refused refusedError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}
