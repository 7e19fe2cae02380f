package organization

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/principal"
)

// mirrorKind is the job that keeps an organisation in step with its external directory; its key is the organisation's id.
const mirrorKind = "directory-mirror"

// How often an external directory is asked what changed, and how often all that exists is compared, which finds what no change
// told of: an entry moved out of the base, a deletion that the account may not see.
const (
	DefaultMirrorEvery  = time.Minute
	DefaultCompareEvery = time.Hour
)

// mirrorsAtOnce is how many entries of an external directory are stored in one transaction.
const mirrorsAtOnce = 50

// The most that a comparison may take away: more than this share of what there is, and more than the number, is likelier a
// directory that hides its entries from us than one that lost them.
const (
	lossShare  = 2 // half
	lossNumber = 20
)

// HandleMirrors makes runner keep organisations in step with their external directories. It should be a runner of their own: a
// directory that does not answer holds them up.
func (s *Service) HandleMirrors(runner *job.Runner) { runner.Handle(mirrorKind, s.mirror) }

func (s *Service) scheduleMirrorTx(ctx context.Context, tx *db.Tx, o *directory.Organization, due time.Time) error {
	return job.EnqueueTx(ctx, tx, mirrorKind, string(o.ID), nil, due)
}

// mirror keeps an organisation in step with its external directory, and comes back. A directory that fails is no failure of the
// job, whose pauses grow to an hour: it is asked again as if nothing had been.
func (s *Service) mirror(ctx context.Context, j job.Job) error {
	org := directory.OrgID(j.Key)
	if err := s.Mirror(ctx, org); err != nil && fault.As(err) == nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.GateTx(ctx, tx, org)
		if fault.Is(err, fault.State, fault.Organization) {
			return nil // it is being deleted
		}
		if err != nil {
			return err
		}
		return s.scheduleMirrorTx(ctx, tx, o, s.clock.Now().Add(s.mirrorEvery))
	})
}

// Mirror takes over what changed in an organisation's external directory since the last time, and keeps how far it came. Faults:
// NotFound and State (Organization), DirectoryDown, DirectoryRefusedUs.
func (s *Service) Mirror(ctx context.Context, org directory.OrgID) error {
	var (
		o     *directory.Organization
		state directory.MirrorState
	)
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		if o, err = s.directory.ActiveTx(ctx, tx, org); err == nil {
			state, err = s.directory.MirrorStateTx(ctx, tx, o)
		}
		return err
	})
	if err != nil {
		return err
	}
	before := state.Error
	failure := s.mirrorOnce(ctx, o, &state)
	if ctx.Err() == nil { // a server that stops is no failure of the directory
		s.mirrored.add(o.DirectoryID, failure != nil)
	}
	if failure != nil && fault.As(failure) == nil {
		return failure
	}
	state.Error = ""
	switch {
	case failure == nil:
		state.Synced = s.clock.Now().UnixMicro()
		if before != "" {
			s.log.InfoContext(ctx, "an external directory is mirrored again", "organization", o.ID, "directory", o.DirectoryID)
		}
	case failure.Error() != before:
		s.log.WarnContext(ctx, "an external directory can't be mirrored", "organization", o.ID, "directory", o.DirectoryID, "error", failure)
		fallthrough
	default:
		state.Error = failure.Error()
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := s.directory.GateTx(ctx, tx, org)
		if err != nil {
			return err
		}
		return s.directory.SetMirrorStateTx(ctx, tx, o, state)
	})
	if err != nil {
		return err
	}
	return failure
}

func (s *Service) mirrorOnce(ctx context.Context, o *directory.Organization, state *directory.MirrorState) error {
	d, err := s.directory.Mirrored(o)
	if err != nil || d == nil {
		return err
	}
	m := &mirror{service: s, org: o, outside: d}
	next, err := d.Changes(ctx, state.Cursor, m)
	if err != nil {
		return err
	}
	state.Cursor = next
	now := s.clock.Now()
	if m.compared {
		state.Compared = now.UnixMicro()
	}
	if now.Sub(time.UnixMicro(state.Compared)) < s.compareEvery {
		return nil
	}
	present, err := d.Present(ctx)
	if err != nil {
		return err
	}
	if err := m.Compare(ctx, present); err != nil {
		return err
	}
	state.Compared = now.UnixMicro()
	return nil
}

