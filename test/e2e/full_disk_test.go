package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"golang.org/x/sys/unix"

	"github.com/pennypost/pennypost/test/harness"
)

// TestFullDisk takes the room away from a server that works on SQLite, as the kernel does by its limit on the size of a file
// (which needs no privilege) and, where this user may mount a small file system, by a disk that is really full. It must refuse
// with "try again", keep what it acknowledged, and go on by itself when there is room.
func TestFullDisk(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*testing.T) disk
	}{
		{"no file", func(t *testing.T) disk { return limitedFiles(t, 64<<10) }},
		{"no log", func(t *testing.T) disk { return limitedFiles(t, 2<<20) }},
		{"disk", smallDisk},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.make(t)
			s := harness.Start(t, harness.Options{Dir: d.dir})
			org := office(t, s, "crash", "ann", "bob")
			f := &filler{
				inboxes: inboxes{of: map[string]*inbox{"ann": {}, "bob": {}}, sent: map[string]*sent{}},
				org:     org, imap: s.IMAP("bob@crash.awsapps.com", password), lots: rand.New(rand.NewPCG(1, 2)),
			}
			f.imap.Do("CREATE Kept")
			f.everythingWorks(t, s)
			d.fill(t, s)
			f.everythingIsRefused(t, s)
			d.free(t, s)
			f.everythingWorks(t, s)
			s.Check()
			s.Kill()
			s.Check()
			s.Start()
			f.verify(t, s)
			t.Logf("%d of %d messages, %d APPENDs and %d users were acknowledged", f.acknowledged(), len(f.sent), len(f.kept), len(f.users))
		})
	}
}

// disk is where a server's data lies, and how to take its room and give it back.
type disk struct {
	dir        string
	fill, free func(t *testing.T, s *harness.Server)
}

