package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pennypost/pennypost/internal/config"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/migration"
	"github.com/pennypost/pennypost/internal/principal"
)

// KeyCreate asks for an administrator's access key.
type KeyCreate struct {
	Label string `json:"label"`
	// Policy is an IAM-style policy document in JSON, or the name of a managed policy.
	Policy string `json:"policy"`
}

// KeyInfo describes an access key.
type KeyInfo struct {
	ID      string     `json:"id"`
	Label   string     `json:"label"`
	Policy  string     `json:"policy"`
	Created time.Time  `json:"created"`
	Revoked *time.Time `json:"revoked,omitempty"`
}

// keyRef names an access key.
type keyRef struct {
	ID string `json:"id"`
}

// keyPage asks for the access keys behind an id.
type keyPage struct {
	After string `json:"after"`
}

// keyPageSize is how many access keys are listed at once.
const keyPageSize = 500

// importPage asks for what an organisation is here.
type importPage struct {
	Organization string `json:"organization"`
	After        string `json:"after"`
}

// nothing is the answer of a verb that has none, and the request of one that asks nothing.
type nothing struct{}

// operator acts when a verb of the command line does: whoever may open the data directory.
var operator = principal.Principal{Kind: principal.Operator, Name: "operator", Protocol: "control"}

// operatorVerbs are the verbs that work beside a running server and without one.
func (c *core) operatorVerbs() map[string]verb {
	passwords := migration.Passwords{Directory: c.directory, Center: c.center}
	verbs := map[string]verb{
		"password-users": typed(func(ctx context.Context, r PasswordUsers) ([]migration.Found, error) {
			return passwords.Find(ctx, operator, directory.OrgID(r.Organization), r.Users)
		}),
		"password-set": typed(func(ctx context.Context, r NewPasswords) ([]migration.Outcome, error) {
			return passwords.Set(ctx, operator, directory.OrgID(r.Organization), r.Passwords)
		}),
		"password-links": typed(func(ctx context.Context, r LinkRequest) (PasswordLinks, error) {
			return passwordLinks(ctx, &passwords, r)
		}),
		"key-create": typed(func(ctx context.Context, r KeyCreate) (AccessKey, error) {
			made, err := c.keys.Create(ctx, operator, r.Label, r.Policy)
			return AccessKey{made.ID, made.Secret}, err
		}),
		"key-list": typed(func(ctx context.Context, r keyPage) ([]KeyInfo, error) {
			keys, err := c.keys.List(ctx, r.After, keyPageSize)
			infos := []KeyInfo{}
			for _, k := range keys {
				infos = append(infos, keyInfo(k))
			}
			return infos, err
		}),
		"key-revoke": typed(func(ctx context.Context, r keyRef) (nothing, error) {
			return nothing{}, c.keys.Revoke(ctx, operator, r.ID)
		}),
		"key-secret": typed(func(ctx context.Context, r keyRef) (AccessKey, error) {
			key, err := c.keys.Lookup(ctx, r.ID)
			return AccessKey{key.ID, key.Secret}, err
		}),
		"import-here": typed(func(ctx context.Context, r importPage) (migration.Page, error) {
			return c.migration.Here(ctx, operator, r.Organization, r.After)
		}),
		"import-apply": typed(func(ctx context.Context, b migration.Batch) ([]migration.Refusal, error) {
			return c.migration.Apply(ctx, operator, b)
		}),
		"check": typed(func(ctx context.Context, _ nothing) ([]string, error) {
			return c.check(ctx)
		}),
	}
	c.importVerbs(verbs)
	c.domainVerbs(verbs)
	c.certificateVerbs(verbs)
	c.queueVerbs(verbs)
	c.reportVerbs(verbs)
	return verbs
}

func keyInfo(k identity.AccessKey) KeyInfo {
	info := KeyInfo{ID: k.ID, Label: k.Label, Policy: k.Policy, Created: k.Created}
	if !k.Revoked.IsZero() {
		info.Revoked = &k.Revoked
	}
	return info
}

// Operator carries out an operator's verbs on a data directory: through the server that holds it, so that they act at once,
// or on the store itself where no server runs.
type Operator struct {
	dir   string
	lock  *lock
	core  *core // nil beside a running server
	verbs map[string]verb
}

