// Package migration brings organisations here from elsewhere: what an organisation was in Amazon WorkMail, its users' mail, and
// passwords for users who came without one. Whatever it does may be done again: what is there already stays as it is.
package migration
