package script

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message/sieve"
	"github.com/pennypost/pennypost/internal/principal"
)

// Options are what a Service stands on. All but Limits are needed.
type Options struct {
	DB        *db.DB
	Mailboxes *mailbox.Store
	Audit     *audit.Log
	Clock     clock.Clock
	Log       *slog.Logger
	// Key keys the hashes of what is remembered; what was remembered under another is forgotten.
	Key    []byte
	Limits Limits
}

// Limits bound the scripts of a mailbox. Zero values mean the defaults.
type Limits struct {
	Scripts   int // 32
	Bytes     int // of a script; 64 KB
	Total     int // bytes of all scripts; 1 MB
	Redirects int // of a run; 4
	Memory    int // ids of each kind that runs remember, about; 10,000
}

// Service keeps scripts. It is safe for concurrent use.
type Service struct {
	Options
	memory memory
	turns  chan struct{} // taken by those who compile for users
}

// New returns the service.
func New(o Options) *Service {
	for _, l := range []struct {
		n         *int
		otherwise int
	}{{&o.Limits.Scripts, 32}, {&o.Limits.Bytes, 64 << 10}, {&o.Limits.Total, 1 << 20}, {&o.Limits.Redirects, 4}, {&o.Limits.Memory, 10_000}} {
		if *l.n == 0 {
			*l.n = l.otherwise
		}
	}
	return &Service{Options: o, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), memory: memory{most: maxCompiled, may: map[mailbox.ID]struct{}{}, compiled: map[mailbox.ID]compiled{}}}
}

// Script is what a list of scripts tells of one.
type Script struct {
	Name     string
	Active   bool
	Size     int64
	Modified time.Time
}

const (
	listScripts   = `SELECT name, active, size, modified FROM sieve_script WHERE mailbox = $1 ORDER BY name`
	getScript     = `SELECT source FROM sieve_script WHERE mailbox = $1 AND name = $2`
	hasScript     = `SELECT active FROM sieve_script WHERE mailbox = $1 AND name = $2`
	othersScripts = `SELECT COUNT(*), COALESCE(SUM(size), 0) FROM sieve_script WHERE mailbox = $1 AND name <> $2`
	putScript     = `INSERT INTO sieve_script (mailbox, name, active, size, modified, source) VALUES ($1, $2, FALSE, $3, $4, $5)
ON CONFLICT (mailbox, name) DO UPDATE SET size = excluded.size, modified = excluded.modified, source = excluded.source`
	deleteScript   = `DELETE FROM sieve_script WHERE mailbox = $1 AND name = $2`
	renameScript   = `UPDATE sieve_script SET name = $3 WHERE mailbox = $1 AND name = $2`
	deactivate     = `UPDATE sieve_script SET active = FALSE WHERE mailbox = $1 AND active`
	activateScript = `UPDATE sieve_script SET active = TRUE WHERE mailbox = $1 AND name = $2`
)

// List returns a mailbox's scripts by name. Faults of each verb on a mailbox: Denied for a user whose mailbox it is not; NotFound Mailbox;
// State Mailbox for one that is closed.
func (s *Service) List(ctx context.Context, p principal.Principal, id mailbox.ID) (list []Script, err error) {
	err = s.read(ctx, p, id, func(ctx context.Context, tx *db.Tx) error {
		list = nil
		return tx.Each(ctx, func(row db.Row) error {
			var one Script
			var modified int64
			if err := row.Scan(&one.Name, &one.Active, &one.Size, &modified); err != nil {
				return err
			}
			one.Modified = time.UnixMicro(modified).UTC()
			list = append(list, one)
			return nil
		}, listScripts, int64(id))
	})
	return list, err
}

