package ldap

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/id"
)

// Create makes a user or group below the base for new ones. A resource is kept here alone.
func (d *Directory) Create(ctx context.Context, e directory.NewEntry) (made directory.EntityID, secret string, err error) {
	if e.Kind == directory.KindResource {
		return directory.EntityID(id.Resource()), "", nil
	}
	if !d.config.Writable {
		return "", "", readOnly()
	}
	dn, request := d.newUser(e.User)
	if e.Kind == directory.KindGroup {
		dn, request = d.newGroup(e.Group)
	}
	err = d.use(ctx, func(conn *ldap.Conn) error {
		if err := d.nameIsFree(conn, e.User.Name+e.Group.Name); err != nil {
			return err
		}
		if err := conn.Add(request); err != nil {
			if ldap.IsErrorAnyOf(err, ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform) && e.User.Password != nil {
				return badPassword(err)
			}
			return err
		}
		if made, err = d.finish(conn, dn, e); err != nil {
			return errors.Join(err, conn.Del(ldap.NewDelRequest(dn, nil)))
		}
		return nil
	})
	return made, "", err
}

// finish sets a new user's password, where that takes a step of its own, and reads the new entry's id.
func (d *Directory) finish(conn *ldap.Conn, dn string, e directory.NewEntry) (directory.EntityID, error) {
	if e.User.Password != nil && !d.config.Schema.ActiveDirectory {
		if err := d.setPassword(conn, dn, *e.User.Password); err != nil {
			return "", err
		}
	}
	found, err := conn.Search(d.request(dn, ldap.ScopeBaseObject, "(objectClass=*)", d.config.Schema.idAttribute()))
	if err != nil {
		return "", err
	}
	if len(found.Entries) == 1 {
		if made, ok := d.config.Schema.id(found.Entries[0]); ok {
			return made, nil
		}
	}
	return "", fault.New(fault.DirectoryRefusedUs, fault.Directory, "the external directory does not tell this server's account the id of a new entry")
}

// nameIsFree looks for a name among users and groups, below the whole base.
func (d *Directory) nameIsFree(conn *ldap.Conn, name string) error {
	s := &d.config.Schema
	name = ldap.EscapeFilter(name)
	filter := "(|(&" + s.UserFilter + "(" + s.Attributes[keyName] + "=" + name + "))(&" + s.GroupFilter + "(" + s.Attributes[keyGroupName] + "=" + name + ")))"
	found, err := conn.Search(d.request(d.config.Base, ldap.ScopeWholeSubtree, filter, "1.1"))
	if err == nil && len(found.Entries) > 0 {
		return fault.New(fault.Exists, fault.Entity, "the external directory has an entry of this name already")
	}
	return err
}

func (d *Directory) newUser(u directory.NewUser) (dn string, add *ldap.AddRequest) {
	s := &d.config.Schema
	dn = s.userRDN + "=" + ldap.EscapeDN(u.Name) + "," + d.config.UserBase
	add = ldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", s.userClasses)
	values := map[string]string{
		s.userRDN: u.Name, s.Attributes[keyName]: u.Name, s.Attributes["display_name"]: u.DisplayName,
		s.Attributes["first_name"]: u.FirstName, s.Attributes["last_name"]: u.LastName,
	}
	if s.ActiveDirectory {
		values["userPrincipalName"] = principalName(u.Name, d.config.Base)
		// Without a password the account could not be enabled, and only its holder's first one would tell that it was not barred.
		password := rand.Text() + "aA1!"
		if u.Password != nil {
			password = *u.Password
		}
		values["unicodePwd"] = quoted(password)
		values["userAccountControl"] = "512" // an ordinary account, enabled
	} else { // inetOrgPerson must have both
		values["cn"] = or(u.DisplayName, u.Name)
		values["sn"] = or(u.LastName, u.Name)
	}
	for name, value := range values {
		if name != "" && value != "" {
			add.Attribute(name, []string{value})
		}
	}
	return dn, add
}

