// Package e2e drives the real binary as a person, a program or a mail client would. See test/harness.
package e2e
