package directory

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
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
	tokenAnswer = `SELECT input, answer FROM idempotency_token WHERE scope = $1 AND token = $2 AND expires > $3`
	sweepTokens = `DELETE FROM idempotency_token WHERE (scope, token) IN
		(SELECT scope, token FROM idempotency_token WHERE expires <= $1 ORDER BY expires LIMIT $2)`
	storeToken = `INSERT INTO idempotency_token (scope, token, input, answer, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (scope, token) DO UPDATE SET input = excluded.input, answer = excluded.answer, expires = excluded.expires
		WHERE idempotency_token.expires <= $6`
)

// OnceTx runs fn and remembers its answer under the token; the same token with the same input gives the answer again
// without running fn. Faults: Invalid (Token) for the same token with other input.
func (s *Service) OnceTx(ctx context.Context, tx *db.Tx, o Once, fn func() (answer string, err error)) (string, error) {
	if o.Token == "" {
		return fn()
	}
	now := s.clock.Now()
	sum := sha256.Sum256(o.Input)
	var (
		input  []byte
		answer string
	)
	err := tx.QueryRow(ctx, tokenAnswer, o.Scope, o.Token, now.UnixMicro()).Scan(&input, &answer)
	switch {
	case err == nil && bytes.Equal(input, sum[:]):
		return answer, nil
	case err == nil:
		return "", fault.New(fault.Invalid, fault.Token, "the client token was used before with other parameters; use a new one")
	case !errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("look up client token: %w", err)
	}
	if answer, err = fn(); err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, sweepTokens, now.UnixMicro(), tokenSweep); err != nil {
		return "", fmt.Errorf("clear client tokens: %w", err)
	}
	n, err := tx.Exec(ctx, storeToken, o.Scope, o.Token, sum[:], answer, now.Add(tokenLife).UnixMicro(), now.UnixMicro())
	if err != nil {
		return "", fmt.Errorf("store client token: %w", err)
	}
	if n == 0 {
		return "", fault.New(fault.Temporary, fault.Token, "a request with the same client token is under way; try again")
	}
	return answer, nil
}