func (d *Directory) newGroup(g directory.NewGroup) (dn string, add *ldap.AddRequest) {
	s := &d.config.Schema
	dn = s.groupRDN + "=" + ldap.EscapeDN(g.Name) + "," + d.config.GroupBase
	add = ldap.NewAddRequest(dn, nil)
	add.Attribute("objectClass", s.groupClasses)
	add.Attribute(s.groupRDN, []string{g.Name})
	if !strings.EqualFold(s.groupRDN, s.Attributes[keyGroupName]) {
		add.Attribute(s.Attributes[keyGroupName], []string{g.Name})
	}
	if s.ActiveDirectory {
		add.Attribute("groupType", []string{"-2147483640"}) // a universal security group, which may hold any other
	} else {
		add.Attribute(s.Attributes[keyMember], []string{nobody})
	}
	return dn, add
}

// nobody is the empty name that stands in a group without members, which groupOfNames does not allow (RFC 4519 section 3.5).
const nobody = ""

// principalName is a user's name with the domain of Active Directory, unless it has one.
func principalName(name, base string) string {
	if strings.Contains(name, "@") {
		return name
	}
	var labels []string
	if dn, err := ldap.ParseDN(base); err == nil {
		for _, rdn := range dn.RDNs {
			for _, a := range rdn.Attributes {
				if strings.EqualFold(a.Type, "DC") {
					labels = append(labels, a.Value)
				}
			}
		}
	}
	return name + "@" + strings.Join(labels, ".")
}

// quoted is a password as unicodePwd takes it.
func quoted(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// find returns the entry with an id, with the attributes asked for. Faults: NotFound (Entity).
func (d *Directory) find(conn *ldap.Conn, e directory.Entry, attributes ...string) (*ldap.Entry, error) {
	byID, ok := d.config.Schema.idFilter(e.ID)
	if ok {
		filter := "(&" + d.config.Schema.filter(e.Kind) + byID + ")"
		found, err := conn.Search(d.request(d.config.Base, ldap.ScopeWholeSubtree, filter, attributes...))
		if err != nil {
			return nil, err
		}
		if len(found.Entries) == 1 {
			return found.Entries[0], nil
		}
	}
	return nil, fault.New(fault.NotFound, fault.Entity, "%s does not exist in the external directory any more", e.ID)
}

// change makes a change of an entry that is to be found by its id. A resource is not there to be changed.
func (d *Directory) change(ctx context.Context, e directory.Entry, fn func(conn *ldap.Conn, found *ldap.Entry) error) error {
	if e.Kind == directory.KindResource {
		return nil
	}
	if !d.config.Writable {
		return readOnly()
	}
	return d.use(ctx, func(conn *ldap.Conn) error {
		found, err := d.find(conn, e, "objectClass")
		if err != nil {
			return err
		}
		return fn(conn, found)
	})
}

// Delete removes a user or group.
func (d *Directory) Delete(ctx context.Context, e directory.Entry) error {
	err := d.change(ctx, e, func(conn *ldap.Conn, found *ldap.Entry) error { return conn.Del(ldap.NewDelRequest(found.DN, nil)) })
	if fault.Is(err, fault.NotFound, fault.Entity) {
		return nil
	}
	return err
}

// UpdateUser changes what the directory keeps of a user; nothing is asked of it for what is kept here alone.
func (d *Directory) UpdateUser(ctx context.Context, e directory.Entry, c directory.UserChange) error {
	s := &d.config.Schema
	set := map[string][]string{}
	for _, p := range profile {
		if text, name := *p.text(&c), s.Attributes[p.key]; text != nil && name != "" {
			set[name] = nil
			if *text != "" {
				set[name] = []string{*text}
			}
		}
	}
	if last := s.Attributes["last_name"]; !s.ActiveDirectory && strings.EqualFold(last, "sn") && c.LastName != nil && *c.LastName == "" {
		set[last] = []string{e.Name} // a person must have one
	}
	if len(set) == 0 {
		return nil
	}
	return d.change(ctx, e, func(conn *ldap.Conn, found *ldap.Entry) error {
		modify := ldap.NewModifyRequest(found.DN, nil)
		for name, values := range set {
			modify.Replace(name, values)
		}
		return conn.Modify(modify)
	})
}

// UpdateResource does nothing: resources are kept here alone.
func (d *Directory) UpdateResource(context.Context, directory.Entry, directory.ResourceChange) error {
	return nil
}

// SetAddress writes the mail attribute, where there is one and the directory is writable. Faults: State (Entity) for a user whom
// the directory bars.
func (d *Directory) SetAddress(ctx context.Context, e directory.Entry, address string) error {
	if e.Kind == directory.KindResource {
		return nil
	}
	s := &d.config.Schema
	name := s.Attributes[keyMail]
	if e.Kind == directory.KindGroup {
		name = s.Attributes[keyGroupMail]
	}
	return d.use(ctx, func(conn *ldap.Conn) error {
		found, err := d.find(conn, e, s.attributes(e.Kind)...)
		if err != nil {
			return err
		}
		if address != "" && s.barred(found) {
			return fault.New(fault.State, fault.Entity, "%s is disabled in the external directory", e.ID)
		}
		if name == "" || !d.config.Writable {
			return nil
		}
		modify := ldap.NewModifyRequest(found.DN, nil)
		values := []string{address}
		if address == "" {
			values = nil
		}
		modify.Replace(name, values)
		return conn.Modify(modify)
	})
}

// SetMember makes member one of group's members, or not.
func (d *Directory) SetMember(ctx context.Context, group, member directory.Entry, isMember bool) error {
	return d.change(ctx, group, func(conn *ldap.Conn, g *ldap.Entry) error {
		m, err := d.find(conn, member, "objectClass")
		if err != nil {
			if fault.Is(err, fault.NotFound, fault.Entity) && !isMember {
				return nil
			}
			return err
		}
		attribute := d.config.Schema.Attributes[keyMember]
		modify := ldap.NewModifyRequest(g.DN, nil)
		if isMember {
			modify.Add(attribute, []string{m.DN})
			err := conn.Modify(modify)
			if ldap.IsErrorAnyOf(err, ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultEntryAlreadyExists) {
				return nil // Active Directory says the latter
			}
			return err
		}
		modify.Delete(attribute, []string{m.DN})
		err = conn.Modify(modify)
		switch {
		case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchAttribute),
			d.config.Schema.ActiveDirectory && ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform):
			return nil
		case ldap.IsErrorWithCode(err, ldap.LDAPResultObjectClassViolation): // it was the last one
			modify.Add(attribute, []string{nobody})
			return conn.Modify(modify)
		}
		return err
	})
}

