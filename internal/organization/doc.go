// Package organization owns what spans the packages below it: the life of an organisation, of a mailbox and of an entity.
// It has no tables; each verb is one transaction over the tables of others, and what may come later is a job that the same
// transaction writes.
//
// An organisation goes Requested, Creating, Active, Deleting, Deleted, each step durable and driven by a job, so that a
// restart goes on where it stopped. A mailbox is made when its owner is registered, closed when it is deregistered, and
// purged when it stayed closed for as long as the directory remembers (30 days). A retention policy is applied to an
// organisation's mailboxes by a job that runs every six hours, and at once when the policy is put.
package organization
