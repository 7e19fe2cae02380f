package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/leash"
)

// The environment of the process that is to be killed.
const (
	crashPath  = "MAILBOX_CRASH_PATH"  // directory of the blobs, and of the SQLite file
	crashURL   = "MAILBOX_CRASH_URL"   // PostgreSQL, or empty
	crashRound = "MAILBOX_CRASH_ROUND" // which life it is
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashPath); dir != "" {
		fmt.Fprintln(os.Stderr, livesUntilKilled(dir))
		os.Exit(1)
	}
	if err := dbtest.PlayModels("20"); err != nil { // they take half a second a run
		panic(err)
	}
	os.Exit(m.Run())
}

// crashStore opens the store that is killed and looked at in turns.
func crashStore(dir, url string) (*Store, error) {
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(dir, "crash.db"), URL: url, Migrations: Migrations()})
	if err != nil {
		return nil, err
	}
	files, err := blob.New(context.Background(), blob.Options{Dir: filepath.Join(dir, "blobs")})
	if err != nil {
		return nil, err
	}
	return New(Options{
		DB: d, Blobs: fileBlobs{files}, Feed: feed.New(), Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		InlineLimit: 2000,
	}), nil
}

// livesUntilKilled delivers, moves and expunges and says so on standard output once each thing was acknowledged.
func livesUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := crashStore(dir, os.Getenv(crashURL))
	if err != nil {
		return err
	}
	defer s.db.Close()
	d, err := s.ByOwner(ctx, Owner{7, "a"})
	if err != nil {
		return err
	}
	said := make(chan error)
	go func() { said <- s.livesUnderRetention(ctx, d.ID) }()
	for w := range 8 {
		go func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s-%d-%d", os.Getenv(crashRound), w, n)
				size := 100 + n%7*500 // some inline, some in blobs
				m := Message{Source: Source{Bytes: append([]byte(name+"\r\n\r\n"), randomBytes(size)...)}, Envelope: []byte(name)}
				out, err := s.Deliver(ctx, m, Target{Mailbox: d.ID}, Target{Mailbox: d.ID, Folder: SentID})
				if err != nil {
					said <- err
					return
				}
				fmt.Println("stored", name)
				switch n % 5 {
				case 1:
					_, err = s.Move(ctx, d.ID, InboxID, UIDs(out[0].UID), TrashID)
				case 3:
					if _, err = s.Expunge(ctx, d.ID, InboxID, UIDs(out[0].UID), false); err == nil {
						fmt.Println("expunged", name)
					}
				case 4:
					_, err = s.Sweep(ctx)
				}
				if err != nil {
					said <- err
					return
				}
			}
		}()
	}
	return <-said
}

// livesUnderRetention delivers to the drafts, says so, and lets retention remove them and some of them come back.
func (s *Store) livesUnderRetention(ctx context.Context, id ID) error {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s-kept-%d", os.Getenv(crashRound), n)
		m := Message{Source: Source{Bytes: append([]byte(name+"\r\n\r\n"), randomBytes(100+n%7*500)...)}, Envelope: []byte(name)}
		if _, err := s.Deliver(ctx, m, Target{Mailbox: id, Folder: DraftsID}); err != nil {
			return err
		}
		fmt.Println("kept", name)
		if n%3 != 2 {
			continue
		}
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			_, _, err := s.RetainTx(ctx, tx, id, Due{DraftsID, Rule{Before: s.clock.Now(), Recoverable: true}})
			return err
		})
		if err != nil {
			return err
		}
		items, err := s.Recoverable(ctx, id, 0, 2)
		if err != nil {
			return err
		}
		var ids []ItemID
		for _, it := range items {
			ids = append(ids, it.ID)
		}
		if _, err := s.Recover(ctx, id, ids, 0); err != nil {
			return err
		}
	}
}

func TestNothingAcknowledgedIsLostByKilling(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { killInALoop(t, "") })
	t.Run("postgres", func(t *testing.T) { killInALoop(t, dbtest.PostgresURL(t, Migrations())) })
}

