package queue

import (
	"context"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
)

func TestCheckFindsContradictions(t *testing.T) {
	for name, c := range map[string]struct{ harm, want string }{
		"message":     {"DELETE FROM queue_message WHERE size = 5", "a delivery has no message"},
		"bytes":       {"DELETE FROM queue_body", "bytes are missing"},
		"cut":         {"UPDATE queue_message SET size = 4 WHERE size = 5", "bytes are missing, or of another size"},
		"delivery":    {"DELETE FROM queue_delivery", "a message has nothing to deliver"},
		"destination": {"DELETE FROM queue_destination", "a delivery has no destination"},
		"idle":        {"UPDATE queue_destination SET due = 9000000000000000", "looked at later"},
		"left":        {"UPDATE queue_destination SET due = 9000000000000000, id = id + 1", "a destination has no deliveries"},
		"usage":       {"UPDATE queue_usage SET bytes = bytes + 1", "counted wrong"},
		"foreign":     {"UPDATE queue_destination SET org = 7", "two organisations"},
		"garbage":     {"INSERT INTO queue_upload (life, ref) SELECT 0, ref FROM queue_message WHERE ref <> ''", "marked as garbage"},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Run(t, Migrations(), func(t *testing.T, d *db.DB) {
				r := newRig(t, d, Limits{Inline: 10})
				r.send("small", to("a@x.example"))
				r.send("larger than that", to("b@x.example"))
				r.sound()
				var faults []string
				r.ok(d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) (err error) {
					if _, err = tx.Exec(ctx, c.harm); err == nil {
						faults, err = r.Check(ctx, tx)
					}
					return err
				}))
				if !strings.Contains(strings.Join(faults, "\n"), c.want) {
					t.Errorf("found %q, want %q", faults, c.want)
				}
			})
		})
	}
	t.Run("blob", func(t *testing.T) {
		r := newRig(t, dbtest.SQLite(t, Migrations()), Limits{Inline: 10})
		r.send("larger than that", to("b@x.example"))
		clear(r.blobs.m)
		if faults, err := r.CheckBodies(t.Context()); err != nil || len(faults) != 1 {
			t.Errorf("found %q, %v", faults, err)
		}
	})
}
