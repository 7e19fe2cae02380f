package flow

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/principal"
)

// The content of a message that a function was told of stands in a row, or in Blobs where it is large, under the id of the event. While a
// synchronous function decides, that is the message: the queue has none of its bytes, and what PutRawMessageContent puts there is what goes
// on. Bytes in Blobs that no row names are named by a mark, from before they are written until they are gone: a crash leaves nothing else.

// Kept is how long the content of a message can be read after it arrived or was sent.
const Kept = 24 * time.Hour

const (
	maxInline = mailbox.DefaultInlineLimit // bytes of a content that is kept in the database
	// grace is how long bytes in Blobs stay that no row names: the time that writing or reading them may take.
	grace = time.Hour
	// maxPuts is how often the content of a message is put: what was there before stays for the time of grace.
	maxPuts = 10
	// pruneBatch is how many rows one transaction removes.
	pruneBatch = 100
	forever    = math.MaxInt64
)

// ContentOptions is what Contents stand on. All but Objects are required.
type ContentOptions struct {
	DB        *db.DB
	Directory *directory.Service
	Blobs     mailbox.Blobs // keys begin with "flow/"
	Clock     clock.Clock
	// Objects reads what is to be put; nil reads nothing.
	Objects Objects
	// MaxMessage is how many bytes a message may have, MaxAttachments how many attachments what is put (see transport.Limits); 0 is no limit
	// on these.
	MaxMessage     int64
	MaxAttachments int
	// MaxKept is how many bytes of messages that nobody decides on any more are kept of an organisation: the oldest go. Those that wait have
	// as much room for what is put: as they arrive, package queue counts them. 0 is no limit.
	MaxKept int64
}

// Objects is package export's Service.
type Objects interface {
	// Object reads an object of a bucket. Faults: Invalid Location, TooLarge Location.
	Object(ctx context.Context, org directory.OrgID, bucket, key, version string) ([]byte, error)
}

// Contents keeps the contents of messages that functions were told of. It is safe for concurrent use.
type Contents struct {
	ContentOptions
	turns *turns
}

// NewContents returns the store.
func NewContents(o ContentOptions) *Contents {
	return &Contents{o, newTurns()}
}

// Told is a message that a function is told of.
type Told struct {
	ID           string // the event's messageId
	Organization int64
	Direction    Direction
	// Own is how many bytes in front of the content are the server's own lines, which stay as they are.
	Own int
	// Waits says that a synchronous function decides on it.
	Waits bool
}

// Body is a content that is ready to be kept. It becomes that of one message.
type Body struct {
	contents *Contents
	data     []byte
	ref      string // in Blobs; empty for data
	size     int64
	taken    atomic.Bool // a transaction that keeps it is durable
}

// Prepare makes a content ready, which is front and then b. A large one is on disk when it returns. Fault: Temporary Message.
func (c *Contents) Prepare(ctx context.Context, front string, b []byte) (*Body, error) {
	p := &Body{contents: c, size: int64(len(front) + len(b))}
	if p.size <= maxInline {
		p.data = append(append(make([]byte, 0, p.size), front...), b...)
		return p, nil
	}
	p.ref = fmt.Sprintf("flow/%x", id.Key())
	err := c.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return c.markTx(ctx, tx, p.ref) })
	if err != nil {
		return nil, fmt.Errorf("keep a message for a function: %w", err)
	}
	n, err := c.Blobs.Put(ctx, p.ref, io.MultiReader(bytes.NewReader([]byte(front)), bytes.NewReader(b)))
	if err == nil && n != p.size {
		err = fmt.Errorf("%d bytes of %d are stored", n, p.size)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Temporary, fault.Message, "the message can't be kept for a function now; try again later")
	}
	return p, nil
}

// Size is how many bytes the content has.
func (p *Body) Size() int64 { return p.size }

// Discard removes a content that is not kept; it does nothing for one that is. What it fails to remove, Sweep does.
func (p *Body) Discard(ctx context.Context) {
	if p.ref == "" || p.taken.Load() {
		return
	}
	// The answer to a commit may have been lost: only the mark knows.
	var n int64
	err := p.contents.DB.Write(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, expireMark, p.ref)
		return err
	})
	if err == nil && n > 0 {
		_ = p.contents.remove(ctx, p.ref)
	}
}

