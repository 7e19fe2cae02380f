package signing

import (
	"context"
	"slices"

	"github.com/pennypost/pennypost/internal/message/arc"
)

// Seal returns the ARC set (RFC 8617) that is to stand in front of a message that is passed on, with what was found of it: the value of
// an Authentication-Results field, and its chain. There is none where the chain must not get another set, and while the server's RSA key
// (the document knows no other) is not in DNS: a seal that nobody can verify ends the chain for good.
func (s *Service) Seal(ctx context.Context, text []byte, results string, chain arc.Chain) ([]byte, error) {
	keys, err := s.Keys(ctx, Server, s.Hostname)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	state, err := s.State(ctx, Server, s.Hostname)
	if err != nil || state == nil {
		return nil, err
	}
	if !slices.ContainsFunc(state.Keys, func(k Key) bool { return k.Selector == keys[0].Selector && !k.Seen.IsZero() }) {
		return nil, nil
	}
	return arc.Seal(text, keys[0], arc.SealOptions{Time: s.Clock.Now(), Results: results, Chain: chain})
}
