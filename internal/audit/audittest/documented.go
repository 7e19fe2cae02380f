// Package audittest holds the records of log groups to what WorkMail documents of them.
package audittest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/audit"
)

// Fields are the members of one kind of record.
type Fields struct {
	Must string // each has these
	May  string // and some have these
	Ours string // and these, which WorkMail's have not
}

// Events are the events of mail, by their names.
func Events() map[string]Fields {
	return map[string]Fields{
		"ORGANIZATION_EMAIL_RECEIVED": {Must: "recipients from subject messageTimestamp", May: "sender messageId spamVerdict dkimVerdict dmarcVerdict dmarcPolicy spfVerdict"},
		"MAILBOX_EMAIL_DELIVERED":     {Must: "recipient folder"},
		"RULE_APPLIED":                {Must: "ruleName ruleType ruleActions", May: "targetFolder targetRecipient"},
		"JOURNALING_INITIATED":        {Must: "journalingAddress"},
		"INCOMING_EMAIL_BOUNCED":      {Must: "bouncedRecipient"},
		"OUTGOING_EMAIL_SUBMITTED":    {Must: "recipients from subject", May: "sender"},
		"OUTGOING_EMAIL_SENT":         {Must: "recipient from", May: "sender messageId"},
		"OUTGOING_EMAIL_BOUNCED":      {Must: "bouncedRecipient destination reason"},
		"DMARC_POLICY_APPLIED":        {Must: "from recipients policy"},
	}
}

// Logs are the records of audit logs, by their types. What is common to them is in May where it can't be known: of who is nobody here,
// or of what has no client.
func Logs() map[audit.Stream]Fields {
	const must, may = "event_timestamp protocol ", "organization_arn request_id source_ip user_agent "
	return map[audit.Stream]Fields{
		audit.AccessControlLogs:  {Must: must + "user_id scope access_granted", May: may + "impersonator_id rule_id"},
		audit.AuthenticationLogs: {Must: must + "user method auth_successful", May: may + "user_id auth_failed_reason personal_access_token_id", Ours: "attempts"},
		audit.MailboxAccessLogs: {
			Must: must + "user_id owner_id object_type action action_allowed", May: may + "impersonator_id item_id folder_path folder_id attachment_path",
			Ours: "item_uids",
		},
		audit.AvailabilityLogs: {
			Must: must + "type availability_event_successful", May: may + "user_id impersonator_id domain function_arn ews_endpoint error_message",
		},
		audit.PersonalAccessTokens: {Must: must + "user_id action name scopes", May: may + "user expires_time", Ours: "personal_access_token_id"},
	}
}

// words are those of fields that have no others. Behind a bar are ours.
var words = map[string]string{
	"spamVerdict": verdicts, "dkimVerdict": verdicts, "dmarcVerdict": verdicts, "spfVerdict": verdicts, "dmarcPolicy": policies, "policy": policies,
	"ruleType": "INBOUND_RULE OUTBOUND_RULE MAILBOX_RULE",
	"protocol": "AutoDiscover EWS IMAP WindowsOutlook ActiveSync SMTP WebMail IncomingEmail OutgoingEmail webapp | ManageSieve API",
	"scope":    "AccessControl DeviceAccessControl ImpersonationAccessControl", "method": "basic", "type": "EWS LAMBDA",
	"object_type": "Folder Message Attachment",
}

const (
	// Actions are those of WORKMAIL_MAILBOX_ACCESS_LOGS.
	Actions = "read read_hierarchy read_summary read_attachment read_permissions create update update_permissions update_read_state delete " +
		"submit_email_for_sending abort_sending_email move move_to copy copy_to"

	verdicts = "PASS FAIL GRAY PROCESSING_FAILED"
	policies = "NONE QUARANTINE REJECT"
)

// Event holds an event of mail to what is documented of it, and returns its name.
func Event(t testing.TB, event []byte) string {
	t.Helper()
	e := members(t, event)
	name, _ := e["eventName"].(string)
	delete(e, "eventName")
	fields, known := Events()[name]
	if !known {
		t.Errorf("there is no event %s", event)
		return name
	}
	hold(t, fields, e, event)
	same(t, event, "dmarcPolicy is of failures", e["dmarcPolicy"] != nil, e["dmarcVerdict"] == "FAIL")
	if e["ruleType"] != "MAILBOX_RULE" {
		same(t, event, "a target is of mailboxes' rules", e["targetFolder"] != nil || e["targetRecipient"] != nil, false)
	}
	actions, _ := e["ruleActions"].([]any)
	for _, a := range actions {
		hold(t, Fields{Must: "action recipients"}, object(a), event)
	}
	if b := e["bouncedRecipient"]; b != nil {
		hold(t, Fields{Must: "emailAddress reason status"}, object(b), event)
	}
	return name
}

