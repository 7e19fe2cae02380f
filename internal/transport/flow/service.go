package flow

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
)

// Options is what a Service stands on. All but Functions, and Dialer where there are none, are required.
type Options struct {
	DB        *db.DB
	Directory *directory.Service
	Clock     clock.Clock
	Root      *secret.Key // seals passwords
	// Functions are the endpoints that stand for Lambda functions, by ARN. Dialer makes all connections to them.
	Functions map[string]availability.Function
	Dialer    Dialer
}

// Service keeps the rules and SMTP gateways of all organisations. It is safe for concurrent use.
type Service struct {
	Options
	memory    memory
	functions map[string]functionClient
}

// New returns the service.
func New(o Options) *Service {
	s := &Service{Options: o, memory: memory{sets: map[setKey]*Set{}}, functions: map[string]functionClient{}}
	for arn, f := range o.Functions {
		s.functions[arn] = functionClient{f, o.Dialer.Client(dial.HTTPOptions{Timeout: FunctionTimeout, MaxBody: maxAnswer, TLS: f.TLS})}
	}
	return s
}

const (
	ruleColumns = `name, action, COALESCE((SELECT g.name FROM flow_gateway g WHERE g.organization = r.organization AND g.name_key = r.gateway_key), ''),
		senders, recipients, created, modified, function, synchronous, timeout, fallback`

	selectRule  = `SELECT ` + ruleColumns + ` FROM flow_rule r WHERE organization = $1 AND direction = $2 AND name_key = $3`
	selectRules = `SELECT ` + ruleColumns + ` FROM flow_rule r WHERE organization = $1 AND direction = $2 AND name_key > $3 ORDER BY name_key LIMIT $4`

	countPatterns = `SELECT COALESCE(SUM(sender_count), 0), COALESCE(SUM(recipient_count), 0) FROM flow_rule WHERE organization = $1`

	insertRule = `INSERT INTO flow_rule (organization, direction, name_key, name, action, gateway_key, senders, recipients, sender_count, recipient_count,
		created, modified, function, synchronous, timeout, fallback) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14, $15)`

	updateRule = `UPDATE flow_rule SET name = $4, action = $5, gateway_key = $6, senders = $7, recipients = $8, sender_count = $9, recipient_count = $10,
		modified = $11, function = $12, synchronous = $13, timeout = $14, fallback = $15 WHERE organization = $1 AND direction = $2 AND name_key = $3`

	deleteRule = `DELETE FROM flow_rule WHERE organization = $1 AND direction = $2 AND name_key = $3`

	eraseRules = `DELETE FROM flow_rule WHERE (organization, direction, name_key) IN
		(SELECT organization, direction, name_key FROM flow_rule WHERE organization = $1 ORDER BY direction, name_key LIMIT $2)`

	eraseGateways = `DELETE FROM flow_gateway WHERE (organization, name_key) IN
		(SELECT organization, name_key FROM flow_gateway WHERE organization = $1 ORDER BY name_key LIMIT $2)`

	pageLimit = 100
)

// operation is what the audit trail calls a change.
func (d Direction) operation(verb string) string {
	if d == Inbound {
		return verb + "InboundMailFlowRule"
	}
	return verb + "OutboundMailFlowRule"
}

// CreateRule makes a rule, which acts at once. Faults: Invalid; Exists and NotFound Resource (the gateway), Limit.
func (s *Service) CreateRule(ctx context.Context, p principal.Principal, org directory.OrgID, r Rule) error {
	return s.changeRule(ctx, p, org, "Create", r, func(ctx context.Context, tx *db.Tx, o *directory.Organization, r *Rule) error {
		if _, err := ruleTx(ctx, tx, o.Key, r.Direction, r.Name); !fault.Is(err, fault.NotFound, fault.Resource) {
			if err != nil {
				return err
			}
			return fault.New(fault.Exists, fault.Resource, "there is a rule %q already", r.Name)
		}
		return s.writeTx(ctx, tx, insertRule, o.Key, r)
	})
}

// UpdateRule makes the rule of that name what r says, at once. Faults: those of CreateRule but Exists; NotFound Resource (the rule).
func (s *Service) UpdateRule(ctx context.Context, p principal.Principal, org directory.OrgID, r Rule) error {
	return s.changeRule(ctx, p, org, "Update", r, func(ctx context.Context, tx *db.Tx, o *directory.Organization, r *Rule) error {
		if _, err := ruleTx(ctx, tx, o.Key, r.Direction, r.Name); err != nil {
			return err
		}
		return s.writeTx(ctx, tx, updateRule, o.Key, r)
	})
}

