package migration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
)

// Kind is what sort of thing an item is.
type Kind string

// The kinds of items. What an item needs is of a kind above its own.
const (
	KindOrganization  Kind = "organization"
	KindDomain        Kind = "domain"
	KindDefaultDomain Kind = "default-domain"
	KindTag           Kind = "tag"
	KindUser          Kind = "user"
	KindGroup         Kind = "group"
	KindResource      Kind = "resource"
	KindRegistration  Kind = "registration" // state, primary address and dates of a user, group or resource
	KindAlias         Kind = "alias"
	KindQuota         Kind = "quota"
	KindMember        Kind = "member"
	KindDelegate      Kind = "delegate"
	KindBooking       Kind = "booking" // how a resource answers; needs its delegates
	KindPermission    Kind = "permission"
	KindRole          Kind = "impersonation-role"
	KindAccessRule    Kind = "access-rule"
	KindMobileRule    Kind = "mobile-rule"
	KindOverride      Kind = "mobile-override"
	KindRetention     Kind = "retention-policy"
	KindDMARC         Kind = "dmarc"
	KindMonitoring    Kind = "monitoring"
	KindAvailability  Kind = "availability"
	KindProvider      Kind = "identity-provider"
)

// Kinds lists the kinds in the order in which items are made; they are removed in the opposite one.
func Kinds() []Kind {
	return []Kind{
		KindOrganization, KindDomain, KindDefaultDomain, KindTag, KindUser, KindGroup, KindResource, KindRegistration, KindAlias, KindQuota,
		KindMember, KindDelegate, KindBooking, KindPermission, KindRole, KindAccessRule, KindMobileRule, KindOverride, KindRetention,
		KindDMARC, KindMonitoring, KindAvailability, KindProvider,
	}
}

// Ref names an item of an organisation.
type Ref struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

func (r Ref) String() string { return strings.TrimSpace(string(r.Kind) + " " + r.ID) }

// Item is one thing of an organisation. Two items are alike when their values are equal.
type Item struct {
	Ref
	Value json.RawMessage `json:"value"`
	// Brought says of an item that is here that an import brought it.
	Brought bool `json:"brought,omitempty"`
}

// NewItem makes an item. value is one of the types below.
func NewItem(kind Kind, id string, value any) Item {
	text, err := json.Marshal(value)
	if err != nil {
		panic("migration: a value that is no JSON: " + err.Error()) // they are our own plain structs
	}
	return Item{Ref: Ref{kind, id}, Value: text}
}

// Pair is the id of an item that ties two things together.
func Pair(a, b string) string { return a + "/" + b }

