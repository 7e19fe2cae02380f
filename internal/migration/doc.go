// Package migration brings organisations here from elsewhere: what another server tells of them is applied to the core, again and
// again if need be, keyed by the source's own names, so that running again resumes and brings what changed.
package migration
