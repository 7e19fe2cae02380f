package db

import "sync/atomic"

// Stats counts what a database did since it was opened, for metrics.
type Stats struct {
	Commits   uint64 // transactions committed: on SQLite one per group
	Functions uint64 // write functions whose changes were committed
	Refused   uint64 // write functions that returned an error
	Abandoned uint64 // groups (SQLite) or attempts (PostgreSQL) given up and run again or answered as a fault
	Reads     uint64 // read snapshots
	// Groups[i] counts the SQLite groups of up to 2^i functions that committed something.
	Groups [7]uint64
}

type counters struct {
	commits, functions, refused, abandoned, reads atomic.Uint64
	groups                                        [7]atomic.Uint64
}

func (c *counters) stats() Stats {
	s := Stats{
		Commits: c.commits.Load(), Functions: c.functions.Load(), Refused: c.refused.Load(),
		Abandoned: c.abandoned.Load(), Reads: c.reads.Load(),
	}
	for i := range s.Groups {
		s.Groups[i] = c.groups[i].Load()
	}
	return s
}