// The values of the items. Times are rounded to the millisecond, as sources tell them.
type (
	// Organization is the value of KindOrganization; its id is the item's.
	Organization struct {
		Alias          string     `json:"alias"`
		Account        string     `json:"account"`
		Region         string     `json:"region"`
		DirectoryID    string     `json:"directory_id"`
		Completed      *time.Time `json:"completed,omitempty"`
		MigrationAdmin string     `json:"migration_admin,omitempty"`
	}
	// Domain is the value of KindDomain, named by its id.
	Domain struct {
		Verified bool `json:"verified"`
	}
	// Text is the value of a tag (KindTag, its id is the key) and the name of the default domain (KindDefaultDomain, without an id).
	Text struct {
		Text string `json:"text"`
	}
	// User is the value of KindUser. Of a deleted one Name, Role and Hidden are kept.
	User struct {
		Name    string `json:"name"`
		Role    string `json:"role"` // in the words of the API
		Hidden  bool   `json:"hidden,omitempty"`
		Deleted bool   `json:"deleted,omitempty"`

		DisplayName    string `json:"display_name,omitempty"`
		FirstName      string `json:"first_name,omitempty"`
		LastName       string `json:"last_name,omitempty"`
		Initials       string `json:"initials,omitempty"`
		Telephone      string `json:"telephone,omitempty"`
		Street         string `json:"street,omitempty"`
		JobTitle       string `json:"job_title,omitempty"`
		City           string `json:"city,omitempty"`
		Company        string `json:"company,omitempty"`
		ZipCode        string `json:"zip_code,omitempty"`
		Department     string `json:"department,omitempty"`
		Country        string `json:"country,omitempty"`
		Office         string `json:"office,omitempty"`
		ProviderUserID string `json:"identity_provider_user_id,omitempty"`
		ProviderStore  string `json:"identity_provider_identity_store_id,omitempty"`
	}
	// Group is the value of KindGroup.
	Group struct {
		Name    string `json:"name"`
		Hidden  bool   `json:"hidden,omitempty"`
		Deleted bool   `json:"deleted,omitempty"`
	}
	// Resource is the value of KindResource. Of a deleted one Description is not kept.
	Resource struct {
		Name        string `json:"name"`
		Type        string `json:"type"` // in the words of the API
		Description string `json:"description,omitempty"`
		Hidden      bool   `json:"hidden,omitempty"`
		Deleted     bool   `json:"deleted,omitempty"`
	}
	// Registration is the value of KindRegistration, whose id is the entity's.
	Registration struct {
		State         string     `json:"state"` // in the words of the API
		Email         string     `json:"email,omitempty"`
		Enabled       *time.Time `json:"enabled,omitempty"`
		Disabled      *time.Time `json:"disabled,omitempty"`
		Provisioned   *time.Time `json:"mailbox_provisioned,omitempty"`
		Deprovisioned *time.Time `json:"mailbox_deprovisioned,omitempty"`
	}
	// Alias is the value of KindAlias, whose id is the folded address.
	Alias struct {
		Address string `json:"address"`
		Entity  string `json:"entity"`
	}
	// Quota is the value of KindQuota, whose id is the entity's.
	Quota struct {
		Megabytes int64 `json:"megabytes"` // of 1,048,576 bytes
	}
	// Nothing is the value of what its id says all of: KindMember (group/member), KindDelegate (resource/delegate).
	Nothing struct{}
	// Booking is the value of KindBooking, whose id is the resource's.
	Booking struct {
		AutoAccept             bool `json:"auto_accept"`
		AutoDeclineRecurring   bool `json:"auto_decline_recurring"`
		AutoDeclineConflicting bool `json:"auto_decline_conflicting"`
	}
	// Permission is the value of KindPermission (owner/grantee).
	Permission struct {
		Rights []string `json:"rights"` // in the words and the order of policy.Rights.Names
	}
	// Role is the value of KindRole.
	Role struct {
		Name        string     `json:"name"`
		ReadOnly    bool       `json:"read_only,omitempty"`
		Description string     `json:"description,omitempty"`
		Rules       []RoleRule `json:"rules,omitempty"`
		Dates
	}
	// RoleRule is a rule of a role; its targets are ids.
	RoleRule struct {
		ID          string   `json:"id"`
		Name        string   `json:"name,omitempty"`
		Description string   `json:"description,omitempty"`
		Allow       bool     `json:"allow"`
		Targets     []string `json:"targets,omitempty"`
		NotTargets  []string `json:"not_targets,omitempty"`
	}
	// AccessRule is the value of KindAccessRule, whose id is the rule's name. Lists are sorted.
	AccessRule struct {
		Allow       bool     `json:"allow"`
		Description string   `json:"description,omitempty"`
		IPRanges    []string `json:"ip_ranges,omitempty"`
		NotIPRanges []string `json:"not_ip_ranges,omitempty"`
		Actions     []string `json:"actions,omitempty"`
		NotActions  []string `json:"not_actions,omitempty"`
		Users       []string `json:"users,omitempty"`
		NotUsers    []string `json:"not_users,omitempty"`
		Roles       []string `json:"roles,omitempty"`
		NotRoles    []string `json:"not_roles,omitempty"`
		Dates
	}
	// MobileRule is the value of KindMobileRule.
	MobileRule struct {
		Name                string   `json:"name"`
		Description         string   `json:"description,omitempty"`
		Allow               bool     `json:"allow"`
		Types               []string `json:"types,omitempty"`
		NotTypes            []string `json:"not_types,omitempty"`
		Models              []string `json:"models,omitempty"`
		NotModels           []string `json:"not_models,omitempty"`
		OperatingSystems    []string `json:"operating_systems,omitempty"`
		NotOperatingSystems []string `json:"not_operating_systems,omitempty"`
		UserAgents          []string `json:"user_agents,omitempty"`
		NotUserAgents       []string `json:"not_user_agents,omitempty"`
		Dates
	}
	// Override is the value of KindOverride (user/folded device).
	Override struct {
		User        string `json:"user"`
		Device      string `json:"device"`
		Allow       bool   `json:"allow"`
		Description string `json:"description,omitempty"`
		Dates
	}
	// Retention is the value of KindRetention.
	Retention struct {
		Name        string            `json:"name"`
		Description string            `json:"description,omitempty"`
		Folders     []RetentionFolder `json:"folders,omitempty"`
	}
	// RetentionFolder is what a policy says of a folder.
	RetentionFolder struct {
		Folder string `json:"folder"`
		Action string `json:"action"`
		Days   int    `json:"days,omitempty"`
	}
	// DMARC is the value of KindDMARC, without an id.
	DMARC struct {
		Enforced bool `json:"enforced"`
	}
	// Monitoring is the value of KindMonitoring, without an id.
	Monitoring struct {
		LogGroup string `json:"log_group"`
		Role     string `json:"role,omitempty"`
	}
	// Availability is the value of KindAvailability, whose id is the folded domain. The dates of an EWS server are not kept, as an
	// administrator made it anew, with its password.
	Availability struct {
		Endpoint string `json:"endpoint,omitempty"`
		Username string `json:"username,omitempty"`
		Function string `json:"function,omitempty"`
		Dates
	}
	// Provider is the value of KindProvider, without an id.
	Provider struct {
		Instance     string `json:"instance"`
		Application  string `json:"application"`
		Only         bool   `json:"only,omitempty"`
		TokensActive bool   `json:"tokens_active,omitempty"`
		LifetimeDays int    `json:"lifetime_days,omitempty"`
	}
	// Dates are when something was made and changed last.
	Dates struct {
		Created  *time.Time `json:"created,omitempty"`
		Modified *time.Time `json:"modified,omitempty"`
	}
)

