package mailbox

import (
	"errors"
	"testing"
	"testing/synctest"
)

// TestTogether lets sessions ask while another reads: who asks the same gets its answer, who heard of more reads anew, and
// the failure of one is not the others'.
func TestTogether(t *testing.T) {
	for name, failure := range map[string]error{"read": nil, "failed": errors.New("the caller went away")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var s together
				asked := question{1, InboxID, 7, 1}
				goOn := make(chan struct{})
				first := make(chan error)
				go func() {
					_, err := s.changes(asked, func() (Changes, error) {
						<-goOn
						return Changes{Folder: Folder{Highest: 8}}, failure
					})
					first <- err
				}()
				synctest.Wait()
				own := 0
				read := func() (Changes, error) {
					own++
					return Changes{Folder: Folder{Highest: 9}}, nil
				}
				later := asked
				later.version++
				if c, err := s.changes(later, read); err != nil || c.Folder.Highest != 9 {
					t.Errorf("who heard of more gets %d, %v", c.Folder.Highest, err)
				}
				second := make(chan ModSeq)
				go func() {
					c, err := s.changes(asked, read)
					if err != nil {
						t.Error(err)
					}
					second <- c.Folder.Highest
				}()
				synctest.Wait()
				close(goOn)
				if err := <-first; !errors.Is(err, failure) {
					t.Errorf("the first gets %v", err)
				}
				want, reads := ModSeq(8), 1
				if failure != nil {
					want, reads = 9, 2
				}
				if got := <-second; got != want || own != reads || len(s.open) != 0 {
					t.Errorf("the second gets %d after %d readings of its own, %d left open", got, own, len(s.open))
				}
			})
		})
	}
}
