package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/lazy"
	"github.com/pennypost/pennypost/internal/lazyregexp"
	"github.com/pennypost/pennypost/internal/principal"
)

// Token is a personal access token, which a mail client gives in place of its user's password.
type Token struct {
	ID     string
	User   directory.EntityID
	Name   string
	Scopes []string // the protocols that it opens
	// Created, and when it ends and was last used, zero for never. Used is up to an hour behind.
	Created, Expires, Used time.Time
}

// TokenScopes are what a token can open: the words of Circumstances.Protocol for the faces that take a secret. IMAP opens ManageSieve too.
func TokenScopes() []string { return []string{"IMAP", "SMTP"} }

const (
	tokenPrefix = "ppat_"
	idBytes     = 8
	secretBytes = 32

	maxTokens    = 100 // of one user, expired ones counted
	maxTokenName = 64
	usedEvery    = time.Hour // how often a use is written down
)

var (
	tokenIDText = lazy.Value[*base32.Encoding]{Make: func() *base32.Encoding {
		return base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
	}}
	// tokenText has the id as its group. With its 61 characters a token fits every client's password field, and could be somebody's
	// password: who presents one that is no token is asked for as by any password.
	tokenText     = lazyregexp.New(`\A` + tokenPrefix + `([a-z2-7]{13})[A-Za-z0-9_-]{43}\z`)
	tokenNameText = lazyregexp.New(`\A[^\x00-\x1F\x7F<>\\]+\z`)
)

func newToken() (id, text string) {
	id = tokenIDText.Get().EncodeToString(random(idBytes))
	return id, tokenPrefix + id + base64.RawURLEncoding.EncodeToString(random(secretBytes))
}

