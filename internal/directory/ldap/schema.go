package ldap

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
)

// Schema says what users and groups look like in a directory.
type Schema struct {
	// ActiveDirectory chooses Active Directory's ways: objectGUID, unicodePwd, userAccountControl, update sequence numbers.
	// Without it entries have an entryUUID (RFC 4530), passwords are changed by the operation of RFC 3062, and changes are told
	// as RFC 4533 says, where the server can.
	ActiveDirectory bool
	// UserFilter and GroupFilter are what is a user, and what is a group.
	UserFilter, GroupFilter string
	// Attributes are the attribute names by what they hold: the keys are those of the presets. An empty one is kept here alone.
	Attributes map[string]string

	userClasses, groupClasses []string
	userRDN, groupRDN         string
}

// The keys of Schema.Attributes beside those of profile.
const (
	keyName      = "name"
	keyGroupName = "group_name"
	keyMember    = "member"
	keyMail      = "mail"
	keyGroupMail = "group_mail"
)

// profile are the texts of a user that a directory may keep.
var profile = []struct {
	key  string
	text func(*directory.UserChange) **string
}{
	{"display_name", func(c *directory.UserChange) **string { return &c.DisplayName }},
	{"first_name", func(c *directory.UserChange) **string { return &c.FirstName }},
	{"last_name", func(c *directory.UserChange) **string { return &c.LastName }},
	{"initials", func(c *directory.UserChange) **string { return &c.Initials }},
	{"telephone", func(c *directory.UserChange) **string { return &c.Telephone }},
	{"street", func(c *directory.UserChange) **string { return &c.Street }},
	{"job_title", func(c *directory.UserChange) **string { return &c.JobTitle }},
	{"city", func(c *directory.UserChange) **string { return &c.City }},
	{"company", func(c *directory.UserChange) **string { return &c.Company }},
	{"zip_code", func(c *directory.UserChange) **string { return &c.ZipCode }},
	{"department", func(c *directory.UserChange) **string { return &c.Department }},
	{"country", func(c *directory.UserChange) **string { return &c.Country }},
	{"office", func(c *directory.UserChange) **string { return &c.Office }},
}

// Preset returns the schema with the name: "rfc" is inetOrgPerson and groupOfNames (RFC 2798, RFC 4519), "ad" Active Directory.
func Preset(name string) (Schema, error) {
	switch name {
	case "rfc":
		return Schema{
			UserFilter: "(objectClass=inetOrgPerson)", GroupFilter: "(objectClass=groupOfNames)",
			Attributes: map[string]string{
				keyName: "uid", keyGroupName: "cn", keyMember: "member", keyMail: "mail", keyGroupMail: "",
				"display_name": "displayName", "first_name": "givenName", "last_name": "sn", "initials": "initials",
				"telephone": "telephoneNumber", "street": "street", "job_title": "title", "city": "l", "company": "o",
				"zip_code": "postalCode", "department": "ou", "country": "", "office": "physicalDeliveryOfficeName",
			},
			userClasses: []string{"inetOrgPerson"}, groupClasses: []string{"groupOfNames"}, userRDN: "uid", groupRDN: "cn",
		}, nil
	case "ad":
		return Schema{
			ActiveDirectory: true,
			UserFilter:      "(&(objectCategory=person)(objectClass=user))", GroupFilter: "(objectClass=group)",
			Attributes: map[string]string{
				keyName: "sAMAccountName", keyGroupName: "sAMAccountName", keyMember: "member", keyMail: "mail", keyGroupMail: "mail",
				"display_name": "displayName", "first_name": "givenName", "last_name": "sn", "initials": "initials",
				"telephone": "telephoneNumber", "street": "streetAddress", "job_title": "title", "city": "l", "company": "company",
				"zip_code": "postalCode", "department": "department", "country": "co", "office": "physicalDeliveryOfficeName",
			},
			userClasses: []string{"user"}, groupClasses: []string{"group"}, userRDN: "CN", groupRDN: "CN",
		}, nil
	}
	return Schema{}, fmt.Errorf("there is no preset %q of a directory's schema; there are rfc and ad", name)
}

// Set changes the attribute name for a key.
func (s *Schema) Set(key, attribute string) error {
	if _, ok := s.Attributes[key]; !ok {
		return fmt.Errorf("a directory has no attribute %q", key)
	}
	s.Attributes[key] = attribute
	return nil
}

