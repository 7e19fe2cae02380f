package ldap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
)

var kinds = [...]directory.Kind{directory.KindUser, directory.KindGroup}

// cursor is where the telling of changes goes on; what is set depends on how the server tells them.
type cursor struct {
	// Server and USN: Active Directory's update sequence number, which means something to one incarnation of one server alone.
	Server string `json:",omitempty"`
	USN    int64  `json:",omitempty"`
	// Primary says that users were told with their primary groups, which they once were not.
	Primary bool `json:",omitempty"`
	// Cookies are the synchronisation cookies of RFC 4533 by kind.
	Cookies map[directory.Kind][]byte `json:",omitempty"`
	// Stamp is a modifyTimestamp.
	Stamp string `json:",omitempty"`
}

// pageSize is how many entries are asked for at a time.
const pageSize = 200

// root is what a server says of itself.
type root struct {
	syncs   bool // RFC 4533
	server  string
	highest int64
	naming  string
}

// Changes tells into what changed since the cursor.
func (d *Directory) Changes(ctx context.Context, from string, into directory.Mirror) (string, error) {
	var at cursor
	if from != "" {
		if err := json.Unmarshal([]byte(from), &at); err != nil {
			at = cursor{} // another version's: from the beginning
		}
	}
	r, err := d.root(ctx)
	if err != nil {
		return "", err
	}
	var whole bool // what was told is all there is, or what is gone was not told
	switch {
	case d.config.Schema.ActiveDirectory:
		at, whole, err = d.bySequence(ctx, r, at, into)
	case r.syncs:
		var next cursor
		if next, whole, err = d.bySync(ctx, at, into); err == nil {
			at = next
			break
		}
		if !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
			break
		}
		fallthrough // the server can, but not for this base
	default:
		at, whole, err = d.byTime(ctx, at, into)
	}
	if err == nil && whole {
		var present map[directory.EntityID]struct{}
		if present, err = d.Present(ctx); err == nil {
			if err = into.Compare(ctx, present); err != nil {
				err = handed{err}
			}
		}
	}
	if err != nil {
		return "", d.word(err)
	}
	next, err := json.Marshal(at)
	return string(next), err
}

func (d *Directory) root(ctx context.Context) (r root, err error) {
	err = d.use(ctx, func(conn *ldap.Conn) error {
		found, err := conn.Search(d.request("", ldap.ScopeBaseObject, "(objectClass=*)",
			"supportedControl", "highestCommittedUSN", "dsServiceName", "defaultNamingContext"))
		if err != nil {
			return err
		}
		if len(found.Entries) != 1 {
			return errors.New("the directory does not describe itself")
		}
		e := found.Entries[0]
		r.syncs = slices.Contains(e.GetEqualFoldAttributeValues("supportedControl"), ldap.ControlTypeSyncRequest)
		r.server, r.naming = e.GetEqualFoldAttributeValue("dsServiceName"), e.GetEqualFoldAttributeValue("defaultNamingContext")
		r.highest, _ = strconv.ParseInt(e.GetEqualFoldAttributeValue("highestCommittedUSN"), 10, 64)
		if d.config.Schema.ActiveDirectory && r.server != "" {
			// A server that was restored from a backup counts from there again, under a new invocation's id.
			if found, err = conn.Search(d.request(r.server, ldap.ScopeBaseObject, "(objectClass=*)", "invocationId")); err == nil && len(found.Entries) == 1 {
				id, _ := guidText(found.Entries[0].GetEqualFoldRawAttributeValue("invocationId"))
				r.server += " " + string(id)
			} else if broken(err) {
				return err
			}
		}
		return nil
	})
	return r, err
}

