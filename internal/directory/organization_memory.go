package directory

import (
	"sync"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/feed"
)

// rememberedOrganizations bounds the rows that are remembered, some 300 bytes each.
const rememberedOrganizations = 4096

// organizationMemory remembers rows of organisations, which every verb reads and few change. Who loads a row asks for its
// generation before the transaction begins and hands it to keep, which refuses what a change may have overtaken.
//
// Readers and the writer have one each: what the writer has changed but not committed is not yet true for readers.
type organizationMemory struct {
	mu         sync.Mutex
	generation uint64                 // guarded by mu
	rows       map[OrgID]Organization // guarded by mu
}

func (m *organizationMemory) find(id OrgID) (o *Organization, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if row, ok := m.rows[id]; ok {
		return &row, m.generation
	}
	return nil, m.generation
}

func (m *organizationMemory) keep(o *Organization, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if generation != m.generation {
		return
	}
	if m.rows == nil || len(m.rows) >= rememberedOrganizations {
		m.rows = map[OrgID]Organization{}
	}
	m.rows[o.ID] = *o
}

func (m *organizationMemory) forget(id OrgID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	delete(m.rows, id)
}

// organizationChanged must follow every statement that changes an organisation's row or domains, in the same function. It tells
// others after the commit.
func (s *Service) organizationChanged(tx *db.Tx, id OrgID) {
	s.written.forget(id)
	tx.OnCommit(func() { s.committed.forget(id) })
	s.Announce(tx, id)
}

// Announce tells others after the commit that something of an organisation changed which may end sessions.
func (s *Service) Announce(tx *db.Tx, id OrgID) {
	tx.OnCommit(func() { s.feed.Publish(feed.Topic{Kind: "organization", Key: string(id)}) })
}
