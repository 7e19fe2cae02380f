// Package harness runs the real binary for end-to-end tests: it builds it once, starts it on free ports in a directory of
// the test's own, on SQLite or PostgreSQL, hands its addresses to real clients, kills and restarts it, and at the end of
// each test asks pennypost check whether the store is consistent.
//
// Nothing is skipped: what a test needs is installed by scripts/setup-test, and missing it is a failure that says so.
package harness