// limitedFiles lets no file of the server grow beyond so many bytes: 64 KiB are less than a large message and than the log of
// the database has already; 2 MiB are more than a message, and the log comes to them in the middle of the work.
func limitedFiles(t *testing.T, most uint64) disk {
	limit := func(bytes uint64) func(*testing.T, *harness.Server) {
		return func(t *testing.T, s *harness.Server) {
			t.Helper()
			if err := unix.Prlimit(s.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	return disk{filepath.Join(t.TempDir(), "data"), limit(most), limit(unix.RLIM_INFINITY)}
}

// smallDisk mounts a file system of 16 MiB, and fills it by a file that leaves the server half a megabyte.
func smallDisk(t *testing.T) disk {
	mount := t.TempDir()
	if err := unix.Mount("pennypost-test", mount, "tmpfs", 0, "size=16m,mode=0700"); err != nil {
		t.Logf("no file system can be mounted here (%v): files that may not grow stand in for it", err)
		return limitedFiles(t, 1<<20)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	other := filepath.Join(mount, "something else")
	return disk{
		filepath.Join(mount, "data"),
		func(t *testing.T, _ *harness.Server) {
			t.Helper()
			file, err := os.Create(other)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for err == nil {
				_, err = file.Write(make([]byte, 4096))
			}
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			size, err := file.Seek(0, io.SeekCurrent)
			if err == nil {
				err = file.Truncate(size - 512<<10)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		func(t *testing.T, _ *harness.Server) {
			t.Helper()
			if err := os.Remove(other); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// filler writes by each protocol, and knows what was acknowledged.
type filler struct {
	inboxes
	org   string
	n     int
	imap  *harness.IMAP
	lots  *rand.Rand
	users []string
	kept  []string // texts that were appended
}

// mails delivers one small and one large message to two mailboxes.
func (f *filler) mails(t *testing.T, s *harness.Server) []error {
	t.Helper()
	var errs []error
	for _, size := range []int{100, largeBody, 3 * largeBody} {
		f.n++
		name := fmt.Sprintf("m%d", f.n)
		m := &sent{to: []string{"ann", "bob"}, text: "From: x@example.com\r\nSubject: " + name + "\r\n\r\n" + noise(f.lots, size)}
		f.sent[name] = m
		c, err := smtp.Dial(s.Addr("smtp"))
		if err != nil {
			t.Fatal(err)
		}
		err = (&sender{smtp: c}).deliver(m)
		m.acknowledged = err == nil
		errs = append(errs, err)
		_ = c.Close() // nothing is under way
	}
	return errs
}

// user creates a user.
func (f *filler) user(t *testing.T, s *harness.Server) error {
	t.Helper()
	f.n++
	name := fmt.Sprintf("u%d", f.n)
	_, err := s.WorkMail().CreateUser(t.Context(), &workmail.CreateUserInput{OrganizationId: &f.org, Name: &name, DisplayName: &name})
	if err == nil {
		f.users = append(f.users, name)
	}
	return err
}

// append appends a message and returns the answer.
func (f *filler) append(t *testing.T, size int) string {
	t.Helper()
	text := "Subject: kept\r\n\r\n" + noise(f.lots, size)
	_, status, err := f.imap.Try(fmt.Sprintf("APPEND Kept {%d+}\r\n%s", len(text), text))
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(status, "OK") {
		f.kept = append(f.kept, text)
	}
	return status
}

func (f *filler) everythingWorks(t *testing.T, s *harness.Server) {
	t.Helper()
	for _, err := range f.mails(t, s) {
		if err != nil {
			t.Errorf("a delivery while there is room: %v", err)
		}
	}
	if err := f.user(t, s); err != nil {
		t.Errorf("CreateUser while there is room: %v", err)
	}
	for _, size := range []int{100, largeBody} {
		if status := f.append(t, size); !strings.HasPrefix(status, "OK") {
			t.Errorf("APPEND while there is room: %s", status)
		}
	}
}

// everythingIsRefused writes until the last room is used up, and looks at the refusals.
func (f *filler) everythingIsRefused(t *testing.T, s *harness.Server) {
	t.Helper()
	refused := map[string]int{}
	const enough, bound = 3, 2000
	for i := 0; refused["mail"] < enough || refused["user"] < enough || refused["append"] < enough; i++ {
		if i == bound {
			t.Fatalf("still writing without room: refused %v", refused)
		}
		for _, err := range f.mails(t, s) {
			if answer, ok := errors.AsType[*textproto.Error](err); ok && answer.Code/100 == 4 {
				refused["mail"]++
			} else if err != nil {
				t.Fatalf("a delivery without room: %v, want 4xx", err)
			}
		}
		err := f.user(t, s)
		if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok && answer.HTTPStatusCode() == 503 && strings.Contains(err.Error(), "try again") {
			refused["user"]++
		} else if err != nil {
			t.Fatalf("CreateUser without room: %v, want 503 that says to try again", err)
		}
		for _, size := range []int{100, largeBody} {
			if status := f.append(t, size); strings.HasPrefix(status, "NO [UNAVAILABLE]") {
				refused["append"]++
			} else if !strings.HasPrefix(status, "OK") {
				t.Fatalf("APPEND without room: %s, want NO [UNAVAILABLE]", status)
			}
		}
	}
	// Reading needs no room.
	f.imap.Do("SELECT Kept")
	if got := len(fetched(t, f.imap, "1:*")); got != len(f.kept) {
		t.Errorf("%d messages are read without room, want %d", got, len(f.kept))
	}
	f.imap.Do("UNSELECT")
	if _, err := s.WorkMail().DescribeUser(t.Context(), &workmail.DescribeUserInput{OrganizationId: &f.org, UserId: aws.String("ann")}); err != nil {
		t.Errorf("DescribeUser without room: %v", err)
	}
}

// verify compares the restarted server with what was acknowledged: that, and nothing that was refused.
func (f *filler) verify(t *testing.T, s *harness.Server) {
	t.Helper()
	f.inboxes.verify(t, s, true)
	for name, m := range f.sent {
		if _, there := f.of["ann"].uids[name]; there && !m.acknowledged {
			t.Errorf("message %s was refused and is there", name)
		}
	}
	c := s.IMAP("bob@crash.awsapps.com", password)
	selected(t, c, "Kept")
	all := fetched(t, c, "1:*")
	if len(all) != len(f.kept) {
		t.Fatalf("%d messages in Kept, want %d", len(all), len(f.kept))
	}
	for i, m := range all {
		if m.text != f.kept[i] {
			t.Errorf("UID %d in Kept is not what was appended", m.uid)
		}
	}
	var names []string
	pages := workmail.NewListUsersPaginator(s.WorkMail(), &workmail.ListUsersInput{OrganizationId: &f.org})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Users {
			if strings.HasPrefix(*u.Name, "u") {
				names = append(names, *u.Name)
			}
		}
	}
	if len(names) != len(f.users) {
		t.Errorf("%d users are there, and %d were acknowledged", len(names), len(f.users))
	}
}
