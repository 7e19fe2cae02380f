package awsapi

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/policy/iam"
	"github.com/pennypost/pennypost/internal/transport/flow"
)

// authorize asks the key's policy whether the operation may be carried out on what it names.
func (c *call) authorize(ctx context.Context) error {
	policy, err := c.front.policies.read(c.key.Policy)
	if err != nil {
		return fmt.Errorf("the policy of access key %s: %w", c.key.ID, err)
	}
	if c.target, err = c.front.resource(ctx, c.route.op, c.input); err != nil {
		return err
	}
	action := string(c.route.op.Service) + ":" + c.route.op.Name
	r := iam.Request{Action: action, Resource: c.target, Source: c.source}
	decision := policy.Decide(r)
	if decision == iam.Allowed {
		return nil
	}
	if !policy.Names(r) { // what the key has nothing to do with is answered as what does not exist is
		r.Resource = c.front.absent(c.route.op, c.input)
		decision = policy.Decide(r)
	}
	reason := "because no statement of its policy allows it"
	switch decision {
	case iam.Allowed:
		return missing(c.route.op, c.input)
	case iam.DeniedExplicitly:
		reason = "because its policy denies it explicitly"
	}
	return refusal{
		code: accessDenied, status: http.StatusBadRequest,
		text: fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s %s", c.front.callerARN(c.key), action, r.Resource, reason),
	}
}

// resource is the ARN that an operation works on: the organisation's, the message's, the one that a tag operation names, or "*" for an
// operation on no single organisation.
func (f *Front) resource(ctx context.Context, op *contract.Op, input any) (string, error) {
	if id := op.MessageID(input); id != "" && f.options.MessageARN != nil {
		arn, err := f.options.MessageARN(ctx, id)
		if fault.Is(err, fault.NotFound, fault.Message) {
			return f.absent(op, input), nil
		}
		return arn, err
	}
	organization := op.Organization(input)
	if organization == "" {
		return f.absent(op, input), nil
	}
	if arn, ok := f.arns.get(organization); ok {
		return arn, nil
	}
	arn, err := f.options.OrganizationARN(ctx, organization)
	if fault.Is(err, fault.NotFound, fault.Organization) {
		return f.absent(op, input), nil
	}
	if err != nil {
		return "", err
	}
	f.arns.put(organization, arn)
	return arn, nil
}

// missing is the answer of an operation on what does not exist.
func missing(op *contract.Op, input any) error {
	if id := op.MessageID(input); id != "" {
		return flow.NoMessage(id)
	}
	return directory.NoOrganization(op.Organization(input))
}

// absent is resource for what does not exist: the ARN that it would have here.
func (f *Front) absent(op *contract.Op, input any) string {
	account := f.options.Region + ":" + f.options.Account
	if arn := op.ResourceARN(input); arn != "" {
		return arn
	}
	if id := op.MessageID(input); id != "" {
		return "arn:aws:workmailmessageflow:" + account + ":message/" + id
	}
	if organization := op.Organization(input); organization != "" {
		return "arn:aws:workmail:" + account + ":organization/" + organization
	}
	return "*"
}

// policies remembers parsed policies by their text.
type policies struct{ memory[*iam.Policy] }

func newPolicies() *policies { return &policies{newMemory[*iam.Policy](256)} }

func (p *policies) read(text string) (*iam.Policy, error) {
	if policy, ok := p.get(text); ok {
		return policy, nil
	}
	policy, err := iam.Read(text)
	if err == nil {
		p.put(text, policy)
	}
	return policy, err
}

// arns remembers the ARNs of organisations, which never change.
type arns struct{ memory[string] }

func newARNs() *arns { return &arns{newMemory[string](4096)} }

// memory remembers up to max values that never change under their key. It is safe for concurrent use.
type memory[T any] struct {
	max int

	mu     *sync.Mutex
	values map[string]T // guarded by mu
}

func newMemory[T any](most int) memory[T] {
	return memory[T]{max: most, mu: &sync.Mutex{}, values: map[string]T{}}
}

func (m memory[T]) get(key string) (T, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.values[key]
	return v, ok
}

// put remembers a value; in a full memory any other goes.
func (m memory[T]) put(key string, value T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for old := range m.values {
		if len(m.values) < m.max {
			break
		}
		delete(m.values, old)
	}
	m.values[key] = value
}