// mirror stores what an external directory tells.
type mirror struct {
	service  *Service
	org      *directory.Organization
	outside  directory.Mirrored
	compared bool
	asked    map[directory.EntityID]bool // holders of names that others want, who were looked up
}

// Put stores entries, users first, so that groups find their members.
func (m *mirror) Put(ctx context.Context, entries []directory.Outside) error {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b directory.Outside) int { return int(a.Kind) - int(b.Kind) })
	for batch := range slices.Chunk(entries, mirrorsAtOnce) {
		err := m.write(ctx, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
			for _, e := range batch {
				if err := m.putTx(ctx, tx, o, e); err != nil {
					return err
				}
			}
			return nil
		})
		if fault.As(err) != nil && fault.As(err).Subject == fault.Entity { // one of them: find out which
			err = m.putEach(ctx, batch)
		}
		if err != nil {
			return err
		}
		for i := range batch {
			if batch[i].Kind != directory.KindGroup {
				continue
			}
			if err := m.putMembers(ctx, &batch[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *mirror) write(ctx context.Context, fn func(context.Context, *db.Tx, *directory.Organization) error) error {
	return m.service.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		o, err := m.service.directory.GateTx(ctx, tx, m.org.ID)
		if err != nil {
			return err
		}
		return fn(ctx, tx, o)
	})
}

// putEach stores entries one by one, and leaves out those that can't be.
func (m *mirror) putEach(ctx context.Context, entries []directory.Outside) error {
	for _, e := range entries {
		put := func(ctx context.Context, tx *db.Tx, o *directory.Organization) error { return m.putTx(ctx, tx, o, e) }
		err := m.write(ctx, put)
		if fault.Is(err, fault.Exists, fault.Entity) {
			if err = m.lookAfter(ctx, e.Name); err == nil {
				err = m.write(ctx, put)
			}
		}
		if f := fault.As(err); f != nil && f.Subject == fault.Entity {
			m.service.log.WarnContext(ctx, "an entry of an external directory is left out",
				"organization", m.org.ID, "entity", e.ID, "error", err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lookAfter asks the directory about the entity that has a name which another entry has now: it may be gone or renamed.
func (m *mirror) lookAfter(ctx context.Context, name string) error {
	var holder *directory.Entity
	err := m.service.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
		holder, err = m.service.directory.ResolveTx(ctx, tx, m.org, name, directory.Narrow{NoAddress: true})
		return err
	})
	if err != nil || holder.Kind == directory.KindResource || m.asked[holder.ID] {
		if fault.Is(err, fault.NotFound, fault.Entity) {
			return nil
		}
		return err
	}
	if m.asked == nil {
		m.asked = map[directory.EntityID]bool{}
	}
	m.asked[holder.ID] = true
	found, err := m.outside.Find(ctx, []directory.EntityID{holder.ID})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return m.Gone(ctx, 0, []directory.EntityID{holder.ID})
	}
	return m.putEach(ctx, found)
}

func (m *mirror) putTx(ctx context.Context, tx *db.Tx, o *directory.Organization, out directory.Outside) error {
	s := m.service
	e, err := s.directory.MirrorTx(ctx, tx, o, out)
	if err != nil || !out.Barred || e.State != directory.Enabled {
		return err
	}
	if err := s.disableTx(ctx, tx, o, e); err != nil {
		return err
	}
	return s.audit.AppendTx(ctx, tx, mirrorRecord(o, "DeregisterFromWorkMail", e.ID, "disabled in the external directory"))
}

// mirrorRecord tells the audit trail of what an external directory brought about.
func mirrorRecord(o *directory.Organization, operation string, e directory.EntityID, why string) audit.Record {
	r := audit.Of(principal.TheSystem("directory"), string(o.ID), operation, string(e))
	r.Detail = why
	return r
}

func (m *mirror) putMembers(ctx context.Context, group *directory.Outside) error {
	s := m.service
	var differences directory.MirroredMembers
	err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) error {
		g, err := s.directory.EntityByIDTx(ctx, tx, m.org.Key, group.ID)
		if err != nil {
			return err
		}
		differences, err = s.directory.CompareMembersTx(ctx, tx, g, group.Members)
		return err
	})
	if fault.Is(err, fault.NotFound, fault.Entity) {
		return nil // it was left out
	}
	for err == nil && differences.Size() > 0 {
		part := differences.Cut(batchRows)
		err = m.write(ctx, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
			return s.directory.MirrorMembersTx(ctx, tx, o, group.ID, part)
		})
	}
	return err
}

