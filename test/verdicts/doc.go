// Package verdicts compares what we make of mail that arrives with what others make of it.
package verdicts