// Record holds a record of an audit log to what is documented of it.
func Record(t testing.TB, stream audit.Stream, record []byte) {
	t.Helper()
	e := members(t, record)
	fields, known := Logs()[stream]
	if !known {
		t.Errorf("there is no log %s", stream)
		return
	}
	hold(t, fields, e, record)
	if at, _ := e["event_timestamp"].(float64); at < 1e12 || at != float64(int64(at)) {
		t.Errorf("event_timestamp is in milliseconds: %s", record)
	}
	switch stream {
	case audit.AccessControlLogs:
		if e["scope"] == "ImpersonationAccessControl" {
			same(t, record, "impersonator_id is of roles", e["impersonator_id"] != nil, true)
		}
	case audit.AuthenticationLogs:
		same(t, record, "auth_failed_reason is of failures", e["auth_failed_reason"] != nil, e["auth_successful"] == false)
		same(t, record, "the web client's are left out", e["protocol"] == "WebMail", false)
	case audit.MailboxAccessLogs:
		same(t, record, "attachment_path is of attachments", e["attachment_path"] != nil, e["object_type"] == "Attachment")
		same(t, record, "the action is one of WorkMail's", slices.Contains(strings.Fields(Actions), fmt.Sprint(e["action"])), true)
		one := e["object_type"] != "Folder" && e["action"] != "submit_email_for_sending" && e["item_uids"] == nil
		same(t, record, "item_id is of messages and what is in them", e["item_id"] != nil, one)
	case audit.AvailabilityLogs:
		same(t, record, "function_arn is of LAMBDA", e["function_arn"] != nil, e["type"] == "LAMBDA")
		same(t, record, "ews_endpoint is of EWS", e["ews_endpoint"] != nil, e["type"] == "EWS")
		same(t, record, "error_message is of failures", e["error_message"] != nil, e["availability_event_successful"] == false)
	case audit.PersonalAccessTokens:
		same(t, record, "tokens are created or deleted", e["action"] == "create" || e["action"] == "delete", true)
	}
}

func same(t testing.TB, record []byte, what string, one, other bool) {
	t.Helper()
	if one != other {
		t.Errorf("%s: %s", what, record)
	}
}

func members(t testing.TB, text []byte) map[string]any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// hold compares the names, the types and the words of members.
func hold(t testing.TB, fields Fields, e map[string]any, record []byte) {
	t.Helper()
	must, all := strings.Fields(fields.Must), strings.Fields(fields.Must+" "+fields.May+" "+fields.Ours)
	for _, name := range must {
		if _, there := e[name]; !there {
			t.Errorf("no %s in %s", name, record)
		}
	}
	for name, value := range e {
		if !slices.Contains(all, name) {
			t.Errorf("%s in %s", name, record)
		}
		if !ofType(name, value) {
			t.Errorf("%s is a %T in %s", name, value, record)
		}
		if may, ok := words[name]; ok && !slices.Contains(strings.Fields(may), fmt.Sprint(value)) {
			t.Errorf("%s is %v in %s", name, value, record)
		}
	}
}

// ofType reports whether a member has its type and says something.
func ofType(name string, value any) bool {
	switch name {
	case "event_timestamp", "expires_time", "attempts":
		n, ok := value.(float64)
		return ok && n > 0
	case "access_granted", "auth_successful", "action_allowed", "availability_event_successful":
		_, ok := value.(bool)
		return ok
	case "bouncedRecipient":
		return len(object(value)) > 0
	case "recipients", "scopes", "ruleActions":
		items, ok := value.([]any)
		for _, item := range items {
			text, isText := item.(string)
			ok = ok && (isText && text != "" && name != "ruleActions" || len(object(item)) > 0 && name == "ruleActions")
		}
		return ok && len(items) > 0
	default:
		text, ok := value.(string)
		return ok && (text != "" || name == "subject")
	}
}
