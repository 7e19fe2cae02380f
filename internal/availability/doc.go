// Package availability asks the systems of other domains when their users are free: for each domain an organisation names a
// server that speaks Exchange Web Services, or a function. It keeps those configurations, tries them out, and puts one question
// to all the providers that it concerns, so that a slow or broken one hurts its own mailboxes alone.
package availability
