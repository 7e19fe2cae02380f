package directory

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/feed"
)

// benchDirectory is a directory on a durable SQLite with one active organisation.
func benchDirectory(b *testing.B) (*Service, *db.DB, OrgID) {
	b.Helper()
	d, err := db.Open(b.Context(), db.Options{Path: filepath.Join(b.TempDir(), "bench.db"), Migrations: migrations(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	s := New(Config{DB: d, Audit: audit.New(d, clock.System{}, audit.Config{}), Clock: clock.System{}, Feed: feed.New()})
	var o *Organization
	err = d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
		if o, err = s.InsertOrganizationTx(ctx, tx, NewOrganization{Alias: "acme"}); err != nil {
			return err
		}
		_, err = s.SetStateTx(ctx, tx, o, OrgRequested, OrgActive, "")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, d, o.ID
}

func BenchmarkCreateUser(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			s, _, org := benchDirectory(b)
			var n atomic.Int64
			b.SetParallelism(clients) // times GOMAXPROCS
			b.ResetTimer()
			create := func() {
				name := fmt.Sprint("user", n.Add(1))
				if _, err := s.CreateUser(b.Context(), admin, org, NewUser{Name: name, DisplayName: name}); err != nil {
					b.Error(err)
				}
			}
			if clients == 1 {
				for range b.N {
					create()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					create()
				}
			})
		})
	}
}

// BenchmarkBareTransaction is the floor under BenchmarkCreateUser: one durable transaction of one row.
func BenchmarkBareTransaction(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			_, d, _ := benchDirectory(b)
			var n atomic.Int64
			bare := func() {
				err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
					_, err := tx.Exec(ctx, `INSERT INTO delegate (resource, delegate) VALUES ($1, 1)`, n.Add(1))
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
			b.SetParallelism(clients)
			b.ResetTimer()
			if clients == 1 {
				for range b.N {
					bare()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					bare()
				}
			})
		})
	}
}

func BenchmarkDescribeUser(b *testing.B) {
	s, _, org := benchDirectory(b)
	id, err := s.CreateUser(b.Context(), admin, org, NewUser{Name: "ann"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.DescribeUser(b.Context(), admin, org, string(id)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkListUsers reads a page out of the middle of few and of many users: the time must not grow.
func BenchmarkListUsers(b *testing.B) {
	for _, users := range []int{100, 10_000, 100_000} {
		s, d, org := benchDirectory(b)
		for done := 0; done < users; {
			err := d.Write(b.Context(), func(ctx context.Context, tx *db.Tx) error {
				o, err := s.OrganizationTx(ctx, tx, org)
				for range 100 {
					if err == nil {
						name := fmt.Sprintf("user%07d", done)
						entry := NewEntry{Kind: KindUser, User: NewUser{Name: name, DisplayName: name, Role: RoleUser}}
						err = s.insertTx(ctx, tx, o, EntityID(name), entry, "")
						done++
					}
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		for what, filter := range map[string]UserFilter{
			"all": {}, "name": {NamePrefix: "user"}, "display": {DisplayNamePrefix: "u"}, "state": {State: ptr(Disabled)},
		} {
			b.Run(fmt.Sprintf("users=%d/%s", users, what), func(b *testing.B) {
				page := Page{Limit: users / 2}
				if page.Limit > pageLimit {
					page.Limit = pageLimit
				}
				_, next, err := s.ListUsers(b.Context(), admin, org, filter, page)
				if err != nil {
					b.Fatal(err)
				}
				page.After = next
				for b.Loop() {
					if _, _, err := s.ListUsers(b.Context(), admin, org, filter, page); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