// sum is what is kept of a token. The secret is 256 random bits, which nobody can try out, so that a slow hash would protect
// nothing and only make each sign-in dear; the key keeps a stolen database from being of any use even so.
func (c *Center) sum(text string) []byte {
	h := hmac.New(sha256.New, c.tokenKey)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

const (
	tokenColumns  = `SELECT id, organization, entity, name, scopes, mac, created, COALESCE(expires, 0), COALESCE(used, 0) FROM personal_access_token`
	tokenByID     = tokenColumns + ` WHERE id = $1`
	tokensOfOrg   = tokenColumns + ` WHERE organization = $1 AND id > $2 ORDER BY id LIMIT $3`
	tokensOfUser  = tokenColumns + ` WHERE entity = $1 AND id > $2 ORDER BY id LIMIT $3`
	countTokens   = `SELECT COUNT(*) FROM personal_access_token WHERE entity = $1`
	insertToken   = `INSERT INTO personal_access_token (id, organization, entity, name, scopes, mac, created, expires) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	deleteToken   = `DELETE FROM personal_access_token WHERE id = $1`
	useToken      = `UPDATE personal_access_token SET used = $2 WHERE id = $1`
	forgetTokens  = `DELETE FROM personal_access_token WHERE id IN (SELECT id FROM personal_access_token WHERE entity = $1 LIMIT $2)`
	tokensPageMax = 100
)

type tokenRow struct {
	Token
	organization, entity int64
	mac                  []byte
}

func scanToken(row db.Row) (*tokenRow, error) {
	var t tokenRow
	var scopes string
	var created, expires, used int64
	err := row.Scan(&t.ID, &t.organization, &t.entity, &t.Name, &scopes, &t.mac, &created, &expires, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fault.New(fault.NotFound, fault.Resource, "there is no such personal access token in this organization")
	}
	if err == nil {
		err = json.Unmarshal([]byte(scopes), &t.Scopes)
	}
	if err != nil {
		return nil, fmt.Errorf("read a personal access token: %w", err)
	}
	t.Created, t.Expires, t.Used = micros(created), micros(expires), micros(used)
	return &t, nil
}

func micros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// errInactive answers everything that INACTIVE blocks.
func errInactive() error {
	return fault.New(fault.Invalid, fault.Resource, "personal access tokens are not active in this organization; "+
		"its administrator activates them with PutIdentityProviderConfiguration")
}

// CreateToken makes a token for the user who signed in, p, and returns the text to give in place of the password, which
// can't be had again. Faults: Invalid for a name (1 to 64 characters, no < > \ and no controls) or scopes (1 or more of
// TokenScopes), and while tokens are not active; Denied for a user who is not linked to an identity; Limit.
func (c *Center) CreateToken(ctx context.Context, p principal.Principal, name string, scopes []string) (t Token, text string, err error) {
	if n := utf8.RuneCountInString(name); n > maxTokenName || !utf8.ValidString(name) || !tokenNameText.MatchString(name) {
		return Token{}, "", fault.New(fault.Invalid, fault.Resource, `a token's name has 1 to %d characters, without < > \ and control characters`, maxTokenName)
	}
	scopes = slices.Compact(slices.Sorted(slices.Values(scopes)))
	for _, s := range scopes {
		if !slices.Contains(TokenScopes(), s) {
			return Token{}, "", fault.New(fault.Invalid, fault.Resource, "%.64q is not one of %s", s, strings.Join(TokenScopes(), ", "))
		}
	}
	if len(scopes) == 0 {
		return Token{}, "", fault.New(fault.Invalid, fault.Resource, "give the token at least one of %s", strings.Join(TokenScopes(), ", "))
	}
	scopeText, err := json.Marshal(scopes)
	if err != nil {
		return Token{}, "", err
	}
	id, text := newToken()
	mac := c.sum(text)
	err = c.own(ctx, p, func(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, provider *Provider) error {
		var have int
		if err := tx.QueryRow(ctx, countTokens, e.Key).Scan(&have); err != nil {
			return fmt.Errorf("count tokens: %w", err)
		}
		if have >= maxTokens {
			return fault.New(fault.Limit, fault.Resource, "you have %d tokens, which is as many as a user may have; delete one first", have)
		}
		t = Token{ID: id, User: e.ID, Name: name, Scopes: scopes, Created: c.clock.Now()}
		var expires *int64
		if provider.LifetimeDays > 0 {
			t.Expires = t.Created.Add(time.Duration(provider.LifetimeDays) * 24 * time.Hour)
			at := t.Expires.UnixMicro()
			expires = &at
		}
		if _, err := tx.Exec(ctx, insertToken, id, o.Key, e.Key, name, string(scopeText), mac, t.Created.UnixMicro(), expires); err != nil {
			return fmt.Errorf("store a token: %w", err)
		}
		if err := c.tellTokenTx(ctx, tx, p, o, "create", &t); err != nil {
			return err
		}
		r := audit.Of(p, string(o.ID), "CreatePersonalAccessToken", id)
		r.Detail = tokenDetail(&t)
		return c.audit.AppendTx(ctx, tx, r)
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, text, nil
}

// tokenDetail is what the audit trail says of a token.
func tokenDetail(t *Token) string {
	expires := "never"
	if !t.Expires.IsZero() {
		expires = t.Expires.Format(time.RFC3339)
	}
	return fmt.Sprintf("name %q, scopes %s, expires %s", t.Name, strings.Join(t.Scopes, " "), expires)
}

// OwnTokens lists the tokens of the user who signed in, p, by id.
func (c *Center) OwnTokens(ctx context.Context, p principal.Principal) (tokens []Token, err error) {
	err = c.own(ctx, p, func(ctx context.Context, tx *db.Tx, _ *directory.Organization, e *directory.Entity, _ *Provider) error {
		rows, err := tokensTx(ctx, tx, tokensOfUser, e.Key, "", maxTokens)
		tokens = nil
		for i := range rows {
			rows[i].User = e.ID
			tokens = append(tokens, rows[i].Token)
		}
		return err
	})
	return tokens, err
}

// DeleteOwnToken deletes a token of the user who signed in, p, and ends its sessions within a second. Where there is none
// nothing happens.
func (c *Center) DeleteOwnToken(ctx context.Context, p principal.Principal, id string) error {
	return c.own(ctx, p, func(ctx context.Context, tx *db.Tx, o *directory.Organization, e *directory.Entity, _ *Provider) error {
		t, err := scanToken(tx.QueryRow(ctx, tokenByID, id))
		if fault.Is(err, fault.NotFound, fault.Resource) || err == nil && t.entity != e.Key {
			return nil
		}
		if err != nil {
			return err
		}
		t.User = e.ID
		if err := c.deleteTx(ctx, tx, p, o, &t.Token); err != nil {
			return err
		}
		r := audit.Of(p, string(o.ID), "DeletePersonalAccessToken", id)
		r.Detail = tokenDetail(&t.Token)
		return c.audit.AppendTx(ctx, tx, r)
	})
}

// own runs fn in a write transaction for a user who is linked to an identity, and in whose organisation tokens are active.
func (c *Center) own(ctx context.Context, p principal.Principal,
	fn func(context.Context, *db.Tx, *directory.Organization, *directory.Entity, *Provider) error,
) error {
	if p.Kind != principal.User {
		return fault.New(fault.Denied, fault.None, "personal access tokens are made and kept by their users")
	}
	return c.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := c.directory.GateTx(ctx, tx, directory.OrgID(p.Organization))
		if err != nil {
			return err
		}
		e, err := c.directory.FindForTx(ctx, tx, o, p.ID, directory.Narrow{Kind: directory.KindUser, IDOnly: true})
		if err != nil {
			return err
		}
		if e.State != directory.Enabled || e.IdentityProviderUserID == "" {
			return fault.New(fault.Denied, fault.Entity, "user %s is not enabled, or not linked to an identity", e.ID)
		}
		provider, err := providerTx(ctx, tx, o.Key)
		if err != nil {
			return err
		}
		if provider == nil || !provider.TokensActive {
			return errInactive()
		}
		return fn(ctx, tx, o, e, provider)
	})
}

