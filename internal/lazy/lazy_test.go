package lazy

import (
	"sync"
	"testing"
)

// TestValue gets one from many goroutines: it is made once, and not before.
func TestValue(t *testing.T) {
	made := 0
	v := Value[*int]{Make: func() *int { made++; return new(made) }}
	if made != 0 {
		t.Error("it was made before anybody asked")
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if got := *v.Get(); got != 1 {
				t.Errorf("got %d", got)
			}
		})
	}
	all.Wait()
}