const (
	insertContent = `INSERT INTO flow_content (message_id, organization, direction, arrived, until, waits, revision, own, size, ref, data)
		VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9, $10)`
	selectOwner   = `SELECT organization, direction FROM flow_content WHERE message_id = $1 AND until > $2`
	selectContent = `SELECT until, waits, revision, own, size, ref, data FROM flow_content WHERE message_id = $1`
	lockContent   = `UPDATE flow_content SET revision = revision + 1 WHERE message_id = $1 AND waits = 1 AND revision < $2 RETURNING ref`
	setContent    = `UPDATE flow_content SET size = $2, ref = $3, data = $4 WHERE message_id = $1`
	decideContent = `UPDATE flow_content SET waits = 0, until = arrived + $3 WHERE message_id = $1 AND waits = 1 AND revision = $2`
	freeContent   = `UPDATE flow_content SET waits = 0, until = arrived + $2 WHERE message_id = $1 AND waits = 1`
	deleteContent = `DELETE FROM flow_content WHERE message_id = $1`

	selectExpired   = `SELECT message_id, ref, size FROM flow_content WHERE until <= $1 ORDER BY until LIMIT $2`
	selectOldest    = `SELECT message_id, ref, size FROM flow_content WHERE organization = $1 AND waits = 0 ORDER BY until, size LIMIT $2`
	selectOfOrg     = `SELECT message_id, ref, size FROM flow_content WHERE organization = $1 ORDER BY waits, until LIMIT $2`
	selectWaiting   = `SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM flow_content WHERE organization = $1 AND waits = 1`
	selectTooMuch   = `SELECT organization, CAST(SUM(size) AS BIGINT) FROM flow_content WHERE waits = 0 GROUP BY organization HAVING SUM(size) > $1`
	selectLargeOnes = `SELECT message_id, ref, size FROM flow_content WHERE message_id > $1 AND ref <> '' ORDER BY message_id LIMIT $2`

	insertMark  = `INSERT INTO flow_content_mark (ref, since) VALUES ($1, $2)`
	expireMark  = `UPDATE flow_content_mark SET since = 0 WHERE ref = $1`
	takeMark    = `DELETE FROM flow_content_mark WHERE ref = $1 AND since > $2`
	deleteMark  = `DELETE FROM flow_content_mark WHERE ref = $1`
	selectMarks = `SELECT ref FROM flow_content_mark WHERE since <= $1 ORDER BY since, ref LIMIT $2`
	selectWrong = `SELECT c.message_id, c.organization FROM flow_content c JOIN flow_content_mark m ON m.ref = c.ref`
)

func (c *Contents) markTx(ctx context.Context, tx *db.Tx, ref string) error {
	if ref == "" {
		return nil
	}
	_, err := tx.Exec(ctx, insertMark, ref, c.Clock.Now().UnixMicro())
	return err
}

// takeTx ends that nobody names the bytes, in the transaction that names them. Sweep removes those of an older mark than is taken here, after
// it has found them: half of grace is between the two.
func (p *Body) takeTx(ctx context.Context, tx *db.Tx) error {
	if p.ref == "" {
		return nil
	}
	tx.OnCommit(func() { p.taken.Store(true) })
	n, err := tx.Exec(ctx, takeMark, p.ref, p.contents.Clock.Now().Add(-grace/2).UnixMicro())
	if err == nil && n == 0 {
		err = fault.New(fault.Temporary, fault.Message, "the message took too long to be kept; try again")
	}
	return err
}

// KeepTx keeps a content in the caller's transaction, without I/O of its own.
func (c *Contents) KeepTx(ctx context.Context, tx *db.Tx, m Told, p *Body) error {
	if err := p.takeTx(ctx, tx); err != nil {
		return err
	}
	now := c.Clock.Now().UnixMicro()
	until, waits := now+Kept.Microseconds(), int64(0)
	if m.Waits {
		until, waits = forever, 1
	}
	_, err := tx.Exec(ctx, insertContent, m.ID, m.Organization, int64(m.Direction), now, until, waits, int64(m.Own), p.size, p.ref, append([]byte{}, p.data...))
	if err != nil {
		return fmt.Errorf("keep message %s for a function: %w", m.ID, err)
	}
	return nil
}

