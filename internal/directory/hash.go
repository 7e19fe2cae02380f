package directory

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/pennypost/pennypost/internal/fault"
)

// HashCost is the cost of one password hash with argon2id (RFC 9106). Zero members mean the default, and so does
// anything below the floor, which is the default too: 19 MiB, two passes, one lane.
type HashCost struct {
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// TestHashCost is next to nothing, for tests of all but hashing: no settings lead to it.
var TestHashCost = HashCost{MemoryKiB: 8, Passes: 1, Lanes: 1}

// DefaultHashCost is the least that is used.
var DefaultHashCost = HashCost{MemoryKiB: 19 * 1024, Passes: 2, Lanes: 1}

const (
	saltSize = 16
	hashSize = 32
	// Bounds of what is accepted from a stored hash, so that a damaged row can't take all memory.
	maxMemoryKiB = 1 << 20
	maxPasses    = 64

	runningHashes = 2  // at once: each takes its memory and a core
	waitingHashes = 64 // more than these wait no longer but are told to come back
)

// Hasher makes and checks password hashes. At most two run at once; up to 64 wait; more get a Temporary fault. It is safe
// for concurrent use.
type Hasher struct {
	cost    HashCost
	running chan struct{}
	waiting atomic.Int64
	// dummy is a hash that no password matches, of the configured cost.
	dummy phc
}

// NewHasher returns a hasher of the cost.
func NewHasher(cost HashCost) *Hasher {
	if cost != TestHashCost {
		cost.MemoryKiB = min(max(cost.MemoryKiB, DefaultHashCost.MemoryKiB), maxMemoryKiB)
		cost.Passes = min(max(cost.Passes, DefaultHashCost.Passes), maxPasses)
		cost.Lanes = max(cost.Lanes, DefaultHashCost.Lanes)
	}
	return &Hasher{
		cost:    cost,
		running: make(chan struct{}, runningHashes),
		dummy:   phc{cost: cost, salt: make([]byte, saltSize), hash: make([]byte, hashSize)},
	}
}

// Hash returns the hash of password in PHC string format.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	p := phc{cost: h.cost, salt: make([]byte, saltSize)}
	_, _ = rand.Read(p.salt) // documented never to fail
	err := h.run(ctx, func() { p.hash = p.derive(password) })
	if err != nil {
		return "", err
	}
	return p.String(), nil
}

// Verify reports whether secret, a PHC string, is of password, and whether it was made at another cost than today's.
func (h *Hasher) Verify(ctx context.Context, secret, password string) (ok, old bool, err error) {
	p, err := parsePHC(secret)
	if err != nil {
		return false, false, fmt.Errorf("stored password hash: %w", err)
	}
	ok, err = h.compare(ctx, p, password)
	return ok, p.cost != h.cost, err
}

// Waste costs what Verify costs for a hash of today's cost. One that is kept from before the cost was changed takes its old time, which tells
// that somebody has the name; of an address any server that brings mail is told as much.
func (h *Hasher) Waste(ctx context.Context, password string) error {
	_, err := h.compare(ctx, h.dummy, password)
	return err
}

func (h *Hasher) compare(ctx context.Context, p phc, password string) (ok bool, err error) {
	err = h.run(ctx, func() { ok = subtle.ConstantTimeCompare(p.derive(password), p.hash) == 1 })
	return ok, err
}

// run waits for its turn and runs fn.
func (h *Hasher) run(ctx context.Context, fn func()) error {
	if h.waiting.Add(1) > waitingHashes+runningHashes {
		h.waiting.Add(-1)
		return fault.New(fault.Temporary, fault.None, "too many passwords are being checked at the moment; try again later")
	}
	defer h.waiting.Add(-1)
	select {
	case h.running <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.running }()
	fn()
	return nil
}

// phc is a parsed argon2id hash: $argon2id$v=19$m=19456,t=2,p=1$salt$hash, both in base64 without padding.
type phc struct {
	cost       HashCost
	salt, hash []byte
}

func (p phc) derive(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.cost.Passes, p.cost.MemoryKiB, p.cost.Lanes, hashSize)
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		p.cost.MemoryKiB, p.cost.Passes, p.cost.Lanes, b64.EncodeToString(p.salt), b64.EncodeToString(p.hash))
}

func parsePHC(s string) (phc, error) {
	var p phc
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, fmt.Errorf("not an argon2id hash of version %d", argon2.Version)
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return p, fmt.Errorf("want three costs, have %d", len(costs))
	}
	var values [3]uint64
	for i, bounds := range []struct {
		prefix string
		most   uint64
	}{{"m=", maxMemoryKiB}, {"t=", maxPasses}, {"p=", 255}} {
		text, found := strings.CutPrefix(costs[i], bounds.prefix)
		n, err := strconv.ParseUint(text, 10, 32)
		if !found || err != nil || n == 0 || n > bounds.most {
			return p, fmt.Errorf("cost %q is not %s1 to %d", costs[i], bounds.prefix, bounds.most)
		}
		values[i] = n
	}
	p.cost = HashCost{MemoryKiB: uint32(values[0]), Passes: uint32(values[1]), Lanes: uint8(values[2])}
	var err error
	b64 := base64.RawStdEncoding.Strict()
	if p.salt, err = b64.DecodeString(parts[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return p, fmt.Errorf("salt is not 8 to 64 bytes in base64")
	}
	if p.hash, err = b64.DecodeString(parts[5]); err != nil || len(p.hash) != hashSize {
		return p, fmt.Errorf("hash is not %d bytes in base64", hashSize)
	}
	return p, nil
}
