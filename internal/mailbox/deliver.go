package mailbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// Message is a message on its way in: the bytes, and what the parser made of them.
type Message struct {
	Source Source
	// Envelope and Structure are kept as they are, for FETCH and SEARCH; Structure's offsets count from the start of Source.
	Envelope, Structure []byte
	ParserVersion       int
}

// Target is one place for a message.
type Target struct {
	Mailbox  ID
	Folder   FolderID // 0 means the inbox
	Flags    Flags
	Prefix   []byte    // whole header lines for this recipient alone, CRLF-ended, at most MaxPrefix bytes
	Received time.Time // INTERNALDATE, kept to the microsecond; zero means now
	Thread   ThreadID  // 0 means a thread of its own
	ByUser   bool      // a user puts it there, which may say what it is: see Options.Filed
	Unwarned bool      // it tells of the mailbox's size itself: Options.Filling is not told
}

// MaxPrefix is the longest prefix in bytes.
const MaxPrefix = 8 << 10

// Stored says where a message lies now.
type Stored struct {
	Mailbox     ID
	Folder      FolderID
	UIDValidity uint32
	UID         UID
	ID          ItemID
	Email       EmailID
	ModSeq      ModSeq
}

// Deliver stores one message for all targets in one transaction: one body per organisation, one item each. When it returns
// nil everything is on disk. The results are in the order of targets, of which there may be 1,000. On a fault nothing is
// stored: NotFound Mailbox or Folder; State Mailbox (closed); OverQuota Mailbox; TooLarge Message; Unsupported Folder
// (NoItems); Temporary Message (the bytes can't be written).
func (s *Store) Deliver(ctx context.Context, m Message, targets ...Target) ([]Stored, error) {
	return s.DeliverWith(ctx, m, nil, targets...)
}

// DeliverWith is Deliver with something more in its transaction: also runs behind all else there, and where it fails nothing
// is stored. It may be nil.
func (s *Store) DeliverWith(ctx context.Context, m Message, also func(context.Context, *db.Tx) error, targets ...Target) ([]Stored, error) {
	out, err := s.DeliverParcels(ctx, also, Parcel{m, targets})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

// Parcel is a message with the places that it goes to.
type Parcel struct {
	Message Message
	Targets []Target
}

// DeliverParcels is DeliverWith for several messages, which all are stored or none: 1,000 places in all.
func (s *Store) DeliverParcels(ctx context.Context, also func(context.Context, *db.Tx) error, parcels ...Parcel) ([][]Stored, error) {
	deliveries, places := make([]delivery, len(parcels)), []place{}
	for i := range parcels {
		p, d := &parcels[i], &deliveries[i]
		if err := s.checkTargets(&p.Message, p.Targets); err != nil {
			return nil, err
		}
		*d = delivery{store: s, m: &p.Message, targets: p.Targets, now: s.clock.Now(), bodies: map[OrgKey]*storedBody{}}
		for at := range p.Targets {
			places = append(places, place{d, at})
		}
	}
	if len(places) > maxPlaces {
		return nil, tooManyPlaces(len(places))
	}
	// Several mailboxes are locked in ascending id.
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.target().Mailbox, b.target().Mailbox) })
	for i := range deliveries {
		d := &deliveries[i]
		if err := d.findOrgs(ctx); err != nil {
			return nil, err
		}
		if err := s.prepare(ctx, &d.m.Source, d.bodies); err != nil {
			return nil, err
		}
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		if err := s.write(ctx, tx, deliveries, places); err != nil || also == nil {
			return err
		}
		return also(ctx, tx)
	})
	if err != nil {
		return nil, err
	}
	out := make([][]Stored, len(deliveries))
	for i := range deliveries {
		out[i] = deliveries[i].stored
	}
	return out, nil
}

// maxPlaces is how many places messages are stored in at a time.
const maxPlaces = 1000

func tooManyPlaces(n int) error {
	return fault.New(fault.Limit, fault.Message, "a message is stored in 1 to %d places at a time, not %d", maxPlaces, n)
}

// place is a target of one of several deliveries.
type place struct {
	*delivery
	at int
}

func (p place) target() *Target { return &p.targets[p.at] }