// changeRule checks a rule, changes the organisation's by fn, and holds them to their limits.
func (s *Service) changeRule(ctx context.Context, p principal.Principal, org directory.OrgID, verb string, r Rule,
	fn func(context.Context, *db.Tx, *directory.Organization, *Rule) error,
) error {
	r, err := r.check()
	if err != nil {
		return s.Directory.GateFirst(ctx, org, err)
	}
	return s.Directory.ChangeAlone(ctx, p, org, r.Direction.operation(verb), func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if r.Gateway != "" {
			if _, err := gatewayTx(ctx, tx, o.Key, r.Gateway); err != nil {
				return "", err
			}
		}
		if err := fn(ctx, tx, o, &r); err != nil {
			return "", err
		}
		var senders, recipients int64
		if err := tx.QueryRow(ctx, countPatterns, o.Key).Scan(&senders, &recipients); err != nil {
			return "", fmt.Errorf("count the patterns of mail flow rules: %w", err)
		}
		if max(senders, recipients) > maxAllPatterns {
			return "", fault.New(fault.Limit, fault.Resource, "the rules of an organization can have %d sender patterns and %d recipient patterns in all", maxAllPatterns, maxAllPatterns)
		}
		s.forgetTx(tx, o.Key)
		return r.Name, nil
	})
}

func (s *Service) writeTx(ctx context.Context, tx *db.Tx, statement string, org int64, r *Rule) error {
	var l Lambda
	if r.Lambda != nil {
		l = *r.Lambda
	}
	var synchronous int64
	if l.Synchronous {
		synchronous = 1
	}
	_, err := tx.Exec(ctx, statement, org, int64(r.Direction), directory.Fold(r.Name), r.Name, string(r.Action), directory.Fold(r.Gateway),
		strings.Join(r.Senders, "\n"), strings.Join(r.Recipients, "\n"), int64(len(r.Senders)), int64(len(r.Recipients)), s.Clock.Now().UnixMicro(),
		l.ARN, synchronous, int64(l.Timeout/time.Minute), string(l.Fallback))
	if err != nil {
		return fmt.Errorf("store the mail flow rule %q: %w", r.Name, err)
	}
	return nil
}

// DeleteRule removes a rule; where there is none, nothing happens.
func (s *Service) DeleteRule(ctx context.Context, p principal.Principal, org directory.OrgID, d Direction, name string) error {
	return s.Directory.Change(ctx, p, org, d.operation("Delete"), func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		s.forgetTx(tx, o.Key)
		_, err := tx.Exec(ctx, deleteRule, o.Key, int64(d), nameKey(name))
		return strings.TrimSpace(name), err
	})
}

// DescribeRule returns a rule. Faults: NotFound Resource.
func (s *Service) DescribeRule(ctx context.Context, p principal.Principal, org directory.OrgID, d Direction, name string) (r *Rule, err error) {
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) (err error) {
		r, err = ruleTx(ctx, tx, o.Key, d, name)
		return err
	})
	return r, err
}

// ListRules lists rules by name. Fault: Invalid (Token).
func (s *Service) ListRules(ctx context.Context, p principal.Principal, org directory.OrgID, d Direction, page directory.Page) (list []Rule, next string, err error) {
	limit := limitOf(page)
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		if list, err = rulesTx(ctx, tx, d, selectRules, o.Key, int64(d), page.After, limit+1); err != nil {
			return err
		}
		if next = ""; len(list) > limit {
			list, next = list[:limit], directory.Fold(list[limit-1].Name)
		}
		return nil
	})
	return list, next, err
}

func limitOf(page directory.Page) int {
	if page.Limit <= 0 || page.Limit > pageLimit {
		return pageLimit
	}
	return page.Limit
}

// TestRules returns the rule that would act on a message from sender to recipient, nil for none. Faults: Invalid.
func (s *Service) TestRules(ctx context.Context, p principal.Principal, org directory.OrgID, d Direction, sender, recipient string) (found *Rule, err error) {
	from, err := message.ParseAddress(sender)
	if err != nil {
		return nil, s.Directory.GateFirst(ctx, org, invalid("the sender %.100q is not an address", sender))
	}
	to, err := message.ParseAddress(recipient)
	if err != nil {
		return nil, s.Directory.GateFirst(ctx, org, invalid("the recipient %.100q is not an address", recipient))
	}
	err = s.Directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		set, err := readTx(ctx, tx, o.Key, d)
		if err == nil {
			found = set.For(Author{From: []message.Address{from}}).Rule(to)
		}
		return err
	})
	return found, err
}

// EraseTx removes at most limit rules and gateways of an organisation that is being deleted, and returns how many.
func (s *Service) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, limit int) (int, error) {
	s.forgetTx(tx, o.Key)
	var total int64
	for _, statement := range []string{eraseRules, eraseGateways} {
		n, err := tx.Exec(ctx, statement, o.Key, int64(limit)-total)
		if err != nil {
			return 0, fmt.Errorf("erase the mail flow rules of organization %s: %w", o.ID, err)
		}
		total += n
	}
	return int(total), nil
}

