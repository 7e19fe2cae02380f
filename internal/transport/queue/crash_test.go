package queue

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/blob"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/leash"
	"github.com/pennypost/pennypost/internal/mailbox"
)

// The environment of the process that is to be killed.
const (
	crashPath  = "QUEUE_CRASH_PATH"  // directory of the blobs, and of the SQLite file
	crashURL   = "QUEUE_CRASH_URL"   // PostgreSQL, or empty
	crashRound = "QUEUE_CRASH_ROUND" // which life it is; empty for one that only delivers
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashPath); dir != "" {
		if os.Getenv(crashRound) == "" {
			os.Exit(livesUntilDone(dir))
		}
		fmt.Fprintln(os.Stderr, livesUntilKilled(dir))
		os.Exit(1)
	}
	if err := dbtest.PlayModels("8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// crashQueue opens the queue that is killed and looked at in turns.
func crashQueue(dir, url string, ends endsOfCrash) (*Queue, error) {
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(dir, "crash.db"), URL: url, Migrations: Migrations()})
	if err != nil {
		return nil, err
	}
	files, err := blob.New(context.Background(), blob.Options{Dir: filepath.Join(dir, "blobs")})
	if err != nil {
		return nil, err
	}
	return New(Options{
		DB: d, Blobs: fileBlobs{files}, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler), Courier: ends, Teller: ends,
		Limits: Limits{Inline: 2000, FirstRetry: 20 * time.Millisecond, LastRetry: 20 * time.Millisecond, Gather: time.Millisecond},
	}), nil
}

// endsOfCrash is a courier and a teller of the process that is killed. It writes what it took to a file before it answers, as another
// server would.
type endsOfCrash struct {
	log   *os.File
	db    **db.DB
	calls *atomic.Int64
}

// Deliver takes, defers, refuses, or finds nobody, by the recipient's name and by how often it was called.
func (e endsOfCrash) Deliver(_ context.Context, _ Destination, m *Message) []Outcome {
	body, err := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Size))
	name, _, whole := strings.Cut(string(body), "\n")
	if err != nil || !whole || name != m.Trace || !strings.HasSuffix(string(body), "end") {
		fmt.Fprintf(e.log, "broken %s\n", m.Trace)
	}
	out := make([]Outcome, len(m.Recipients))
	n := e.calls.Add(1)
	for i, r := range m.Recipients {
		switch {
		case n%11 == 0:
			out[i] = Outcome{Down: true}
		case n%5 == 0:
			out[i] = Outcome{Status: "4.2.0"}
		case strings.HasPrefix(r.Address.Local, "refused"):
			out[i] = Outcome{Result: Failed, Status: "5.1.1"}
		default:
			fmt.Fprintf(e.log, "took %s %s\n", m.Trace, r.Address.Local) // one write, on its way to the disk when a process is killed
			out[i] = Outcome{Result: Delivered}
		}
	}
	return out
}

func (e endsOfCrash) Tell(ctx context.Context, n *Notice, done func(context.Context, *db.Tx) error) error {
	return (*e.db).Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, r := range n.Reports {
			if _, err := tx.Exec(ctx, "INSERT INTO told (name, recipient) VALUES ($1, $2)", n.Trace, r.Recipient.Address.Local); err != nil {
				return err
			}
		}
		return done(ctx, tx)
	})
}

// livesUntilKilled queues messages, says so once each was acknowledged, and delivers them meanwhile.
func livesUntilKilled(dir string) error {
	log, err := os.OpenFile(filepath.Join(dir, "taken"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	ends := endsOfCrash{log: log, db: new(*db.DB), calls: new(atomic.Int64)}
	q, err := crashQueue(dir, os.Getenv(crashURL), ends)
	if err != nil {
		return err
	}
	*ends.db = q.DB
	said := make(chan error)
	go func() { said <- q.Run(context.Background()) }()
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				if err := q.sendOfCrash(fmt.Sprintf("%s-%d-%d", os.Getenv(crashRound), w, n), n); err != nil {
					said <- err
					return
				}
			}
		}()
	}
	return <-said
}

func (q *Queue) sendOfCrash(name string, n int) error {
	ctx := context.Background()
	body := name + "\n" + strings.Repeat("x", 100+n%5*700) + "end" // some inline, some in blobs
	p, err := q.Prepare(ctx, []byte(body))
	if err != nil {
		return err
	}
	defer p.Discard(ctx)
	if n%13 == 7 {
		return nil // not queued after all
	}
	list := to("a@x.example", "b@x.example", "c@y"+strconv.Itoa(n%3)+".example", "refused1@x.example", "refused2@z.example")
	err = q.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		_, err := q.EnqueueTx(ctx, tx, p, Envelope{Organization: int64(n % 2), Trace: name, From: addr("ann@here.example")}, list)
		return err
	})
	if err == nil {
		fmt.Println("queued", name)
	}
	return err
}