// pages searches below a base and hands each page to fn, which may take its time. Every page has the timeout to itself, and all
// of them one connection, to which a server may bind where the search is.
func (d *Directory) pages(ctx context.Context, request *ldap.SearchRequest, fn func([]*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(pageSize)
	request.Controls = append(request.Controls, paging)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return d.service.use(ctx, func(conn *ldap.Conn) error {
		for {
			late := time.AfterFunc(d.config.Timeout, func() { cancel(errLate) })
			found, err := conn.Search(request)
			late.Stop()
			if err != nil {
				return err
			}
			if err := fn(found.Entries); err != nil {
				return handed{err}
			}
			answer, ok := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
			if !ok || len(answer.Cookie) == 0 {
				return nil
			}
			paging.SetCookie(answer.Cookie)
		}
	})
}

var errLate = errors.New("the directory was silent for too long")

// handed is an error of whom entries were handed to, which is not the directory's.
type handed struct{ error }

func (h handed) Unwrap() error { return h.error }

// tell hands the users and groups that a filter finds to into.
func (d *Directory) tell(ctx context.Context, filter string, more []string, into func(directory.Kind, []*ldap.Entry) error) error {
	for _, k := range kinds {
		request := d.request(d.config.Base, ldap.ScopeWholeSubtree, "(&"+d.config.Schema.filter(k)+filter+")", append(d.config.Schema.attributes(k), more...)...)
		err := d.pages(ctx, request, func(entries []*ldap.Entry) error { return into(k, entries) })
		if err != nil {
			return err
		}
	}
	return nil
}

// put hands entries on, with all members of the groups.
func (d *Directory) put(ctx context.Context, k directory.Kind, entries []*ldap.Entry, into directory.Mirror) error {
	outs, err := d.outsiders(ctx, k, entries)
	if err != nil || len(outs) == 0 {
		return err
	}
	return into.Put(ctx, outs)
}

func (d *Directory) outsiders(ctx context.Context, k directory.Kind, entries []*ldap.Entry) ([]directory.Outside, error) {
	outs := make([]directory.Outside, 0, len(entries))
	for _, e := range entries {
		if k == directory.KindGroup {
			if err := d.allMembers(ctx, e); err != nil {
				return nil, err
			}
		}
		if o, ok := d.config.Schema.outside(k, e); ok {
			outs = append(outs, o)
		}
	}
	return outs, nil
}

// allMembers completes a group of which Active Directory showed the first members only, as member;range=0-1499.
func (d *Directory) allMembers(ctx context.Context, e *ldap.Entry) error {
	attribute := d.config.Schema.Attributes[keyMember]
	var all []string
	for part := e; ; {
		values, last, ok := ranged(part, attribute)
		if !ok {
			break
		}
		all = append(all, values...)
		if last < 0 {
			break
		}
		err := d.use(ctx, func(conn *ldap.Conn) error {
			found, err := conn.Search(d.request(e.DN, ldap.ScopeBaseObject, "(objectClass=*)", fmt.Sprintf("%s;range=%d-*", attribute, last+1)))
			if err == nil && len(found.Entries) != 1 {
				err = errors.New("a group went away while its members were read")
			}
			if err == nil {
				part = found.Entries[0]
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if all != nil {
		e.Attributes = append(e.Attributes, ldap.NewEntryAttribute(attribute, all))
	}
	return nil
}

// ranged finds a part of an attribute's values and the number of its last one, which is -1 where no more follow.
func ranged(e *ldap.Entry, attribute string) (values []string, last int, ok bool) {
	prefix := strings.ToLower(attribute) + ";range="
	for _, a := range e.Attributes {
		if span, ok := strings.CutPrefix(strings.ToLower(a.Name), prefix); ok {
			_, end, _ := strings.Cut(span, "-")
			last, err := strconv.Atoi(end)
			if err != nil {
				last = -1
			}
			return a.Values, last, true
		}
	}
	return nil, 0, false
}

// bySequence follows Active Directory's update sequence numbers, and reads what was deleted from its graveyard, as far as the
// account may see it.
func (d *Directory) bySequence(ctx context.Context, r root, at cursor, into directory.Mirror) (cursor, bool, error) {
	whole := at.Server != r.server || at.USN == 0 || at.USN > r.highest || !at.Primary
	filter := ""
	if !whole {
		if at.USN == r.highest {
			return at, false, nil
		}
		filter = fmt.Sprintf("(uSNChanged>=%d)", at.USN+1)
		if err := d.buried(ctx, r, filter, into); err != nil {
			return at, false, err
		}
	}
	err := d.tell(ctx, filter, nil, func(k directory.Kind, entries []*ldap.Entry) error { return d.put(ctx, k, entries, into) })
	return cursor{Server: r.server, USN: r.highest, Primary: true}, whole, err
}

func (d *Directory) buried(ctx context.Context, r root, filter string, into directory.Mirror) error {
	request := d.request("CN=Deleted Objects,"+r.naming, ldap.ScopeWholeSubtree, "(&(isDeleted=TRUE)"+filter+")", "objectGUID")
	request.Controls = []ldap.Control{ldap.NewControlString("1.2.840.113556.1.4.417", true, "")} // show what is deleted
	err := d.pages(ctx, request, func(entries []*ldap.Entry) error {
		var ids []directory.EntityID
		for _, e := range entries {
			if id, ok := d.config.Schema.id(e); ok {
				ids = append(ids, id)
			}
		}
		return into.Gone(ctx, 0, ids)
	})
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights) {
		return nil // the account may not look: comparisons find them
	}
	return err
}

// byTime asks for what was modified since the last time, by the directory's own clock. What is gone is not told by it.
func (d *Directory) byTime(ctx context.Context, at cursor, into directory.Mirror) (cursor, bool, error) {
	filter, whole := "", at.Stamp == ""
	if !whole {
		filter = "(modifyTimestamp>=" + ldap.EscapeFilter(at.Stamp) + ")"
	}
	next := cursor{Stamp: at.Stamp}
	err := d.tell(ctx, filter, []string{"modifyTimestamp"}, func(k directory.Kind, entries []*ldap.Entry) error {
		for _, e := range entries {
			next.Stamp = max(next.Stamp, e.GetEqualFoldAttributeValue("modifyTimestamp"))
		}
		return d.put(ctx, k, entries, into)
	})
	return next, whole, err
}

// refreshRequired is the result of a server that no longer knows a cookie (RFC 4533 section 3.6).
const refreshRequired = 4096

// bySync follows RFC 4533: the server tells what is different since a cookie.
func (d *Directory) bySync(ctx context.Context, at cursor, into directory.Mirror) (cursor, bool, error) {
	next, whole := cursor{Cookies: map[directory.Kind][]byte{}}, false
	for _, k := range kinds {
		cookie, deletes, err := d.sync(ctx, k, at.Cookies[k], into)
		if ldap.IsErrorWithCode(err, refreshRequired) {
			cookie, deletes, err = d.sync(ctx, k, nil, into)
		}
		if err != nil {
			return at, false, err
		}
		next.Cookies[k] = cookie
		whole = whole || !deletes
	}
	return next, whole, nil
}

// sync runs one refresh, and returns the new cookie and whether all that is gone was told.
func (d *Directory) sync(ctx context.Context, k directory.Kind, cookie []byte, into directory.Mirror) (next []byte, deletes bool, err error) {
	next, done := slices.Clone(cookie), false
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	err = d.service.use(ctx, func(conn *ldap.Conn) error {
		var (
			batch []*ldap.Entry
			gone  []directory.EntityID
		)
		flush := func() error {
			if err := d.put(ctx, k, batch, into); err != nil {
				return handed{err}
			}
			if err := into.Gone(ctx, k, gone); err != nil {
				return handed{err}
			}
			batch, gone = nil, nil
			return nil
		}
		request := d.request(d.config.Base, ldap.ScopeWholeSubtree, d.config.Schema.filter(k), d.config.Schema.attributes(k)...)
		answers := conn.Syncrepl(ctx, request, 0, ldap.SyncRequestModeRefreshOnly, cookie, false)
		for {
			late := time.AfterFunc(d.config.Timeout, func() { cancel(errLate) })
			more := answers.Next()
			late.Stop()
			if !more {
				break
			}
			for _, control := range answers.Controls() {
				switch c := control.(type) {
				case *ldap.ControlSyncState:
					switch {
					case c.State == ldap.SyncStateDelete:
						gone = append(gone, uuidText(c.EntryUUID[:]))
					case c.State != ldap.SyncStatePresent && answers.Entry() != nil:
						batch = append(batch, answers.Entry())
					}
				case *ldap.ControlSyncInfo:
					if c.SyncIdSet != nil && c.SyncIdSet.RefreshDeletes {
						for _, id := range c.SyncIdSet.SyncUUIDs {
							gone = append(gone, uuidText(id[:]))
						}
					}
				case *ldap.ControlSyncDone:
					done, deletes = true, c.RefreshDeletes
					if len(c.Cookie) > 0 {
						next = c.Cookie
					}
				}
			}
			if len(batch)+len(gone) >= pageSize {
				if err := flush(); err != nil {
					return err
				}
			}
		}
		if err := answers.Err(); err != nil {
			return err
		}
		if !done {
			return errors.Join(errors.New("the directory broke off its telling"), context.Cause(ctx))
		}
		return flush()
	})
	return next, len(cookie) > 0 && (deletes || string(next) == string(cookie)), err
}

// Present returns the ids of all users and groups.
func (d *Directory) Present(ctx context.Context) (map[directory.EntityID]struct{}, error) {
	present := map[directory.EntityID]struct{}{}
	for _, k := range kinds {
		request := d.request(d.config.Base, ldap.ScopeWholeSubtree, d.config.Schema.filter(k), d.config.Schema.idAttribute())
		err := d.pages(ctx, request, func(entries []*ldap.Entry) error {
			for _, e := range entries {
				if id, ok := d.config.Schema.id(e); ok {
					present[id] = struct{}{}
				}
			}
			return nil
		})
		if err != nil {
			return nil, d.word(err)
		}
	}
	return present, nil
}

// Find returns the entries that exist of those with the ids.
func (d *Directory) Find(ctx context.Context, ids []directory.EntityID) (found []directory.Outside, err error) {
	var any strings.Builder
	for _, id := range ids {
		if byID, ok := d.config.Schema.idFilter(id); ok {
			any.WriteString(byID)
		}
	}
	if any.Len() == 0 {
		return nil, nil
	}
	err = d.tell(ctx, "(|"+any.String()+")", nil, func(k directory.Kind, entries []*ldap.Entry) error {
		outs, err := d.outsiders(ctx, k, entries)
		found = append(found, outs...)
		return err
	})
	return found, d.word(err)
}
