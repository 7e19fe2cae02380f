package policy

import (
	"context"
	"sync"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/principal"
)

// rememberedRules bounds the organisations whose rules are remembered. A rule takes a few hundred bytes, one with all the ranges
// it may have some 100 KB.
const rememberedRules = 1024

// accessMemory remembers the rules of organisations, which every sign-in reads and few change. Who loads them asks for the
// generation before the transaction begins and hands it to keep, which refuses what a change may have overtaken.
type accessMemory struct {
	mu         sync.Mutex
	generation uint64                             // guarded by mu
	rules      map[directory.OrgID][]compiledRule // guarded by mu; the lists are never changed
}

func (m *accessMemory) find(org directory.OrgID) (rules []compiledRule, known bool, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rules, known = m.rules[org]
	return rules, known, m.generation
}

func (m *accessMemory) keep(org directory.OrgID, rules []compiledRule, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if generation != m.generation {
		return
	}
	if m.rules == nil || len(m.rules) >= rememberedRules {
		m.rules = map[directory.OrgID][]compiledRule{}
	}
	m.rules[org] = rules
}

func (m *accessMemory) forget(org directory.OrgID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation++
	delete(m.rules, org)
}

// accessRules returns the rules of an active organisation in the order of their names.
func (s *Service) accessRules(ctx context.Context, org directory.OrgID) ([]compiledRule, error) {
	rules, known, generation := s.remembered.find(org)
	if known {
		return rules, nil
	}
	err := s.directory.View(ctx, principal.TheSystem("policy"), org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) (err error) {
		rules, err = accessRulesTx(ctx, tx, o.Key)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.remembered.keep(org, rules, generation)
	return rules, nil
}

// accessChanged must follow every statement that changes access rules, in the same function. After the commit it makes the
// next sign-in read them, and tells those whose sessions they may forbid.
func (s *Service) accessChanged(tx *db.Tx, o *directory.Organization) {
	tx.OnCommit(func() { s.remembered.forget(o.ID) })
	s.directory.Announce(tx, o.ID)
}