func TestNothingAcknowledgedIsLostOrSentTwiceByKilling(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { killInALoop(t, "") })
	t.Run("postgres", func(t *testing.T) { killInALoop(t, dbtest.PostgresURL(t, Migrations())) })
}

func killInALoop(t *testing.T, url string) {
	dir := t.TempDir()
	q, err := crashQueue(dir, url, endsOfCrash{})
	if err != nil {
		t.Fatal(err)
	}
	err = q.DB.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, "CREATE TABLE told (name TEXT NOT NULL, recipient TEXT NOT NULL)")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.DB.Close(); err != nil {
		t.Fatal(err)
	}
	queued, recorded := map[string]bool{}, map[string]int{}
	for round := range 6 {
		maps.Copy(queued, lifeAndDeath(t, dir, url, round))
		autopsy(t, dir, url, recorded)
	}
	finish(t, dir, url, queued, recorded)
}

// takings counts what the courier took, by message and recipient.
func takings(t *testing.T, dir string) map[string]int {
	t.Helper()
	log, err := os.Open(filepath.Join(dir, "taken"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	taken := map[string]int{}
	for lines := bufio.NewScanner(log); lines.Scan(); {
		what, name, _ := strings.Cut(lines.Text(), " ")
		if what != "took" {
			t.Errorf("the courier says %q", lines.Text())
		}
		taken[name]++
	}
	return taken
}

// lifeAndDeath starts the process, kills it when it has said some things, and returns what it acknowledged.
func lifeAndDeath(t *testing.T, dir, url string, round int) map[string]bool {
	t.Helper()
	queued := map[string]bool{}
	leash.Kill(t, func(line string) bool {
		if name, ok := strings.CutPrefix(line, "queued "); ok {
			queued[name] = true
		}
		return len(queued) == 40+round*23
	}, crashPath+"="+dir, crashURL+"="+url, crashRound+"="+strconv.Itoa(round))
	return queued
}

// autopsy checks what the killed process left, and adds to recorded what is known to have been taken, and how often it was by then.
func autopsy(t *testing.T, dir, url string, recorded map[string]int) {
	t.Helper()
	q, err := crashQueue(dir, url, endsOfCrash{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Queue: q, t: t}
	r.sound()
	for _, fault := range q.DB.Check(t.Context()) {
		t.Error(fault)
	}
	taken := takings(t, dir)
	r.ok(q.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var trace, to string
			err := row.Scan(&trace, &to)
			if name := trace + " " + address(to).Local; recorded[name] == 0 {
				recorded[name] = taken[name]
			}
			return err
		}, "SELECT trace, recipient FROM queue_history WHERE kind = $1", int64(Sent))
	}))
	r.ok(q.DB.Close())
}

// finish lets the queue run empty and counts what was taken.
func finish(t *testing.T, dir, url string, queued map[string]bool, recorded map[string]int) {
	log, err := os.OpenFile(filepath.Join(dir, "taken"), os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ends := endsOfCrash{log: log, db: new(*db.DB), calls: new(atomic.Int64)}
	q, err := crashQueue(dir, url, ends)
	if err != nil {
		t.Fatal(err)
	}
	*ends.db = q.DB
	r := &rig{Queue: q, t: t, blobs: &memoryBlobs{}, stop: func() {}}
	happened := make(chan struct{}, 1)
	q.Record = func(_ context.Context, tx *db.Tx, _ Event) error {
		tx.OnCommit(func() { ring(happened) })
		return nil
	}
	r.start()
	for r.count("queue_message") > 0 {
		<-happened
	}
	r.stop()
	// What an attempt leaves to the next look, and a message to the next sweep.
	r.ok(q.look(t.Context(), lookKinds()))
	r.ok(q.sweep(t.Context()))
	r.sound()
	r.empty()

	taken, told := takings(t, dir), map[string]int{}
	names := map[string]bool{}
	r.ok(q.DB.Read(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.Each(ctx, func(row db.Row) error {
			var name, recipient string
			err := row.Scan(&name, &recipient)
			told[name+" "+recipient]++
			names[name] = true
			return err
		}, "SELECT name, recipient FROM told")
	}))
	for name := range queued {
		if !names[name] {
			t.Errorf("%s was acknowledged and is lost", name)
		}
	}
	maps.Copy(names, queued) // one that was stored may have been killed before it said so: it counts as a whole, too
	twice := 0
	for name := range names {
		for _, who := range []string{"a", "b", "c"} {
			n := taken[name+" "+who]
			if n == 0 {
				t.Errorf("%s was not sent to %s", name, who)
			}
			if n > 1 {
				twice += n - 1
			}
		}
		for _, who := range []string{"refused1", "refused2"} {
			if n := told[name+" "+who]; n != 1 {
				t.Errorf("of %s the sender was told %d times that %s is not reached", name, n, who)
			}
		}
	}
	// Only what was taken and not yet recorded when the process was killed may be sent again.
	for name, n := range recorded {
		if taken[name] != n {
			t.Errorf("%s was recorded as sent after %d times, and sent %d times", name, n, taken[name])
		}
	}
	if len(recorded) == 0 {
		t.Error("no life was long enough to record anything")
	}
	t.Logf("%d messages acknowledged, %d there; %d recipients recorded as sent to, %d sent to twice", len(queued), len(names), len(recorded), twice)
	r.ok(q.DB.Close())
}