func (s *Schema) check() error {
	for _, filter := range []string{s.UserFilter, s.GroupFilter} {
		if _, err := ldap.CompileFilter(filter); err != nil {
			return fmt.Errorf("%q is no filter of LDAP (RFC 4515)", filter)
		}
	}
	for key, attribute := range s.Attributes {
		bad := strings.ContainsFunc(attribute, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.'
		})
		needed := key == keyName || key == keyGroupName || key == keyMember
		if bad || needed && attribute == "" {
			return fmt.Errorf("%q can't be the attribute for %s", attribute, key)
		}
	}
	if s.userRDN == "" {
		return errors.New("the schema of a directory begins with one of the presets")
	}
	return nil
}

// idAttribute is what an entry is known by for good.
func (s *Schema) idAttribute() string {
	if s.ActiveDirectory {
		return "objectGUID"
	}
	return "entryUUID"
}

func (s *Schema) filter(k directory.Kind) string {
	if k == directory.KindGroup {
		return s.GroupFilter
	}
	return s.UserFilter
}

// attributes are what is asked of a user or group.
func (s *Schema) attributes(k directory.Kind) []string {
	if k == directory.KindGroup {
		all := []string{s.idAttribute(), s.Attributes[keyGroupName], s.Attributes[keyMember]}
		if s.ActiveDirectory {
			all = append(all, "objectSid")
		}
		return all
	}
	all := []string{s.idAttribute(), s.Attributes[keyName], "cn"}
	for _, p := range profile {
		if name := s.Attributes[p.key]; name != "" {
			all = append(all, name)
		}
	}
	if s.ActiveDirectory {
		return append(all, "userAccountControl", "isCriticalSystemObject", "pwdLastSet", "objectSid", "primaryGroupID")
	}
	return append(all, "pwdAccountLockedTime", "nsAccountLock", "pwdChangedTime")
}

// outside reads an entry, and reports whether it has what it needs: an id and a name.
func (s *Schema) outside(k directory.Kind, e *ldap.Entry) (directory.Outside, bool) {
	id, ok := s.id(e)
	o := directory.Outside{ID: id, Kind: k, Place: place(e.DN)}
	if k == directory.KindGroup {
		o.Name = e.GetEqualFoldAttributeValue(s.Attributes[keyGroupName])
		for _, member := range e.GetEqualFoldAttributeValues(s.Attributes[keyMember]) {
			if member != "" {
				o.Members = append(o.Members, place(member))
			}
		}
		if s.ActiveDirectory {
			o.GroupID = sidText(e.GetEqualFoldRawAttributeValue("objectSid"))
		}
		return o, ok && o.Name != ""
	}
	o.Name = e.GetEqualFoldAttributeValue(s.Attributes[keyName])
	for _, p := range profile {
		if name := s.Attributes[p.key]; name != "" {
			text := storable(e.GetEqualFoldAttributeValue(name))
			if p.key == "display_name" && text == "" {
				text = storable(e.GetEqualFoldAttributeValue("cn"))
			}
			*p.text(&o.User) = &text
		}
	}
	o.System = e.GetEqualFoldAttributeValue("isCriticalSystemObject") == "TRUE"
	o.Barred = s.barred(e)
	o.PasswordSet = e.GetEqualFoldAttributeValue("pwdChangedTime")
	if s.ActiveDirectory {
		o.PasswordSet = e.GetEqualFoldAttributeValue("pwdLastSet")
		o.PrimaryGroup = primaryGroup(e)
	}
	return o, ok && o.Name != ""
}

// storable is text as a database can keep it, of no more characters than the API's texts have.
func storable(text string) string {
	const limit = 256
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit])
	}
	return text
}

// accountDisabled is a bit of Active Directory's userAccountControl.
const accountDisabled = 2

// lockedForGood is the time of a lock that never ends (draft-behera-ldap-password-policy section 5.3.3).
const lockedForGood = "000001010000Z"

// barred reports whether the directory itself lets a user do nothing.
func (s *Schema) barred(e *ldap.Entry) bool {
	if s.ActiveDirectory {
		control, err := strconv.ParseInt(e.GetEqualFoldAttributeValue("userAccountControl"), 10, 64)
		return err == nil && control&accountDisabled != 0
	}
	return e.GetEqualFoldAttributeValue("pwdAccountLockedTime") == lockedForGood ||
		strings.EqualFold(e.GetEqualFoldAttributeValue("nsAccountLock"), "true")
}