// Gone deletes users and groups, the enabled ones too, each with what hangs on it.
func (m *mirror) Gone(ctx context.Context, kind directory.Kind, ids []directory.EntityID) error {
	s := m.service
	for _, id := range ids {
		err := m.write(ctx, func(ctx context.Context, tx *db.Tx, o *directory.Organization) error {
			e, err := s.directory.FindForTx(ctx, tx, o, string(id), directory.Narrow{IDOnly: true})
			if err != nil || e.State == directory.Deleted || e.Kind == directory.KindResource || kind != 0 && kind != e.Kind {
				return err
			}
			if e.State == directory.Enabled {
				if err := s.disableTx(ctx, tx, o, e); err != nil {
					return err
				}
				if e, err = s.directory.LockByKeyTx(ctx, tx, e.Key); err != nil {
					return err
				}
			}
			if err := s.removeTx(ctx, tx, o, e, e.Kind); err != nil {
				return err
			}
			operation := "DeleteUser"
			if e.Kind == directory.KindGroup {
				operation = "DeleteGroup"
			}
			return s.audit.AppendTx(ctx, tx, mirrorRecord(o, operation, e.ID, "gone from the external directory"))
		})
		if err != nil && !fault.Is(err, fault.NotFound, fault.Entity) {
			return err
		}
	}
	return nil
}

// Compare deletes who is not present, and takes over who is present and unknown. The directory is asked again for each before
// it is deleted: it may have come since present was made.
func (m *mirror) Compare(ctx context.Context, present map[directory.EntityID]struct{}) error {
	m.compared = true
	s := m.service
	var missing, unknown []directory.EntityID
	known := map[directory.EntityID]struct{}{}
	for after, more := int64(0), true; more; {
		var page []directory.Entity
		err := s.db.Read(ctx, func(ctx context.Context, tx *db.Tx) (err error) {
			page, err = s.directory.OutsidersAfterTx(ctx, tx, m.org, after, batchRows)
			return err
		})
		if err != nil {
			return err
		}
		for i := range page {
			known[page[i].ID] = struct{}{}
			if _, ok := present[page[i].ID]; !ok {
				missing = append(missing, page[i].ID)
			}
			after = page[i].Key
		}
		more = len(page) == batchRows
	}
	for id := range present {
		if _, ok := known[id]; !ok {
			unknown = append(unknown, id)
		}
	}
	if len(missing) > lossNumber && len(missing) > len(known)/lossShare {
		return fault.New(fault.DirectoryRefusedUs, fault.Directory,
			"directory %s shows %d users and groups fewer than the %d that were there: nothing is deleted before it shows more",
			m.org.DirectoryID, len(missing), len(known))
	}
	for batch := range slices.Chunk(missing, mirrorsAtOnce) {
		found, err := m.outside.Find(ctx, batch)
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(slices.Clone(batch), func(id directory.EntityID) bool {
			return slices.ContainsFunc(found, func(o directory.Outside) bool { return o.ID == id })
		})
		if err := m.Gone(ctx, 0, gone); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(unknown, mirrorsAtOnce) {
		found, err := m.outside.Find(ctx, batch)
		if err != nil {
			return err
		}
		if err := m.Put(ctx, found); err != nil {
			return fmt.Errorf("take over what was not known: %w", err)
		}
	}
	return nil
}