// deadly is a courier that ends its process by a message of the trace "deadly".
type deadly struct{ endsOfCrash }

func (d deadly) Deliver(ctx context.Context, to Destination, m *Message) []Outcome {
	if m.Trace == "deadly" {
		os.Exit(3)
	}
	return d.endsOfCrash.Deliver(ctx, to, m)
}

// livesUntilDone delivers until nothing waits.
func livesUntilDone(dir string) int {
	log, err := os.OpenFile(filepath.Join(dir, "taken"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 1
	}
	q, err := crashQueue(dir, os.Getenv(crashURL), endsOfCrash{log: log, calls: new(atomic.Int64)})
	if err != nil {
		return 1
	}
	q.Courier = deadly{q.Courier.(endsOfCrash)}
	happened := make(chan struct{}, 1)
	q.Record = func(_ context.Context, tx *db.Tx, _ Event) error {
		tx.OnCommit(func() { ring(happened) })
		return nil
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error)
	go func() { ended <- q.Run(ctx) }()
	for waiting := int64(1); waiting > 0; {
		<-happened
		if waiting, _, _, err = q.Depth(ctx); err != nil {
			return 1
		}
	}
	stop()
	if <-ended != nil || q.DB.Close() != nil {
		return 1
	}
	return 0
}

// A message that ends the server whenever it is attempted does so a few times; then it is held, and the others have gone.
func TestAMessageThatEndsTheServerIsHeld(t *testing.T) {
	for engine, url := range map[string]string{"sqlite": "", "postgres": dbtest.PostgresURL(t, Migrations())} {
		t.Run(engine, func(t *testing.T) {
			dir := t.TempDir()
			q, err := crashQueue(dir, url, endsOfCrash{})
			if err != nil {
				t.Fatal(err)
			}
			r := &rig{Queue: q, t: t}
			for i := range 30 {
				name := fmt.Sprint("m", i)
				if i == 7 {
					name = "deadly"
				}
				r.sendAs(Envelope{Organization: 1, Trace: name}, name+"\nend", to(fmt.Sprintf("a@d%d.example", i%4)))
			}
			r.ok(q.DB.Close())
			crashes := 0
			for ; ; crashes++ {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), crashPath+"="+dir, crashURL+"="+url)
				out, err := cmd.CombinedOutput()
				if err == nil {
					break
				}
				if cmd.ProcessState.ExitCode() != 3 || crashes > 20 {
					t.Fatalf("life %d: %v: %s", crashes, err, out)
				}
			}
			if crashes != 6 { // one without being careful, and five that are counted
				t.Errorf("it ended the server %d times", crashes)
			}
			if q, err = crashQueue(dir, url, endsOfCrash{}); err != nil {
				t.Fatal(err)
			}
			r.Queue = q
			left, _, err := q.List(t.Context(), Filter{}, Cursor{}, 10)
			r.ok(err)
			if len(left) != 1 || left[0].Trace != "deadly" || !left[0].Held || !strings.Contains(left[0].Reply, "5 times") {
				t.Errorf("left are %+v", left)
			}
			for name, n := range takings(t, dir) {
				if n > crashes {
					t.Errorf("%s was taken %d times", name, n)
				}
			}
			if n := r.count("queue_attempt"); n != 0 {
				t.Errorf("%d attempts are noted still", n)
			}
			r.sound()
			r.ok(q.DB.Close())
		})
	}
}

// fileBlobs is mailbox.Blobs on the blob store that servers use.
type fileBlobs struct{ store blob.Store }

func (b fileBlobs) Put(ctx context.Context, key string, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	return int64(len(data)), b.store.Put(ctx, key, bytes.NewReader(data))
}

func (b fileBlobs) Open(ctx context.Context, key string) (mailbox.Blob, error) {
	r, err := b.store.Open(ctx, key, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return memoryBlob{bytes.NewReader(data)}, err
}

func (b fileBlobs) Delete(ctx context.Context, key string) error { return b.store.Delete(ctx, key) }