const selectLost = `SELECT r.organization, r.name FROM flow_rule r WHERE r.gateway_key <> '' AND NOT EXISTS
	(SELECT 1 FROM flow_gateway g WHERE g.organization = r.organization AND g.name_key = r.gateway_key) ORDER BY r.organization, r.name_key`

// Check returns a line for each rule that names a gateway which there is not.
func (s *Service) Check(ctx context.Context, tx *db.Tx) (faults []string, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		var org int64
		var name string
		if err := row.Scan(&org, &name); err != nil {
			return err
		}
		faults = append(faults, fmt.Sprintf("mail flow: the rule %q of organization %d names an SMTP gateway that does not exist", name, org))
		return nil
	}, selectLost)
	if err != nil {
		return nil, fmt.Errorf("check mail flow rules: %w", err)
	}
	return faults, nil
}

func nameKey(name string) string { return directory.Fold(strings.TrimSpace(name)) }

func ruleTx(ctx context.Context, tx *db.Tx, org int64, d Direction, name string) (*Rule, error) {
	r, err := scanRule(tx.QueryRow(ctx, selectRule, org, int64(d), nameKey(name)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, fault.Resource, "there is no rule %q", strings.TrimSpace(name))
	}
	if err != nil {
		return nil, fmt.Errorf("read the mail flow rule %q: %w", name, err)
	}
	r.Direction = d
	return r, nil
}

func rulesTx(ctx context.Context, tx *db.Tx, d Direction, query string, args ...any) (list []Rule, err error) {
	err = tx.Each(ctx, func(row db.Row) error {
		r, err := scanRule(row)
		if err != nil {
			return err
		}
		r.Direction = d
		list = append(list, *r)
		return nil
	}, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read mail flow rules: %w", err)
	}
	return list, nil
}

func scanRule(from db.Row) (*Rule, error) {
	var r Rule
	var senders, recipients string
	var l Lambda
	var created, modified, synchronous, timeout int64
	err := from.Scan(&r.Name, &r.Action, &r.Gateway, &senders, &recipients, &created, &modified, &l.ARN, &synchronous, &timeout, &l.Fallback)
	if r.Action == RunLambda {
		l.Synchronous, l.Timeout = synchronous != 0, time.Duration(timeout)*time.Minute
		r.Lambda = &l
	}
	r.Senders, r.Recipients = strings.Split(senders, "\n"), strings.Split(recipients, "\n")
	r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return &r, err
}

// memory keeps sets, so that a message costs no query. A change forgets those of its organisation after its commit.
type memory struct {
	mu         sync.Mutex
	sets       map[setKey]*Set
	generation uint64 // counts what was forgotten
}

type setKey struct {
	org int64
	d   Direction
}

// maxSets is how many sets are kept.
const maxSets = 2000

// Sets returns the rules of organisations: those in memory, and the others read in one transaction of its own, and kept.
func (s *Service) Sets(ctx context.Context, d Direction, orgs ...int64) (map[int64]*Set, error) {
	sets, missing, generation := s.memory.known(d, orgs)
	if len(missing) == 0 {
		return sets, nil
	}
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		for _, org := range missing {
			if sets[org], err = readTx(ctx, tx, org, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.memory.keep(d, sets, missing, generation)
	return sets, nil
}

func readTx(ctx context.Context, tx *db.Tx, org int64, d Direction) (*Set, error) {
	rules, err := rulesTx(ctx, tx, d, selectRules, org, int64(d), "", maxAllPatterns)
	if err != nil {
		return nil, err
	}
	return NewSet(d, rules), nil
}

// known returns the sets that are kept, the organisations whose is not, and the generation for keep: what is read from now on is not older.
func (m *memory) known(d Direction, orgs []int64) (sets map[int64]*Set, missing []int64, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sets = make(map[int64]*Set, len(orgs))
	for _, org := range orgs {
		if set := m.sets[setKey{org, d}]; set != nil {
			sets[org] = set
		} else {
			missing = append(missing, org)
		}
	}
	return sets, missing, m.generation
}

// keep keeps sets that were read, unless one was forgotten since: they may be of before that change.
func (m *memory) keep(d Direction, sets map[int64]*Set, orgs []int64, generation uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.generation != generation {
		return
	}
	if len(m.sets)+len(orgs) > maxSets {
		clear(m.sets)
	}
	for _, org := range orgs {
		m.sets[setKey{org, d}] = sets[org]
	}
}

// forgetTx forgets an organisation's sets once the transaction is durable.
func (s *Service) forgetTx(tx *db.Tx, org int64) {
	tx.OnCommit(func() {
		m := &s.memory
		m.mu.Lock()
		defer m.mu.Unlock()
		m.generation++
		delete(m.sets, setKey{org, Inbound})
		delete(m.sets, setKey{org, Outbound})
	})
}
