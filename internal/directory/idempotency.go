package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
)

const (
	// tokenLife is how long an idempotency token is remembered: longer than any client retries.
	tokenLife = 24 * time.Hour
	// tokenSweep is how many expired tokens one use clears away, so that the table can't grow by more than its use.
	tokenSweep = 8
)

// Once names one use of an operation that a client may repeat.
type Once struct {
	// Scope is the operation, with the organisation where it has one.
	Scope string
	// Token is the client's; an empty one means that every call is a new one.
	Token string
	// Input is what the operation was asked, in a form that is equal for equal requests.
	Input []byte
}

const (
	// takeToken takes a token that is free or has expired. Whoever has it in a transaction under way is waited for.
	takeToken = `INSERT INTO idempotency_token (scope, token, input, answer, expires) VALUES ($1, $2, $3, '', $4)
		ON CONFLICT (scope, token) DO UPDATE SET input = excluded.input, answer = excluded.answer, expires = excluded.expires
		WHERE idempotency_token.expires <= $5`
	tokenAnswer = `SELECT input, answer FROM idempotency_token WHERE scope = $1 AND token = $2`
	answerToken = `UPDATE idempotency_token SET answer = $3 WHERE scope = $1 AND token = $2`
	sweepTokens = `DELETE FROM idempotency_token WHERE (scope, token) IN
		(SELECT scope, token FROM idempotency_token WHERE expires <= $1 ORDER BY expires LIMIT $2)`
)

// OnceTx runs fn and remembers its answer under the token; the same token with the same input gives the answer again
// without running fn, also while the first is under way. What fn's fault undoes includes the token. Faults: Invalid (Token)
// for the same token with other input.
func (s *Service) OnceTx(ctx context.Context, tx *db.Tx, o Once, fn func() (answer string, err error)) (string, error) {
	if o.Token == "" {
		return fn()
	}
	now := s.clock.Now()
	sum := sha256.Sum256(o.Input)
	taken, err := tx.Exec(ctx, takeToken, o.Scope, o.Token, sum[:], now.Add(tokenLife).UnixMicro(), now.UnixMicro())
	if err != nil {
		return "", fmt.Errorf("take client token: %w", err)
	}
	if taken == 0 {
		return usedToken(ctx, tx, o, sum[:])
	}
	answer, err := fn()
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, answerToken, o.Scope, o.Token, answer); err != nil {
		return "", fmt.Errorf("store client token: %w", err)
	}
	if _, err := tx.Exec(ctx, sweepTokens, now.UnixMicro(), tokenSweep); err != nil {
		return "", fmt.Errorf("clear client tokens: %w", err)
	}
	return answer, nil
}

func usedToken(ctx context.Context, tx *db.Tx, o Once, sum []byte) (answer string, err error) {
	var input []byte
	if err := tx.QueryRow(ctx, tokenAnswer, o.Scope, o.Token).Scan(&input, &answer); err != nil {
		return "", fmt.Errorf("look up client token: %w", err)
	}
	if !bytes.Equal(input, sum) {
		return "", fault.New(fault.Invalid, fault.Token, "the client token was used before with other parameters; use a new one")
	}
	return answer, nil
}
