// Package policy says what a principal may do: on whose mailboxes a user may act, and under which rules an organisation's
// people and devices may come in. It owns mailbox permissions, the access rules, the impersonation roles, the mobile device
// rules and the setting that makes a failed DMARC check count.
//
// What somebody may do on a mailbox is computed in one place, GrantTx, which follows groups; nobody else reads permissions.
package policy
