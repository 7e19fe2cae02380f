package imap

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/audit/audittest"
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

// withAccessLog runs fn on both engines with a log group that takes the mailbox access log.
func withAccessLog(t *testing.T, fn func(ctx context.Context, r *rig, sink accessSink)) {
	t.Helper()
	dbtest.Run(t, slices.Concat(mailbox.Migrations(), audit.Migrations()), func(t *testing.T, d *db.DB) {
		sink := make(accessSink, 10_000)
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
		fn(ctx, r, sink)
	})
}

// withAttachments has a text in two forms, a picture that the HTML shows, a text file, and a message with a file of its own.
const withAttachments = "Content-Type: multipart/mixed; boundary=m\r\n\r\n" +
	"--m\r\nContent-Type: multipart/related; boundary=r\r\n\r\n" +
	"--r\r\n\r\nhello\r\n--r\r\nContent-Type: image/png\r\nContent-ID: <1>\r\n\r\nx\r\n--r--\r\n" +
	"--m\r\nContent-Type: text/plain; name=notes.txt\r\n\r\nnotes\r\n" +
	"--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\ninner\r\n--i--\r\n" +
	"--m--\r\n"

// TestAccessIsTold holds what each command tells the mailbox access log.
func TestAccessIsTold(t *testing.T) {
	withAccessLog(t, func(ctx context.Context, r *rig, sink accessSink) {
		for range 3 {
			r.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
		}
		r.deliver("INBOX", withAttachments, 0)
		c := r.login()
		c.ok(`a ID ("name" "Phone" "os" "x" "version" "1.2")`)
		for _, step := range []struct{ command, want string }{
			{`LIST "" *`, "read_hierarchy Folder"},
			{"SELECT inbox", "read Folder INBOX F1"},
			{"FETCH 1:2 (FLAGS ENVELOPE BODY.PEEK[HEADER.FIELDS (SUBJECT)])", "read_summary Folder INBOX F1 1:2"},
			{"UID FETCH 3,9 BODY.PEEK[]", "read Message INBOX F1 I3"},
			{"UID FETCH 9 BODY[]", ""},
			{"FETCH 1 BODY[TEXT]", "update_read_state Message INBOX F1 I1|read Message INBOX F1 I1"},
			{"FETCH 4 (BODY.PEEK[1.1] BODY.PEEK[1.MIME] BODY.PEEK[3.HEADER])", "read Message INBOX F1 I4"},
			{"FETCH 4 (BODY.PEEK[1.2]<0.1> BODY.PEEK[1.2]<1.1> BINARY.PEEK[2])", "read_attachment Attachment INBOX F1 I4 1.2|read_attachment Attachment INBOX F1 I4 2"},
			{"FETCH 4 (BODY.PEEK[1] BODY.PEEK[3] BODY.PEEK[3.TEXT] BODY.PEEK[3.1])", "read Message INBOX F1 I4|read_attachment Attachment INBOX F1 I4 3|read_attachment Attachment INBOX F1 I4 3.1"},
			{"FETCH 4 (BODY.PEEK[9] BINARY.SIZE[2] BODYSTRUCTURE)", "read_summary Folder INBOX F1 4"},
			{`STORE 2 +FLAGS (\Seen)`, "update_read_state Message INBOX F1 I2"},
			{`STORE 2 FLAGS (\Seen)`, ""}, // nothing changed
			{`STORE 2:3 FLAGS (\Flagged)`, "update Message INBOX F1 I2|update Message INBOX F1 I3"},
			{"SEARCH 1:2 TEXT x", "read_summary Folder INBOX F1"},
			{"CREATE Work", "create Folder Work F6"},
			{"SUBSCRIBE Work", "update Folder Work F6"},
			{"COPY 1 Work", "copy Message INBOX F1 I1|copy_to Message Work F6 I5"},
			{"MOVE 1 Work", "move Message INBOX F1 I1|move_to Message Work F6 I1"},
			{"STATUS Work (MESSAGES)", "read_summary Folder Work F6"},
			{"RENAME Work Play", "move Folder Work F6|move_to Folder Play F6"},
			{"APPEND Play {3+}\r\nabc", "create Message Play F6 I6"},
			{"EXPUNGE", ""},
			{`UID STORE 2 +FLAGS.SILENT (\Deleted)`, "update Message INBOX F1 I2"},
			{"EXPUNGE", "delete Message INBOX F1 I2"},
			{`UID STORE 3 +FLAGS.SILENT (\Deleted)`, "update Message INBOX F1 I3"},
			{"CLOSE", "delete Message INBOX F1 I3"},
			{"DELETE Play", "delete Folder Play F6"},
			{"NOOP", ""},
			{"RENAME INBOX Old", "move Folder INBOX F1|move_to Folder Old F7"},
		} {
			c.ok("a " + step.command)
			var got []string
			for range len(strings.Split(step.want, "|")) {
				if step.want == "" {
					break
				}
				select {
				case record := <-sink:
					audittest.Record(t, record.Stream, record.JSON)
					var e audit.MailboxAccess
					if err := json.Unmarshal(record.JSON, &e); err != nil {
						t.Fatal(err)
					}
					if e.UserID != "ann" || e.OwnerID != "ann" || e.Protocol != "IMAP" || e.SourceIP != "127.0.0.1" || e.UserAgent != "Phone/1.2" || e.RequestID == "" || e.Time == 0 || !e.Allowed || record.Organization != "m-1" {
						t.Errorf("%s is told as %s", step.command, record.JSON)
					}
					got = append(got, strings.Join(strings.Fields(strings.Join([]string{e.Action, e.ObjectType, e.FolderPath, e.FolderID, e.ItemID, e.UIDs, e.AttachmentPath}, " ")), " "))
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

// TestVeryManyMessagesAreOneRecord changes 1,024 messages at once.
func TestVeryManyMessagesAreOneRecord(t *testing.T) {
	withAccessLog(t, func(ctx context.Context, r *rig, sink accessSink) {
		r.deliver("INBOX", "Subject: x\r\n\r\nx\r\n", 0)
		c := r.login()
		c.ok("a SELECT INBOX")
		for range 10 {
			c.ok("a UID COPY 1:* INBOX")
		}
		c.ok(`a UID STORE 1:* +FLAGS.SILENT (\Seen)`)
		for copied := 0; ; {
			select {
			case record := <-sink:
				var e audit.MailboxAccess
				if err := json.Unmarshal(record.JSON, &e); err != nil {
					t.Fatal(err)
				}
				switch e.Action {
				case audit.ActCopyTo:
					copied++
				case audit.ActUpdateReadState:
					if copied != 1023 || e.UIDs != "1:1024" || e.ItemID != "" || e.FolderID != "F1" {
						t.Errorf("after %d copies there came %s", copied, record.JSON)
					}
					return
				}
			case <-ctx.Done():
				t.Fatalf("%d copies were told", copied)
			}
		}
	})
}
