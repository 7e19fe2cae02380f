// Package migration brings organisations here from elsewhere: what an organisation was in Amazon WorkMail, its users' mail, and
// passwords for users who came without one. All is keyed by the source's own names, so that doing it again resumes, and brings
// what changed.
package migration
