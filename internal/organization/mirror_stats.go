package organization

import (
	"cmp"
	"slices"
	"sync"
)

// MirrorStats is what became of the attempts to mirror an external directory since the process started.
type MirrorStats struct {
	Directory        string // its id
	Finished, Failed uint64
}

// mirrorCounts are the stats by directory.
type mirrorCounts struct {
	mu          sync.Mutex
	byDirectory map[string]MirrorStats
}

func (c *mirrorCounts) add(directory string, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byDirectory == nil {
		c.byDirectory = map[string]MirrorStats{}
	}
	m := c.byDirectory[directory]
	if m.Directory = directory; failed {
		m.Failed++
	} else {
		m.Finished++
	}
	c.byDirectory[directory] = m
}

// Mirrors returns what became of the attempts to mirror external directories, by their ids.
func (s *Service) Mirrors() []MirrorStats {
	c := &s.mirrored
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]MirrorStats, 0, len(c.byDirectory))
	for _, m := range c.byDirectory {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b MirrorStats) int { return cmp.Compare(a.Directory, b.Directory) })
	return all
}