func killInALoop(t *testing.T, url string) {
	dir := t.TempDir()
	s, err := crashStore(dir, url)
	if err != nil {
		t.Fatal(err)
	}
	err = s.db.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := s.CreateTx(ctx, tx, Owner{7, "a"}, testQuota)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	stored, expunged, kept := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for round := range 6 {
		lifeAndDeath(t, dir, url, round, stored, expunged, kept)
		autopsy(t, dir, url, stored, expunged, kept)
	}
	if len(expunged) == 0 {
		t.Error("no life was long enough to expunge anything")
	}
}

// lifeAndDeath starts the process and kills it when it has said some things.
func lifeAndDeath(t *testing.T, dir, url string, round int, stored, expunged, kept map[string]bool) {
	t.Helper()
	lines := 0
	leash.Kill(t, func(line string) bool {
		what, name, _ := strings.Cut(line, " ")
		switch what {
		case "stored":
			stored[name] = true
		case "expunged":
			expunged[name] = true
		case "kept":
			kept[name] = true
		}
		lines++
		return lines == 60+round*37
	}, crashPath+"="+dir, crashURL+"="+url, crashRound+"="+strconv.Itoa(round))
}

// autopsy opens the store again and compares it with what was acknowledged.
func autopsy(t *testing.T, dir, url string, stored, expunged, kept map[string]bool) {
	t.Helper()
	ctx := t.Context()
	s, err := crashStore(dir, url)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Store: s, t: t}
	r.check()
	d, err := s.ByOwner(ctx, Owner{7, "a"})
	r.ok(err)
	count := map[string]int{}
	for _, f := range []FolderID{InboxID, TrashID, SentID} {
		for it, err := range s.Fetch(ctx, d.ID, f, AllUIDs(), WantMeta|WantBody, 0) {
			r.ok(err)
			name := string(it.Envelope)
			if !bytes.HasPrefix(r.bytes(it), []byte(name+"\r\n\r\n")) {
				t.Errorf("message %s has another's bytes", name)
			}
			if f == SentID {
				count[name] += 10
			} else {
				count[name]++
			}
		}
	}
	for name := range stored {
		switch n := count[name]; {
		case expunged[name] && n != 10:
			t.Errorf("message %s was expunged from one of two folders and is there %d times", name, n)
		case n == 10 && mayBeExpunged(name): // it died before it could say so
		case n != 11 && !expunged[name]:
			t.Errorf("message %s was acknowledged and is there %d times", name, n)
		}
	}
	for name, n := range count {
		if n != 11 && (n != 10 || !mayBeExpunged(name)) {
			t.Errorf("message %s is half there: %d", name, n)
		}
	}
	there := map[string]int{}
	for _, it := range r.items(d.ID, DraftsID, WantMeta) {
		there[string(it.Envelope)]++
	}
	recoverable, err := s.Recoverable(ctx, d.ID, 0, 1<<20)
	r.ok(err)
	for _, it := range recoverable {
		there[string(it.Envelope)]++
	}
	for name := range kept {
		if there[name] != 1 {
			t.Errorf("message %s was acknowledged, may be recoverable, and is there %d times", name, there[name])
		}
	}
	if len(recoverable) == 0 {
		t.Error("no life was long enough for retention")
	}
	r.ok(s.db.Close())
}

// mayBeExpunged says whether livesUntilKilled expunges a message of that name.
func mayBeExpunged(name string) bool {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	return err == nil && n%5 == 3
}

// fileBlobs is Blobs on the blob store that servers use.
type fileBlobs struct{ store blob.Store }

func (b fileBlobs) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	return int64(len(data)), b.store.Put(ctx, key, bytes.NewReader(data))
}

func (b fileBlobs) Open(ctx context.Context, key string) (Blob, error) {
	r, err := b.store.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return memoryBlob{bytes.NewReader(data)}, err
}

func (b fileBlobs) Delete(ctx context.Context, key string) error { return b.store.Delete(ctx, key) }