// Connect reaches the server that holds c.Data, which it waits for some seconds to answer, or opens the store where none does. The
// caller must Close the operator.
func Connect(ctx context.Context, c *config.Config, log *slog.Logger) (*Operator, error) {
	if err := keepsSomething(c.Data); err != nil {
		return nil, err
	}
	held, err := lockDir(c.Data)
	if errors.Is(err, ErrHeld) {
		if _, err := askState(ctx, c.Data); err != nil {
			return nil, heldBy(c.Data, err)
		}
		return Beside(c.Data), nil
	}
	if err != nil {
		return nil, err
	}
	missing := func(path, hint string) error {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("%s holds no store that a server kept: %s is missing%s", c.Data, path, hint)
	}
	err = missing(c.SecretKeyPath(), "")
	if err == nil && c.DatabaseURL == "" { // it would be made, and found consistent
		err = missing(filepath.Join(c.Data, "pennypost.db"), "; one on PostgreSQL is named by --database-url")
	}
	if err != nil {
		return nil, errors.Join(err, held.release())
	}
	parts, err := openCore(ctx, c, c.Data, true, log)
	if err != nil {
		return nil, errors.Join(err, held.release())
	}
	return &Operator{dir: c.Data, lock: held, core: parts, verbs: parts.operatorVerbs()}, nil
}

// keepsSomething fails unless there is something in dir that a server would have left, or a backup put back.
func keepsSomething(dir string) error {
	for _, name := range []string{"lock", "pennypost.db", "secret.key", "blobs"} {
		switch _, err := os.Stat(filepath.Join(dir, name)); {
		case err == nil:
			return nil
		case errors.Is(err, os.ErrPermission):
			return fmt.Errorf("the data directory is for its owner: %w", err)
		}
	}
	return fmt.Errorf("%s is no data directory of Pennypost: name it with --data, or make one with pennypost serve", dir)
}

// Beside reaches the server that holds dir, and only it.
func Beside(dir string) *Operator { return &Operator{dir: dir} }

// Close gives the data directory back.
func (o *Operator) Close() error {
	if o.core == nil {
		return nil
	}
	return errors.Join(o.core.close(), o.lock.release())
}

// do carries out a verb, by the same code beside a server and without one.
func (o *Operator) do(ctx context.Context, name string, request, answer any) error {
	return o.stream(ctx, name, request, nil, answer)
}

// stream is do with bytes that follow the request, unless they are nil.
func (o *Operator) stream(ctx context.Context, name string, request any, body io.Reader, answer any) error {
	if o.core == nil {
		return heldBy(o.dir, streamControl(ctx, o.dir, name, request, body, answer))
	}
	in, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("verb %s: %w", name, err)
	}
	result, err := o.verbs[name](ctx, in, body)
	if err != nil {
		return err
	}
	out, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("verb %s: %w", name, err)
	}
	return json.Unmarshal(out, answer)
}

// heldBy says of errNoServer who may hold dir.
func heldBy(dir string, err error) error {
	if errors.Is(err, errNoServer) {
		return fmt.Errorf("%w in %s: it is starting, stopping, or held by another verb; try again", err, dir)
	}
	return err
}

// CreateKey makes an administrator's access key and returns it with its secret.
func (o *Operator) CreateKey(ctx context.Context, r KeyCreate) (key AccessKey, err error) {
	return key, o.do(ctx, "key-create", r, &key)
}

// Keys lists all access keys, revoked ones included.
func (o *Operator) Keys(ctx context.Context) ([]KeyInfo, error) {
	var all []KeyInfo
	for after := ""; ; {
		var page []KeyInfo
		if err := o.do(ctx, "key-list", keyPage{after}, &page); err != nil {
			return nil, err
		}
		if all = append(all, page...); len(page) < keyPageSize {
			return all, nil
		}
		after = page[len(page)-1].ID
	}
}

// RevokeKey ends an access key for good, from the next request on.
func (o *Operator) RevokeKey(ctx context.Context, id string) error {
	return o.do(ctx, "key-revoke", keyRef{id}, &nothing{})
}

// Check returns one line for each inconsistency of the store, or an error when it could not look.
func (o *Operator) Check(ctx context.Context) (faults []string, err error) {
	return faults, o.do(ctx, "check", nothing{}, &faults)
}

// Here reads a page of what an organisation is here, for an import.
func (o *Operator) Here(ctx context.Context, organization, after string) (page migration.Page, err error) {
	return page, o.do(ctx, "import-here", importPage{organization, after}, &page)
}

// Apply carries out a batch of an import.
func (o *Operator) Apply(ctx context.Context, b migration.Batch) (refused []migration.Refusal, err error) {
	return refused, o.do(ctx, "import-apply", b, &refused)
}