// Get returns a script's text, byte for byte as it was put. Faults: Invalid, NotFound Script.
func (s *Service) Get(ctx context.Context, p principal.Principal, id mailbox.ID, name string) (source []byte, err error) {
	name, err = cleanName(name)
	if err != nil {
		return nil, err
	}
	err = s.read(ctx, p, id, func(ctx context.Context, tx *db.Tx) error {
		err := tx.QueryRow(ctx, getScript, int64(id), name).Scan(&source)
		if errors.Is(err, sql.ErrNoRows) {
			return noScript(name)
		}
		return err
	})
	return source, err
}

// HaveSpace says whether a script of so many bytes may be put under the name. Faults: Invalid; TooLarge, Limit, OverQuota Script.
func (s *Service) HaveSpace(ctx context.Context, p principal.Principal, id mailbox.ID, name string, size int64) error {
	name, err := cleanName(name)
	if err == nil {
		err = s.Fits(size)
	}
	if err != nil {
		return err
	}
	return s.read(ctx, p, id, func(ctx context.Context, tx *db.Tx) error { return s.roomTx(ctx, tx, id, name, size) })
}

// Compile says what is wrong with a script, as Put would. Half of the processors do so at a time, that users who send script after script leave
// the others to deliveries. Faults: Invalid, with the compiler's words; TooLarge.
func (s *Service) Compile(ctx context.Context, source []byte) error {
	if err := s.Fits(int64(len(source))); err != nil {
		return err
	}
	if !utf8.Valid(source) {
		return invalid("a script is UTF-8")
	}
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if _, err := s.compile(source); err != nil {
		return invalid("%s", err)
	}
	return nil
}

func (s *Service) compile(source []byte) (*sieve.Script, error) {
	return sieve.Compile(source, sieve.Limits{Script: s.Limits.Bytes, Redirects: s.Limits.Redirects})
}

// Extensions are the capabilities that scripts can require, sorted.
func (s *Service) Extensions() []string { return sieve.Extensions() }

// Put stores a script that compiles in the place of the one of that name, if there is one; an active one stays active. Faults: those of
// Compile and HaveSpace.
func (s *Service) Put(ctx context.Context, p principal.Principal, id mailbox.ID, name string, source []byte) error {
	name, err := cleanName(name)
	if err == nil {
		err = s.Compile(ctx, source)
	}
	if err != nil {
		return err
	}
	size, now := int64(len(source)), s.Clock.Now().UnixMicro()
	return s.write(ctx, p, id, "PutScript", name, func(ctx context.Context, tx *db.Tx) error {
		if err := s.roomTx(ctx, tx, id, name, size); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, putScript, int64(id), name, size, now, source)
		return err
	})
}

// Delete removes a script. Faults: Invalid; NotFound Script; InUse Script for the active one.
func (s *Service) Delete(ctx context.Context, p principal.Principal, id mailbox.ID, name string) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	return s.write(ctx, p, id, "DeleteScript", name, func(ctx context.Context, tx *db.Tx) error {
		active, err := activeTx(ctx, tx, id, name)
		switch {
		case err != nil:
			return err
		case active:
			return fault.New(fault.InUse, fault.Script, "the script %q is active: make another one active, or none", name)
		}
		_, err = tx.Exec(ctx, deleteScript, int64(id), name)
		return err
	})
}

// Rename gives a script another name; an active one stays active. Faults: Invalid; NotFound, Exists Script.
func (s *Service) Rename(ctx context.Context, p principal.Principal, id mailbox.ID, from, to string) error {
	from, err := cleanName(from)
	if err != nil {
		return err
	}
	if to, err = cleanName(to); err != nil {
		return err
	}
	return s.write(ctx, p, id, "RenameScript", from+" to "+to, func(ctx context.Context, tx *db.Tx) error {
		if _, err := activeTx(ctx, tx, id, from); err != nil {
			return err
		}
		if _, err := activeTx(ctx, tx, id, to); !fault.Is(err, fault.NotFound, fault.Script) {
			if err != nil {
				return err
			}
			return fault.New(fault.Exists, fault.Script, "there is a script %q already", to)
		}
		_, err := tx.Exec(ctx, renameScript, int64(id), from, to)
		return err
	})
}