func (s *Store) checkTargets(m *Message, targets []Target) error {
	if len(targets) == 0 || len(targets) > maxPlaces {
		return tooManyPlaces(len(targets))
	}
	for _, t := range targets {
		if len(t.Prefix) > MaxPrefix {
			return fault.New(fault.TooLarge, fault.Message, "the added header is %d bytes long; at most %d are allowed", len(t.Prefix), MaxPrefix)
		}
		if err := s.checkSize(m.Source.size() + int64(len(t.Prefix))); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) checkSize(size int64) error {
	if s.limits.MaxMessage > 0 && size > s.limits.MaxMessage {
		return fault.New(fault.TooLarge, fault.Message, "the message has %d bytes; at most %d are allowed", size, s.limits.MaxMessage)
	}
	return nil
}

// CheckRoom tells before its bytes are taken whether a message of that size may be stored; the faults are TooLarge Message,
// OverQuota, State and NotFound Mailbox, as Deliver's. It is a look, not a reservation.
func (s *Store) CheckRoom(ctx context.Context, id ID, size int64) error {
	if err := s.checkSize(size); err != nil {
		return err
	}
	d, err := s.Details(ctx, id)
	switch {
	case err != nil:
		return err
	case d.State != Open:
		return fault.New(fault.State, fault.Mailbox, "mailbox %s is closed", id)
	case d.Bytes+size > d.Quota:
		return overQuota(d.Bytes, d.Quota, size)
	}
	return nil
}

// delivery is one message on its way into the store.
type delivery struct {
	store   *Store
	m       *Message
	targets []Target
	stored  []Stored       // in the order of targets
	refs    map[OrgKey]int // how many of them share a body
	now     time.Time
	bodies  map[OrgKey]*storedBody
}

// findOrgs makes a body for each organisation of the targets. A mailbox's organisation never changes, so it is remembered.
func (d *delivery) findOrgs(ctx context.Context) error {
	for _, t := range d.targets {
		org, ok := d.store.orgs.get(t.Mailbox)
		if !ok {
			row, err := d.store.Details(ctx, t.Mailbox)
			if err != nil {
				return err
			}
			org = row.Owner.Org
			d.store.orgs.put(t.Mailbox, org)
		}
		if d.bodies[org] == nil {
			d.bodies[org] = &storedBody{id: BodyID(id.Key())}
		}
	}
	return nil
}

const insertItem = `INSERT INTO item (mailbox, folder, uid, item, flags, changed, created, size, received, saved, email, thread, body,
prefix) VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $4, $10, $11, $12)`

const insertMeta = `INSERT INTO meta (mailbox, item, parser, envelope, structure) VALUES ($1, $2, $3, $4, $5)`

// write stores the items at places, which ascend by mailbox, and the bodies.
func (s *Store) write(ctx context.Context, tx *db.Tx, deliveries []delivery, places []place) error {
	for i := range deliveries {
		d := &deliveries[i]
		d.stored, d.refs = make([]Stored, len(d.targets)), map[OrgKey]int{}
	}
	for len(places) > 0 {
		// One lock for all targets in one mailbox.
		mailbox, n, bytes, told := places[0].target().Mailbox, 0, int64(0), int64(0)
		for ; n < len(places) && places[n].target().Mailbox == mailbox; n++ {
			size := places[n].size(places[n].at)
			bytes += size
			if !places[n].target().Unwarned {
				told += size
			}
		}
		l, err := s.lock(ctx, tx, mailbox, n, n, bytes)
		if err != nil {
			return err
		}
		if err := s.grown(ctx, tx, mailbox, l.used, l.quota, told, false); err != nil {
			return err
		}
		for k, p := range places[:n] {
			if p.stored[p.at], err = p.insert(ctx, tx, l, k, p.at); err != nil {
				return err
			}
			p.refs[l.org]++
		}
		places = places[n:]
	}
	for i := range deliveries {
		d := &deliveries[i]
		for org, n := range d.refs {
			if err := insertBody(ctx, tx, org, d.bodies[org], n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *delivery) size(at int) int64 { return d.m.Source.size() + int64(len(d.targets[at].Prefix)) }

// insert stores the item of target at, the k'th of its mailbox.
func (d *delivery) insert(ctx context.Context, tx *db.Tx, l locked, k, at int) (Stored, error) {
	t := &d.targets[at]
	folder := t.Folder
	if folder == 0 {
		folder = InboxID
	}
	item, change, size := l.item+ItemID(k), l.change+ModSeq(k), d.size(at)
	y := tally{arrived: 1, highest: change}
	y.count(1, t.Flags, size)
	uid, validity, err := d.store.apply(ctx, tx, l.id, folder, &y)
	if err != nil {
		return Stored{}, err
	}
	received, thread := t.Received, t.Thread
	if received.IsZero() {
		received = d.now
	}
	if thread == 0 {
		thread = ThreadID(item)
	}
	var prefix any
	if len(t.Prefix) > 0 {
		prefix = t.Prefix
	}
	err = tx.Send(ctx, insertItem, int64(l.id), int64(folder), int64(uid), int64(item), int64(t.Flags&AllFlags), int64(change), size,
		received.UnixMicro(), micros(d.now), int64(thread), int64(d.bodies[l.org].id), prefix)
	if err != nil {
		return Stored{}, fmt.Errorf("store an item in folder %d of mailbox %s: %w", folder, l.id, err)
	}
	err = tx.Send(ctx, insertMeta, int64(l.id), int64(item), d.m.ParserVersion, notNil(d.m.Envelope), notNil(d.m.Structure))
	if err != nil {
		return Stored{}, fmt.Errorf("store the envelope of an item of mailbox %s: %w", l.id, err)
	}
	if t.ByUser {
		if err := d.store.appended(ctx, tx, l, folder, t.Flags, FiledItem{Email: EmailID(item), UID: uid}); err != nil {
			return Stored{}, err
		}
	}
	return Stored{Mailbox: l.id, Folder: folder, UIDValidity: validity, UID: uid, ID: item, Email: EmailID(item), ModSeq: change}, nil
}

// notNil makes nil an empty value, which is not NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
