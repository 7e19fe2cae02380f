package imap

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// accessSink keeps what a log group is told.
type accessSink chan audit.LogRecord

// Send keeps the records.
func (s accessSink) Send(_ context.Context, records []audit.LogRecord) error {
	for _, r := range records {
		s <- r
	}
	return nil
}

// TestAccessIsTold holds what each command tells the mailbox access log.
func TestAccessIsTold(t *testing.T) {
	dbtest.Run(t, slices.Concat(mailbox.Migrations(), audit.Migrations()), func(t *testing.T, d *db.DB) {
		sink := make(accessSink, 1000)
		log := audit.New(d, clock.System{}, audit.Config{Groups: map[string]audit.Group{"arn": {Sink: sink, AuditLogs: []audit.Stream{audit.MailboxAccessLogs}}}})
		r := newRig(t, d, func(c *Config) { c.Audit = log })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() { ended <- log.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		for range 3 {
			r.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
		}
		c := r.login()
		for _, step := range []struct{ command, want string }{
			{`LIST "" *`, "read_hierarchy Folder   "},
			{"SELECT inbox", "read Folder INBOX  "},
			{"FETCH 1:2 (FLAGS ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "read_summary Message INBOX F1 1:2"},
			{"UID FETCH 3,9 BODY.PEEK[]", "read Message INBOX F1 3"},
			{"UID FETCH 9 BODY[]", ""},
			{`STORE 2 +FLAGS (\Seen)`, "update_read_state Message INBOX F1 2"},
			{`STORE 2 FLAGS (\Seen)`, "update Message INBOX F1 2"},
			{"SEARCH TEXT x", "read_summary Message INBOX F1 "},
			{"CREATE Work", "create Folder Work  "},
			{"COPY 1 Work", "copy Message INBOX F1 1|copy_to Message Work  "},
			{"MOVE 1 Work", "move Message INBOX F1 1|move_to Message Work  "},
			{"STATUS Work (MESSAGES)", "read_summary Folder Work  "},
			{"RENAME Work Play", "move Folder Work  |move_to Folder Play  "},
			{"APPEND Play {3+}\r\nabc", "create Message Play  3"},
			{"EXPUNGE", ""},
			{`UID STORE 2 +FLAGS.SILENT (\Deleted)`, "update Message INBOX F1 2"},
			{"EXPUNGE", "delete Message INBOX F1 2"},
			{`UID STORE 3 +FLAGS.SILENT (\Deleted)`, "update Message INBOX F1 3"},
			{"CLOSE", "delete Message INBOX F1 3"},
			{"DELETE Play", "delete Folder Play  "},
			{"NOOP", ""},
		} {
			c.ok("a " + step.command)
			var got []string
			for range len(strings.Split(step.want, "|")) {
				if step.want == "" {
					break
				}
				select {
				case record := <-sink:
					var e accessEvent
					if err := json.Unmarshal(record.JSON, &e); err != nil {
						t.Fatal(err)
					}
					if e.UserID != "ann" || e.OwnerID != "ann" || e.Protocol != "IMAP" || e.SourceIP != "127.0.0.1" || e.RequestID == "" || e.Time == 0 || !e.Allowed || record.Organization != "m-1" {
						t.Errorf("%s is told as %s", step.command, record.JSON)
					}
					got = append(got, strings.Join([]string{e.Action, e.ObjectType, e.FolderPath, e.FolderID, e.UIDs}, " "))
				case <-ctx.Done():
					t.Fatalf("%s is told as %q, want %q", step.command, got, step.want)
				}
			}
			if got := strings.Join(got, "|"); got != step.want {
				t.Errorf("%s is told as %q, want %q", step.command, got, step.want)
			}
		}
	})
}