// id reads an entry's id as the text of a UUID.
func (s *Schema) id(e *ldap.Entry) (directory.EntityID, bool) {
	if s.ActiveDirectory {
		return guidText(e.GetEqualFoldRawAttributeValue("objectGUID"))
	}
	id := strings.ToLower(e.GetEqualFoldAttributeValue("entryUUID"))
	_, ok := uuidBytes(directory.EntityID(id))
	return directory.EntityID(id), ok
}

// idFilter is the filter that finds an id, and false for one that no entry can have.
func (s *Schema) idFilter(id directory.EntityID) (string, bool) {
	raw, ok := uuidBytes(id)
	if !ok {
		return "", false
	}
	if !s.ActiveDirectory {
		return "(entryUUID=" + string(id) + ")", true
	}
	swapGUID(raw)
	var b strings.Builder
	b.WriteString("(objectGUID=")
	for _, octet := range raw {
		fmt.Fprintf(&b, `\%02x`, octet)
	}
	return b.String() + ")", true
}

// primaryGroup is the security identifier of a user's primary group: the user's own with another last number
// ([MS-ADTS] section 3.1.1.4.5.3). The group does not list the user among its members.
func primaryGroup(e *ldap.Entry) string {
	sid := sidText(e.GetEqualFoldRawAttributeValue("objectSid"))
	number, err := strconv.ParseUint(e.GetEqualFoldAttributeValue("primaryGroupID"), 10, 32)
	if sid == "" || err != nil {
		return ""
	}
	return sid[:strings.LastIndexByte(sid, '-')+1] + strconv.FormatUint(number, 10)
}

// sidText is the text of a security identifier ([MS-DTYP] section 2.4.2.2), empty for what is none of a domain's.
func sidText(raw []byte) string {
	const head, maxNumbers = 8, 5 // S-1-5-21, three numbers of the domain, and one in it
	if len(raw) < head || raw[0] != 1 || raw[1] < 1 || raw[1] > maxNumbers || len(raw) != head+4*int(raw[1]) {
		return ""
	}
	var authority uint64
	for _, octet := range raw[2:head] {
		authority = authority<<8 | uint64(octet)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "S-1-%d", authority)
	for rest := raw[head:]; len(rest) > 0; rest = rest[4:] {
		fmt.Fprintf(&b, "-%d", binary.LittleEndian.Uint32(rest))
	}
	return b.String()
}

// uuidBytes parses the text of a UUID in lower case, and nothing else.
func uuidBytes(id directory.EntityID) ([]byte, bool) {
	parts := strings.Split(string(id), "-")
	if len(id) != 36 || len(parts) != 5 || len(parts[0]) != 8 || len(parts[1]) != 4 || len(parts[2]) != 4 || len(parts[3]) != 4 ||
		strings.ToLower(string(id)) != string(id) {
		return nil, false
	}
	raw, err := hex.DecodeString(strings.Join(parts, ""))
	return raw, err == nil
}

func uuidText(raw []byte) directory.EntityID {
	return directory.EntityID(fmt.Sprintf("%x-%x-%x-%x-%x", raw[0:4], raw[4:6], raw[6:8], raw[8:10], raw[10:16]))
}

// guidText is the text of Active Directory's binary id, whose first three numbers begin with the lowest octet.
func guidText(raw []byte) (directory.EntityID, bool) {
	if len(raw) != 16 {
		return "", false
	}
	raw = slices.Clone(raw)
	swapGUID(raw)
	return uuidText(raw), true
}

func swapGUID(raw []byte) {
	slices.Reverse(raw[0:4])
	slices.Reverse(raw[4:6])
	slices.Reverse(raw[6:8])
}

// place is a short text that two spellings of a distinguished name have in common.
func place(dn string) string {
	normal := directory.Fold(dn)
	if parsed, err := ldap.ParseDN(dn); err == nil {
		rdns := make([]string, 0, len(parsed.RDNs))
		for _, rdn := range parsed.RDNs {
			parts := make([]string, 0, len(rdn.Attributes))
			for _, a := range rdn.Attributes {
				parts = append(parts, directory.Fold(a.Type)+"="+ldap.EscapeDN(directory.Fold(a.Value)))
			}
			slices.Sort(parts)
			rdns = append(rdns, strings.Join(parts, "+"))
		}
		normal = strings.Join(rdns, ",")
	}
	sum := sha256.Sum256([]byte(normal))
	return hex.EncodeToString(sum[:16])
}