func (c *Center) deleteTx(ctx context.Context, tx *db.Tx, p principal.Principal, o *directory.Organization, t *Token) error {
	if _, err := tx.Exec(ctx, deleteToken, t.ID); err != nil {
		return fmt.Errorf("delete a token: %w", err)
	}
	user := userKey(o.ID, t.User)
	tx.OnCommit(func() { c.feed.Publish(feed.Topic{Kind: "user", Key: user}) })
	return c.tellTokenTx(ctx, tx, p, o, "delete", t)
}

// ListTokens lists the tokens of a user, named by id, address or name, or of the whole organisation where user is empty, by
// their ids. Faults: Invalid while they are INACTIVE, and for a page (Token); NotFound and State (Entity) of the user.
func (c *Center) ListTokens(ctx context.Context, p principal.Principal, org directory.OrgID, user string, page directory.Page) (tokens []Token, next string, err error) {
	limit := page.Limit
	if limit <= 0 || limit > tokensPageMax {
		limit = tokensPageMax
	}
	err = c.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		query, of := tokensOfOrg, o.Key
		if user != "" {
			e, err := c.directory.ResolveTx(ctx, tx, o, user, directory.Narrow{Kind: directory.KindUser})
			if err != nil {
				return err
			}
			if e.State == directory.Deleted {
				return fault.New(fault.State, fault.Entity, "user %s is deleted", e.ID)
			}
			query, of = tokensOfUser, e.Key
		}
		if err := notInactive(ctx, tx, o); err != nil {
			return err
		}
		rows, err := tokensTx(ctx, tx, query, of, page.After, limit+1)
		if err != nil {
			return err
		}
		tokens, next = nil, ""
		if len(rows) > limit {
			rows = rows[:limit]
			next = rows[limit-1].ID
		}
		for i := range rows {
			e, err := c.directory.EntityByKeyTx(ctx, tx, rows[i].entity)
			if err != nil {
				return fmt.Errorf("read a token's user: %w", err)
			}
			if e.State == directory.Deleted { // to be swept
				continue
			}
			rows[i].User = e.ID
			tokens = append(tokens, rows[i].Token)
		}
		return nil
	})
	return tokens, next, err
}