// When returns a time as items have it, nil for none.
func When(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(time.Millisecond)
	return &t
}

// at is the opposite of When.
func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// atEpoch is at for what always has a date: 1970 where none was told.
func atEpoch(t *time.Time) time.Time {
	if t == nil {
		return time.Unix(0, 0)
	}
	return *t
}

// Sorted returns a list whose order says nothing in one order, nil for an empty one.
func Sorted(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// AliasID is the id of an alias.
func AliasID(address string) string { return directory.Fold(address) }

// alike reports whether what is here is what it is to be.
func alike(there, here Item) bool {
	if there.Kind == KindDomain { // one that is proven here stays so, whatever the source makes of it
		var t, h Domain
		if json.Unmarshal(there.Value, &t) == nil && json.Unmarshal(here.Value, &h) == nil {
			return h.Verified || !t.Verified
		}
	}
	return bytes.Equal(there.Value, here.Value)
}

// difference says in words how two items differ.
func difference(there, here Item) string {
	var t, h map[string]any
	if json.Unmarshal(there.Value, &t) != nil || json.Unmarshal(here.Value, &h) != nil {
		return "differs"
	}
	var parts []string
	names := map[string]bool{}
	for name := range t {
		names[name] = true
	}
	for name := range h {
		names[name] = true
	}
	for name := range names {
		if a, b := word(t[name]), word(h[name]); a != b {
			parts = append(parts, fmt.Sprintf("%s is %s there and %s here", name, a, b))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

func word(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(text)
}