// SetPassword gives a user a new password. Nothing of it is kept here. Faults: BadPassword for one that the directory refuses.
func (d *Directory) SetPassword(ctx context.Context, e directory.Entry, password string) (string, error) {
	return "", d.change(ctx, e, func(conn *ldap.Conn, found *ldap.Entry) error { return d.setPassword(conn, found.DN, password) })
}

func (d *Directory) setPassword(conn *ldap.Conn, dn, password string) error {
	var err error
	if d.config.Schema.ActiveDirectory {
		modify := ldap.NewModifyRequest(dn, nil)
		modify.Replace("unicodePwd", []string{quoted(password)})
		err = conn.Modify(modify)
	} else {
		_, err = conn.PasswordModify(ldap.NewPasswordModifyRequest(dn, "", password))
	}
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultConstraintViolation, ldap.LDAPResultUnwillingToPerform) {
		return badPassword(err)
	}
	return err
}

func badPassword(cause error) error {
	return fault.Wrap(cause, fault.BadPassword, fault.Entity, "the password breaks the policy of the external directory")
}

// VerifyPassword signs in to the directory as the user. An empty password is never right: with one a server may take the
// sign-in for nobody's, and say yes (RFC 4513 section 5.1.2).
func (d *Directory) VerifyPassword(ctx context.Context, e directory.Entry, _, password string) (bool, string, error) {
	if password == "" {
		return false, "", nil
	}
	var dn string
	err := d.use(ctx, func(conn *ldap.Conn) error {
		found, err := d.find(conn, e, d.config.Schema.attributes(directory.KindUser)...)
		if err == nil && !d.config.Schema.barred(found) {
			dn = found.DN
		}
		return err
	})
	if fault.Is(err, fault.NotFound, fault.Entity) || err == nil && dn == "" {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, d.config.Timeout)
	defer cancel()
	err = d.users.use(ctx, func(conn *ldap.Conn) error { return conn.Bind(dn, password) })
	if refused(err) {
		return false, "", nil
	}
	return err == nil, "", d.word(err)
}

// Waste does nothing: who is not in the directory is not looked for in it.
func (d *Directory) Waste(context.Context, string) error { return nil }