// notInactive refuses what the status INACTIVE blocks. An organisation without a configuration has nothing to block: what is
// left of its tokens can be looked at and cleared away.
func notInactive(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
	provider, err := providerTx(ctx, tx, o.Key)
	if err == nil && provider != nil && !provider.TokensActive {
		err = errInactive()
	}
	return err
}

func tokensTx(ctx context.Context, tx *db.Tx, query string, of int64, after string, limit int) ([]tokenRow, error) {
	var found []tokenRow
	err := tx.Each(ctx, func(row db.Row) error {
		t, err := scanToken(row)
		if err != nil {
			return err
		}
		found = append(found, *t)
		return nil
	}, query, of, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return found, nil
}

// Token returns a token of an organisation, without its secret, or a NotFound (Resource) fault.
func (c *Center) Token(ctx context.Context, p principal.Principal, org directory.OrgID, id string) (t Token, err error) {
	err = c.directory.View(ctx, p, org, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
		row, e, err := c.tokenTx(ctx, tx, o, id)
		if err == nil {
			t = row.Token
			t.User = e.ID
		}
		return err
	})
	return t, err
}

// tokenTx reads a token of an organisation and its user.
func (c *Center) tokenTx(ctx context.Context, tx *db.Tx, o *directory.Organization, id string) (*tokenRow, *directory.Entity, error) {
	t, err := scanToken(tx.QueryRow(ctx, tokenByID, id))
	if err != nil {
		return nil, nil, err
	}
	e, err := c.directory.EntityByKeyTx(ctx, tx, t.entity)
	if err != nil {
		return nil, nil, fmt.Errorf("read a token's user: %w", err)
	}
	if t.organization != o.Key || e.State == directory.Deleted {
		return nil, nil, fault.New(fault.NotFound, fault.Resource, "there is no such personal access token in this organization")
	}
	return t, e, nil
}

// DeleteToken deletes a token of an organisation and ends its sessions within a second. One that does not exist is no error.
// Faults: Invalid while tokens are INACTIVE.
func (c *Center) DeleteToken(ctx context.Context, p principal.Principal, org directory.OrgID, id string) error {
	return c.directory.Change(ctx, p, org, "DeletePersonalAccessToken", func(ctx context.Context, tx *db.Tx, o *directory.Organization) (string, error) {
		if err := notInactive(ctx, tx, o); err != nil {
			return "", err
		}
		t, e, err := c.tokenTx(ctx, tx, o, id)
		if fault.Is(err, fault.NotFound, fault.Resource) {
			return id, nil
		}
		if err != nil {
			return "", err
		}
		t.User = e.ID
		return id, c.deleteTx(ctx, tx, p, o, &t.Token)
	})
}

// ForgetTx removes an entity's set-password link and up to limit of its tokens, and returns how many tokens; fewer than limit
// means that none are left.
func (c *Center) ForgetTx(ctx context.Context, tx *db.Tx, entity int64, limit int) (int, error) {
	if _, err := tx.Exec(ctx, forgetLink, entity); err != nil {
		return 0, fmt.Errorf("remove a set-password link: %w", err)
	}
	n, err := tx.Exec(ctx, forgetTokens, entity, limit)
	if err != nil {
		return 0, fmt.Errorf("remove tokens: %w", err)
	}
	return int(n), nil
}

// EraseTx removes the configuration of an organisation that is being deleted and, where application says so, the application
// that it names, unless another organisation uses that too.
func (c *Center) EraseTx(ctx context.Context, tx *db.Tx, o *directory.Organization, application bool) error {
	provider, err := providerTx(ctx, tx, o.Key)
	if err != nil || provider == nil {
		return err
	}
	if _, err := tx.Exec(ctx, deleteProvider, o.Key); err != nil {
		return fmt.Errorf("erase the identity provider configuration of organization %s: %w", o.ID, err)
	}
	if application {
		_, err = deleteApplicationTx(ctx, tx, provider.Application)
	}
	return err
}