// Activate makes a script the active one, or none where the name is empty. Faults: Invalid; NotFound Script.
func (s *Service) Activate(ctx context.Context, p principal.Principal, id mailbox.ID, name string) (err error) {
	if name != "" {
		if name, err = cleanName(name); err != nil {
			return err
		}
	}
	return s.write(ctx, p, id, "ActivateScript", name, func(ctx context.Context, tx *db.Tx) error {
		if _, err := tx.Exec(ctx, deactivate, int64(id)); err != nil || name == "" {
			return err
		}
		n, err := tx.Exec(ctx, activateScript, int64(id), name)
		if err == nil && n == 0 {
			err = noScript(name)
		}
		return err
	})
}

// read runs fn in a snapshot on the mailbox of p.
func (s *Service) read(ctx context.Context, p principal.Principal, id mailbox.ID, fn db.Func) error {
	err := s.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		d, err := s.Mailboxes.DetailsTx(ctx, tx, id)
		if err == nil && d.State != mailbox.Open {
			err = fault.New(fault.State, fault.Mailbox, "mailbox %s is closed", id)
		}
		if err == nil {
			err = may(p, d.Owner)
		}
		if err != nil {
			return err
		}
		return fn(ctx, tx)
	})
	return told(err, id)
}

// write runs fn while the mailbox of p is held, with the audit record of the operation: who redirects a user's mail is somebody's question
// one day.
func (s *Service) write(ctx context.Context, p principal.Principal, id mailbox.ID, operation, detail string, fn db.Func) error {
	err := s.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		owner, err := s.Mailboxes.HoldTx(ctx, tx, id)
		if err == nil {
			err = may(p, owner)
		}
		if err == nil {
			err = fn(ctx, tx)
		}
		if err != nil {
			return err
		}
		tx.OnCommit(func() { s.memory.forget(id, true) })
		r := audit.Of(p, p.Organization, operation, owner.Entity)
		r.Detail = detail
		return s.Audit.AppendTx(ctx, tx, r)
	})
	return told(err, id)
}

// told says of what an error that is no fault is.
func told(err error, id mailbox.ID) error {
	if err != nil && fault.As(err) == nil {
		return fmt.Errorf("scripts of mailbox %s: %w", id, err)
	}
	return err
}

// may refuses a user whose mailbox it is not.
func may(p principal.Principal, owner mailbox.Owner) error {
	if p.Kind == principal.User && p.ID == owner.Entity || p.Kind == principal.System {
		return nil
	}
	return fault.New(fault.Denied, fault.Mailbox, "scripts are the mailbox's user's alone")
}

func activeTx(ctx context.Context, tx *db.Tx, id mailbox.ID, name string) (active bool, err error) {
	err = tx.QueryRow(ctx, hasScript, int64(id), name).Scan(&active)
	if errors.Is(err, sql.ErrNoRows) {
		return false, noScript(name)
	}
	return active, err
}

func noScript(name string) error {
	return fault.New(fault.NotFound, fault.Script, "there is no script %q", name)
}

// Fits says whether a script may have so many bytes. Fault: TooLarge Script.
func (s *Service) Fits(size int64) error {
	if size > int64(s.Limits.Bytes) {
		return fault.New(fault.TooLarge, fault.Script, "a script has %d bytes at most", s.Limits.Bytes)
	}
	return nil
}

func (s *Service) roomTx(ctx context.Context, tx *db.Tx, id mailbox.ID, name string, size int64) error {
	var n, bytes int64
	if err := tx.QueryRow(ctx, othersScripts, int64(id), name).Scan(&n, &bytes); err != nil {
		return err
	}
	switch {
	case n >= int64(s.Limits.Scripts):
		return fault.New(fault.Limit, fault.Script, "a mailbox has %d scripts at most", s.Limits.Scripts)
	case bytes+size > int64(s.Limits.Total):
		return fault.New(fault.OverQuota, fault.Script, "the scripts of a mailbox have %d bytes at most in all", s.Limits.Total)
	}
	return nil
}
