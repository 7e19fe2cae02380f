// Package flow decides what becomes of an organisation's mail on its way: mail flow rules, inbound and outbound, and the SMTP gateways that
// outbound rules send mail through. Package transport asks it for each recipient of a message and does what it says.
//
// Rules have no order. Of those that match a sender and a recipient, those stand that no other is more specific than; of these the most
// restrictive acts. A rule is more specific than another where it is so for the sender or the recipient, and less so for neither: the
// service that this is compatible with says only that the most specific one wins, and not how the two sides are weighed.
//
// RunLambda is the one action that takes time. This package knows the events, the calls and the answers, and keeps the contents of the messages that
// functions are told of (Contents), which they read and change; package transport keeps the message while a function is asked.
package flow