// ErrChanged says that the content was put anew since it was opened.
var ErrChanged = errors.New("the content of the message was changed meanwhile")

// DecidedTx ends that a function decides on the message, in the transaction that does what it decides with a content of the revision.
func (c *Contents) DecidedTx(ctx context.Context, tx *db.Tx, id string, revision int64) error {
	n, err := tx.Exec(ctx, decideContent, id, revision, Kept.Microseconds())
	if err == nil && n == 0 {
		err = ErrChanged
	}
	return err
}

// GivenUpTx ends that a function decides on the message, whatever its content is.
func (c *Contents) GivenUpTx(ctx context.Context, tx *db.Tx, id string) error {
	_, err := tx.Exec(ctx, freeContent, id, Kept.Microseconds())
	return err
}

// Content is that of a message.
type Content struct {
	Size     int64
	Own      int // see Told
	Revision int64
	Waits    bool
	data     []byte
	ref      string
	blobs    mailbox.Blobs
}

// Reader is an open content.
type Reader interface {
	io.ReaderAt
	io.Closer
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// Open opens it.
func (c *Content) Open(ctx context.Context) (Reader, error) {
	if c.ref == "" {
		return inMemory{bytes.NewReader(c.data)}, nil
	}
	return c.blobs.Open(ctx, c.ref)
}

// First reads its first n bytes, or all where it has less.
func (c *Content) First(ctx context.Context, n int64) (b []byte, err error) {
	r, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b = make([]byte, min(n, c.Size))
	if n, err := r.ReadAt(b, 0); n < len(b) {
		return nil, err
	}
	return b, nil
}

func (c *Contents) contentTx(ctx context.Context, tx *db.Tx, id string) (*Content, error) {
	f := &Content{blobs: c.Blobs}
	var until, waits int64
	err := tx.QueryRow(ctx, selectContent, id).Scan(&until, &waits, &f.Revision, &f.Own, &f.Size, &f.ref, &f.data)
	if errors.Is(err, sql.ErrNoRows) || err == nil && until <= c.Clock.Now().UnixMicro() {
		return nil, NoMessage(id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the content of message %s: %w", id, err)
	}
	f.Waits = waits != 0
	return f, nil
}

// NoMessage is the answer to the id of a message of which no function was told, or not lately.
func NoMessage(id string) error {
	return fault.New(fault.NotFound, fault.Message, "there is no message %s: it is none that a function was told of, or it is older than %v hours", id, Kept.Hours())
}

// Current returns the content of a message that waits for a function. Fault: NotFound Message.
func (c *Contents) Current(ctx context.Context, id string) (f *Content, err error) {
	err = c.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		f, err = c.contentTx(ctx, tx, id)
		return err
	})
	return f, err
}

// owner finds the organisation of a message, and its direction. Fault: NotFound Message.
func (c *Contents) owner(ctx context.Context, id string) (o *directory.Organization, d Direction, err error) {
	err = c.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		var org int64
		err := tx.QueryRow(ctx, selectOwner, id, c.Clock.Now().UnixMicro()).Scan(&org, &d)
		if errors.Is(err, sql.ErrNoRows) {
			return NoMessage(id)
		}
		if err != nil {
			return fmt.Errorf("find message %s: %w", id, err)
		}
		o, err = c.Directory.OrganizationByKeyTx(ctx, tx, org)
		return err
	})
	return o, d, err
}

// ARN is the resource name of a message. Fault: NotFound Message.
func (c *Contents) ARN(ctx context.Context, id string) (string, error) {
	o, d, err := c.owner(ctx, id)
	if err != nil {
		return "", err
	}
	way := "incoming"
	if d == Outbound {
		way = "outgoing"
	}
	return fmt.Sprintf("arn:aws:workmailmessageflow:%s:%s:message/%s/%s/%s", o.Region, o.Account, o.ID, way, id), nil
}

