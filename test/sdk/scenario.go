package sdk

import (
	"fmt"
	"testing"

	"github.com/pennypost/pennypost/test/harness"
)

// object is a JSON object.
type object = map[string]any

// list is a JSON array.
type list = []any

// step is one call and what must come of it. In every text "{name}" stands for a value saved before.
type step struct {
	call string
	in   object
	// out is the whole output. A text that begins with "~" is a pattern for a text; now is a time of this moment.
	out object
	// fails is the exception that must come instead.
	fails string
	// until repeats the call until the output has these members.
	until object
	// save keeps members of the output by name.
	save map[string]string
	// do is what happens in place of a call. It may save values too.
	do func(t *testing.T, w *world, saved map[string]string)
}

// world is what the scenario is played in.
type world struct {
	server   *harness.Server
	function *function
}

// now stands for a time within minutes of the test's.
const now = "~now"

const (
	uuid     = `~^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	password = "examplePa$$w0rd"
	// annsPassword is hers once it was reset.
	annsPassword = "another-Passw0rd"
	noOrg        = "m-00000000000000000000000000000000"
)

// inOrg is an input for the scenario's organisation.
func inOrg(members object) object {
	in := object{"OrganizationId": "{org}"}
	for k, v := range members {
		in[k] = v
	}
	return in
}

// done is the output of an operation that has none.
var done = object{}

// scenario is played once by each client, in an organisation with the alias {alias}.
func scenario() []step {
	steps := organizationSteps()
	steps = append(steps, userSteps()...)
	steps = append(steps, groupSteps()...)
	steps = append(steps, resourceSteps()...)
	steps = append(steps, addressSteps()...)
	steps = append(steps, messageFlowSteps()...)
	steps = append(steps, domainSteps()...)
	steps = append(steps, permissionSteps()...)
	steps = append(steps, accessSteps()...)
	steps = append(steps, mobileSteps()...)
	steps = append(steps, monitoringSteps()...)
	steps = append(steps, impersonationSteps()...)
	steps = append(steps, identitySteps()...)
	steps = append(steps, retentionSteps()...)
	steps = append(steps, exportSteps()...)
	steps = append(steps, availabilitySteps()...)
	steps = append(steps, memberSteps()...)
	steps = append(steps, directorySteps()...)
	return append(steps, endSteps()...)
}

func organizationSteps() []step {
	described := object{
		"OrganizationId": "{org}", "Alias": "{alias}", "State": "Active", "DirectoryId": "~^d-[0-9a-f]{10}$", "DirectoryType": "~.",
		"DefaultMailDomain": "{alias}.awsapps.com", "CompletedDate": now, "InteroperabilityEnabled": false,
		"ARN": "arn:aws:workmail:us-east-1:000000000000:organization/{org}",
	}
	return []step{
		{
			call: "CreateOrganization", in: object{"Alias": "{alias}", "ClientToken": "{alias}", "Domains": list{object{"DomainName": "{alias}.example.org"}}},
			out: object{"OrganizationId": "~^m-[0-9a-f]{32}$"}, save: map[string]string{"org": "OrganizationId"},
		},
		{call: "CreateOrganization", in: object{"Alias": "{alias}"}, fails: "NameAvailabilityException"},
		{call: "CreateOrganization", in: object{"Alias": "not an alias"}, fails: "InvalidParameterException"},
		{call: "CreateOrganization", in: object{"Alias": "{alias}-2", "DirectoryId": "d-0123456789"}, fails: "DirectoryUnavailableException"},
		{
			call: "DescribeOrganization", in: inOrg(nil), until: object{"State": "Active"}, out: described,
			save: map[string]string{"arn": "ARN"},
		},
		{call: "DescribeOrganization", in: object{"OrganizationId": noOrg}, fails: "OrganizationNotFoundException"},
		{call: "TagResource", in: object{"ResourceARN": "{arn}", "Tags": list{object{"Key": "k", "Value": "v"}}}, out: done},
		{call: "ListTagsForResource", in: object{"ResourceARN": "{arn}"}, out: object{"Tags": list{object{"Key": "k", "Value": "v"}}}},
		{call: "UntagResource", in: object{"ResourceARN": "{arn}", "TagKeys": list{"k"}}, out: done},
		{call: "ListTagsForResource", in: object{"ResourceARN": "{arn}"}, out: object{"Tags": list{}}},
		{call: "TagResource", in: object{"ResourceARN": "{arn}", "Tags": manyTags()}, out: done},
		{call: "TagResource", in: object{"ResourceARN": "{arn}", "Tags": list{object{"Key": "one", "Value": "more"}}}, fails: "TooManyTagsException"},
		{
			call: "ListTagsForResource", in: object{"ResourceARN": "arn:aws:workmail:us-east-1:000000000000:organization/" + noOrg},
			fails: "ResourceNotFoundException",
		},
	}
}

// manyTags are as many tags as an organisation can have.
func manyTags() list {
	var tags list
	for i := range 50 {
		tags = append(tags, object{"Key": fmt.Sprint("tag-", i), "Value": ""})
	}
	return tags
}

// annsAttributes are those that UpdateUser gives ann.
func annsAttributes() object {
	return object{
		"DisplayName": "New", "FirstName": "F", "LastName": "L", "HiddenFromGlobalAddressList": true, "Initials": "I",
		"Telephone": "T", "Street": "S", "JobTitle": "J", "City": "C", "Company": "Co", "ZipCode": "Z", "Department": "D", "Country": "Cy",
		"Office": "O", "IdentityProviderUserId": annsIdentity,
	}
}

// describedAnn is what DescribeUser then says of her, with an address.
func describedAnn(local string) object {
	out := annsAttributes()
	for k, v := range (object{
		"UserId": "{ann}", "Name": "ann", "Email": local + "@{alias}.awsapps.com", "State": "ENABLED", "UserRole": "USER",
		"EnabledDate": now, "MailboxProvisionedDate": now,
	}) {
		out[k] = v
	}
	return out
}

func userSteps() []step {
	update := inOrg(annsAttributes())
	update["UserId"], update["Role"] = "{ann}", "USER"
	return []step{
		{
			call: "CreateUser", in: inOrg(object{
				"Name": "ann", "DisplayName": "Änn", "Password": password, "Role": "USER", "FirstName": "Ann", "LastName": "A",
				"HiddenFromGlobalAddressList": true, "IdentityProviderUserId": "90677c608a-01234567-0123-0123-0123-0123456789ab",
			}),
			out: object{"UserId": uuid}, save: map[string]string{"ann": "UserId"},
		},
		{call: "CreateUser", in: inOrg(object{"Name": "bob", "DisplayName": "Bob"}), out: object{"UserId": uuid}, save: map[string]string{"bob": "UserId"}},
		{call: "CreateUser", in: inOrg(object{"Name": "x", "DisplayName": "x", "Role": "SYSTEM_USER"}), fails: "InvalidParameterException"},
		{call: "CreateUser", in: inOrg(object{"Name": "x", "DisplayName": "x", "Password": "short"}), fails: "InvalidPasswordException"},
		{call: "CreateUser", in: inOrg(object{"Name": "ANN", "DisplayName": "x"}), fails: "NameAvailabilityException"},
		{call: "CreateUser", in: inOrg(object{"Name": "amazonjournaling", "DisplayName": "x"}), fails: "ReservedNameException"},
		{call: "CreateUser", in: object{"OrganizationId": noOrg, "Name": "x", "DisplayName": "x"}, fails: "OrganizationNotFoundException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "ann", "Email": "ann@{alias}.awsapps.com"}), out: done},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "ann", "Email": "x@{alias}.awsapps.com"}), fails: "EntityAlreadyRegisteredException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "bob", "Email": "ann@{alias}.awsapps.com"}), fails: "EmailAddressInUseException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "bob", "Email": "bob@nowhere.example"}), fails: "MailDomainNotFoundException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "bob", "Email": "bob@{alias}.example.org"}), fails: "MailDomainStateException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "nobody-here", "Email": "n@{alias}.awsapps.com"}), fails: "EntityNotFoundException"},
		{call: "UpdateUser", in: update, out: done},
		{call: "DescribeUser", in: inOrg(object{"UserId": "ann@{alias}.awsapps.com"}), out: describedAnn("ann")},
		{
			call: "DescribeUser", in: inOrg(object{"UserId": "bob"}),
			out: object{"UserId": "{bob}", "Name": "bob", "DisplayName": "Bob", "State": "DISABLED", "UserRole": "USER", "HiddenFromGlobalAddressList": false},
		},
		{call: "DescribeUser", in: inOrg(object{"UserId": "nobody-here"}), fails: "EntityNotFoundException"},
		{
			call: "ListUsers", in: inOrg(object{"Filters": object{"UsernamePrefix": "A"}}),
			out: object{"Users": list{object{
				"Id": "{ann}", "Email": "ann@{alias}.awsapps.com", "Name": "ann", "DisplayName": "New", "State": "ENABLED", "UserRole": "USER",
				"EnabledDate": now, "IdentityProviderUserId": "90677c608a-01234567-0123-0123-0123-0123456789ab",
			}}},
		},
		{call: "ListUsers", in: inOrg(object{"MaxResults": 1}), out: object{"Users": list{anything}, "NextToken": "~."}, save: map[string]string{"next": "NextToken"}},
		{call: "ListUsers", in: inOrg(object{"MaxResults": 1, "NextToken": "{next}"}), out: object{"Users": list{anything}}},
		{call: "ListUsers", in: inOrg(object{"NextToken": "made-up"}), fails: "InvalidParameterException"},
		{call: "GetMailboxDetails", in: inOrg(object{"UserId": "ann"}), out: object{"MailboxQuota": 51200, "MailboxSize": 0}},
		{call: "UpdateMailboxQuota", in: inOrg(object{"UserId": "ann", "MailboxQuota": 10}), out: done},
		{call: "GetMailboxDetails", in: inOrg(object{"UserId": "ann"}), out: object{"MailboxQuota": 10, "MailboxSize": 0}},
		{call: "ResetPassword", in: inOrg(object{"UserId": "{ann}", "Password": annsPassword}), out: done},
		{call: "ResetPassword", in: inOrg(object{"UserId": "{ann}", "Password": "short"}), fails: "InvalidPasswordException"},
		{call: "DeleteUser", in: inOrg(object{"UserId": "ann"}), fails: "EntityStateException"},
	}
}

// anything is a value that is not looked at.
var anything any = "~*"

func groupSteps() []step {
	return []step{
		{call: "CreateGroup", in: inOrg(object{"Name": "All of us", "HiddenFromGlobalAddressList": true}), out: object{"GroupId": uuid}, save: map[string]string{"group": "GroupId"}},
		{call: "CreateGroup", in: inOrg(object{"Name": "bob"}), fails: "NameAvailabilityException"},
		{
			call: "DescribeGroup", in: inOrg(object{"GroupId": "{group}"}),
			out: object{"GroupId": "{group}", "Name": "All of us", "State": "DISABLED", "HiddenFromGlobalAddressList": true},
		},
		{call: "UpdateGroup", in: inOrg(object{"GroupId": "{group}", "HiddenFromGlobalAddressList": false}), out: done},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "{group}", "Email": "all@{alias}.awsapps.com"}), out: done},
		{
			call: "DescribeGroup", in: inOrg(object{"GroupId": "all@{alias}.awsapps.com"}),
			out: object{
				"GroupId": "{group}", "Name": "All of us", "Email": "all@{alias}.awsapps.com", "State": "ENABLED", "EnabledDate": now,
				"HiddenFromGlobalAddressList": false,
			},
		},
		{
			call: "ListGroups", in: inOrg(object{"Filters": object{"State": "ENABLED"}}),
			out: object{"Groups": list{object{"Id": "{group}", "Email": "all@{alias}.awsapps.com", "Name": "All of us", "State": "ENABLED", "EnabledDate": now}}},
		},
		{call: "AssociateMemberToGroup", in: inOrg(object{"GroupId": "{group}", "MemberId": "{ann}"}), out: done},
		{call: "AssociateMemberToGroup", in: inOrg(object{"GroupId": "{group}", "MemberId": "{group}"}), fails: "InvalidParameterException"},
		{
			call: "ListGroupMembers", in: inOrg(object{"GroupId": "{group}"}),
			out: object{"Members": list{object{"Id": "{ann}", "Name": "ann", "Type": "USER", "State": "ENABLED", "EnabledDate": now}}},
		},
		{call: "ListGroupsForEntity", in: inOrg(object{"EntityId": "{ann}"}), out: object{"Groups": list{object{"GroupId": "{group}", "GroupName": "All of us"}}}},
		{call: "DisassociateMemberFromGroup", in: inOrg(object{"GroupId": "{group}", "MemberId": "{ann}"}), out: done},
		{call: "ListGroupMembers", in: inOrg(object{"GroupId": "{group}"}), out: object{"Members": list{}}},
		{call: "DeleteGroup", in: inOrg(object{"GroupId": "{group}"}), fails: "EntityStateException"},
		{call: "DeregisterFromWorkMail", in: inOrg(object{"EntityId": "{group}"}), out: done},
		{call: "DeleteGroup", in: inOrg(object{"GroupId": "{group}"}), out: done},
	}
}

func resourceSteps() []step {
	booking := object{"AutoAcceptRequests": true, "AutoDeclineRecurringRequests": false, "AutoDeclineConflictingRequests": true}
	return []step{
		{
			call: "CreateResource", in: inOrg(object{"Name": "room", "Type": "ROOM", "Description": "A room", "HiddenFromGlobalAddressList": true}),
			out: object{"ResourceId": "~^r-[0-9a-f]{32}$"}, save: map[string]string{"room": "ResourceId"},
		},
		{call: "CreateResource", in: inOrg(object{"Name": "administrator", "Type": "ROOM"}), fails: "ReservedNameException"},
		{
			call: "DescribeResource", in: inOrg(object{"ResourceId": "{room}"}),
			out: object{
				"ResourceId": "{room}", "Name": "room", "Type": "ROOM", "State": "DISABLED", "Description": "A room",
				"HiddenFromGlobalAddressList": true, "BookingOptions": booking,
			},
		},
		{call: "UpdateResource", in: inOrg(object{"ResourceId": "{room}", "BookingOptions": object{"AutoAcceptRequests": false}}), fails: "InvalidConfigurationException"},
		{call: "AssociateDelegateToResource", in: inOrg(object{"ResourceId": "{room}", "EntityId": "{ann}"}), out: done},
		{call: "ListResourceDelegates", in: inOrg(object{"ResourceId": "{room}"}), out: object{"Delegates": list{object{"Id": "{ann}", "Type": "USER"}}}},
		{
			call: "UpdateResource", in: inOrg(object{
				"ResourceId": "{room}", "Name": "car", "Type": "EQUIPMENT", "Description": "A car", "HiddenFromGlobalAddressList": false,
				"BookingOptions": object{"AutoAcceptRequests": false, "AutoDeclineRecurringRequests": true, "AutoDeclineConflictingRequests": false},
			}), out: done,
		},
		{call: "DisassociateDelegateFromResource", in: inOrg(object{"ResourceId": "{room}", "EntityId": "{ann}"}), fails: "EntityStateException"},
		{call: "RegisterToWorkMail", in: inOrg(object{"EntityId": "{room}", "Email": "car@{alias}.awsapps.com"}), out: done},
		{
			call: "DescribeResource", in: inOrg(object{"ResourceId": "car"}),
			out: object{
				"ResourceId": "{room}", "Name": "car", "Type": "EQUIPMENT", "State": "ENABLED", "Description": "A car", "EnabledDate": now,
				"Email": "car@{alias}.awsapps.com", "HiddenFromGlobalAddressList": false,
				"BookingOptions": object{"AutoAcceptRequests": false, "AutoDeclineRecurringRequests": true, "AutoDeclineConflictingRequests": false},
			},
		},
		{
			call: "ListResources", in: inOrg(nil),
			out: object{"Resources": list{object{
				"Id": "{room}", "Email": "car@{alias}.awsapps.com", "Name": "car", "Type": "EQUIPMENT", "State": "ENABLED", "EnabledDate": now,
				"Description": "A car",
			}}},
		},
		{call: "UpdateResource", in: inOrg(object{"ResourceId": "{room}", "BookingOptions": booking}), out: done},
		{call: "DisassociateDelegateFromResource", in: inOrg(object{"ResourceId": "{room}", "EntityId": "{ann}"}), out: done},
		{call: "DeregisterFromWorkMail", in: inOrg(object{"EntityId": "{room}"}), out: done},
		{call: "DeleteResource", in: inOrg(object{"ResourceId": "{room}"}), out: done},
	}
}

func addressSteps() []step {
	return []step{
		{call: "CreateAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": "a@{alias}.awsapps.com"}), out: done},
		{call: "CreateAlias", in: inOrg(object{"EntityId": "{bob}", "Alias": "b@{alias}.awsapps.com"}), fails: "EntityStateException"},
		{call: "ListAliases", in: inOrg(object{"EntityId": "{ann}"}), out: object{"Aliases": list{"a@{alias}.awsapps.com", "ann@{alias}.awsapps.com"}}},
		{call: "UpdatePrimaryEmailAddress", in: inOrg(object{"EntityId": "{ann}", "Email": "a@{alias}.awsapps.com"}), out: done},
		{call: "DescribeEntity", in: inOrg(object{"Email": "ann@{alias}.awsapps.com"}), out: object{"EntityId": "{ann}", "Name": "ann", "Type": "USER"}},
		{call: "DeleteAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": "ann@{alias}.awsapps.com"}), out: done},
		{call: "DescribeEntity", in: inOrg(object{"Email": "ann@{alias}.awsapps.com"}), fails: "EntityNotFoundException"},
	}
}

func domainSteps() []step {
	return []step{
		{call: "RegisterMailDomain", in: inOrg(object{"DomainName": "second.{alias}.example.org", "ClientToken": "{alias}"}), out: done},
		{
			call: "GetMailDomain", in: inOrg(object{"DomainName": "{alias}.awsapps.com"}),
			out: object{
				"Records": anything, "IsTestDomain": true, "IsDefault": true, "OwnershipVerificationStatus": "VERIFIED", "DkimVerificationStatus": "VERIFIED",
			},
		},
		{
			call: "GetMailDomain", in: inOrg(object{"DomainName": "second.{alias}.example.org"}),
			out: object{
				"Records": anything, "IsTestDomain": false, "IsDefault": false, "OwnershipVerificationStatus": "PENDING", "DkimVerificationStatus": "PENDING",
			},
		},
		{call: "UpdateDefaultMailDomain", in: inOrg(object{"DomainName": "second.{alias}.example.org"}), fails: "MailDomainStateException"},
		{call: "UpdateDefaultMailDomain", in: inOrg(object{"DomainName": "{alias}.awsapps.com"}), out: done},
		{
			call: "ListMailDomains", in: inOrg(nil), out: object{"MailDomains": list{
				object{"DomainName": "{alias}.awsapps.com", "DefaultDomain": true},
				object{"DomainName": "{alias}.example.org", "DefaultDomain": false},
				object{"DomainName": "second.{alias}.example.org", "DefaultDomain": false},
			}},
		},
		{call: "DeregisterMailDomain", in: inOrg(object{"DomainName": "second.{alias}.example.org"}), out: done},
		{call: "GetMailDomain", in: inOrg(object{"DomainName": "second.{alias}.example.org"}), fails: "MailDomainNotFoundException"},
		{call: "DeregisterMailDomain", in: inOrg(object{"DomainName": "{alias}.awsapps.com"}), fails: "MailDomainInUseException"},
	}
}

func permissionSteps() []step {
	return []step{
		{
			call: "PutMailboxPermissions", out: done,
			in: inOrg(object{"EntityId": "{ann}", "GranteeId": "{bob}", "PermissionValues": list{"FULL_ACCESS", "SEND_AS", "SEND_ON_BEHALF"}}),
		},
		{
			call: "ListMailboxPermissions", in: inOrg(object{"EntityId": "{ann}"}),
			out: object{"Permissions": list{object{"GranteeId": "{bob}", "GranteeType": "USER", "PermissionValues": list{"FULL_ACCESS", "SEND_AS", "SEND_ON_BEHALF"}}}},
		},
		{call: "DeleteMailboxPermissions", in: inOrg(object{"EntityId": "{ann}", "GranteeId": "{bob}"}), out: done},
		{call: "ListMailboxPermissions", in: inOrg(object{"EntityId": "{ann}"}), out: object{"Permissions": list{}}},
	}
}

func endSteps() []step {
	var steps []step
	for i := range 100 {
		alias := fmt.Sprintf("alias-%d@{alias}.awsapps.com", i)
		steps = append(steps, step{call: "CreateAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": alias}), out: done})
	}
	return append(
		steps,
		step{call: "CreateAlias", in: inOrg(object{"EntityId": "{ann}", "Alias": "one-too-many@{alias}.awsapps.com"}), fails: "LimitExceededException"},
		step{call: "ListOrganizations", in: object{}, until: object{}, out: object{"OrganizationSummaries": containing(object{
			"OrganizationId": "{org}", "Alias": "{alias}", "DefaultMailDomain": "{alias}.awsapps.com", "State": "Active",
		})}},
		step{call: "DeleteOrganization", in: inOrg(object{"DeleteDirectory": true}), fails: "OrganizationStateException"},
		step{call: "DeregisterFromWorkMail", in: inOrg(object{"EntityId": "{ann}"}), out: done},
		step{call: "DeleteUser", in: inOrg(object{"UserId": "ann"}), out: done},
		step{
			call: "DeleteOrganization", in: inOrg(object{"DeleteDirectory": true, "ForceDelete": true, "ClientToken": "{alias}"}),
			out: object{"OrganizationId": "{org}", "State": "Deleting"},
		},
		step{call: "DescribeOrganization", in: inOrg(nil), until: object{"State": "Deleted"}, out: anyMembers},
		step{call: "CreateUser", in: inOrg(object{"Name": "x", "DisplayName": "x"}), fails: "OrganizationStateException"},
	)
}

// anyMembers is an output that until has compared already.
var anyMembers = object{"~": true}

// containing is a list with at least this item.
func containing(item object) any { return object{"~containing": item} }