// Get returns the content of a message, as it arrived or as it was put last. Fault: NotFound Message.
func (c *Contents) Get(ctx context.Context, p principal.Principal, id string) (f *Content, err error) {
	o, _, err := c.owner(ctx, id)
	if err != nil {
		return nil, err
	}
	err = c.Directory.View(ctx, p, o.ID, func(ctx context.Context, tx *db.Tx, _ *directory.Organization) (err error) {
		f, err = c.contentTx(ctx, tx, id)
		return err
	})
	return f, err
}

// Object is where a new content lies.
type Object struct{ Bucket, Key, Version string }

// Put makes an object the content of a message on which a synchronous function decides: what goes on, for all its recipients. It is on
// disk when Put returns. Faults: NotFound Message; State Message (no function decides on it, any more, or it was put maxPuts times);
// Invalid Location (see Objects); Invalid Message (see check and room).
func (c *Contents) Put(ctx context.Context, p principal.Principal, id string, from Object) error {
	if c.Objects == nil {
		return fault.New(fault.Invalid, fault.Location, "this server reads no buckets")
	}
	o, _, err := c.owner(ctx, id)
	if err != nil {
		return err
	}
	old, err := c.Get(ctx, p, id)
	if err != nil {
		return err
	}
	if !old.Waits || old.Revision >= maxPuts {
		return frozen(id)
	}
	back, err := c.turns.take(ctx, o.Key)
	if err != nil {
		return err
	}
	defer back()
	text, err := c.Objects.Object(ctx, o.ID, from.Bucket, from.Key, from.Version)
	if fault.Is(err, fault.TooLarge, fault.Location) {
		return rejected("it has more than %d bytes", c.MaxMessage)
	}
	if err != nil {
		return err
	}
	before, err := old.First(ctx, int64(old.Own+message.MaxHeader))
	if err != nil {
		return fmt.Errorf("read the header of message %s: %w", id, err)
	}
	if text, err = check(before, old.Own, text, c.MaxMessage, c.MaxAttachments); err != nil {
		return err
	}
	if err := c.room(ctx, o, int64(old.Own+len(text))-old.Size); err != nil {
		return err
	}
	body, err := c.Prepare(ctx, string(before[:old.Own]), text)
	if err != nil {
		return err
	}
	err = c.Directory.Change(ctx, p, o.ID, "PutRawMessageContent", func(ctx context.Context, tx *db.Tx, _ *directory.Organization) (string, error) {
		return id, c.replaceTx(ctx, tx, id, body)
	})
	if err != nil {
		body.Discard(context.WithoutCancel(ctx))
	}
	return err
}

// room rejects a content that is larger by so many bytes than what is there where messages of the organisation that wait have too many.
func (c *Contents) room(ctx context.Context, o *directory.Organization, more int64) error {
	if c.MaxKept <= 0 || more <= 0 {
		return nil
	}
	var wait int64
	err := c.DB.Read(ctx, func(ctx context.Context, tx *db.Tx) error { return tx.QueryRow(ctx, selectWaiting, o.Key).Scan(&wait) })
	if err != nil {
		return fmt.Errorf("sum up what waits for functions of organization %s: %w", o.ID, err)
	}
	if wait+more > c.MaxKept {
		return rejected("with it more than %d MB of the organization's mail would wait for functions", c.MaxKept>>20)
	}
	return nil
}

// replaceTx gives a message another content, unless what becomes of it was decided. The first statement locks the row against that.
func (c *Contents) replaceTx(ctx context.Context, tx *db.Tx, id string, body *Body) error {
	var before string
	err := tx.QueryRow(ctx, lockContent, id, maxPuts).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return frozen(id)
	}
	if err != nil {
		return fmt.Errorf("change message %s: %w", id, err)
	}
	if err := body.takeTx(ctx, tx); err != nil {
		return err
	}
	if err := c.markTx(ctx, tx, before); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, setContent, id, body.size, body.ref, append([]byte{}, body.data...))
	return err
}

func frozen(id string) error {
	return fault.New(fault.State, fault.Message, "the message %s can't be changed: no synchronous function is deciding on it, or it was changed %d times", id, maxPuts)
}
