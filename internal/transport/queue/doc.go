// Package queue keeps messages for other servers until those have taken them, or until their time is over and their senders are
// told. What is queued is on disk before anybody hears of it; what was taken is not offered again, but for an answer that was
// lost.
//
// Prepare and EnqueueTx put a message in, in the transaction that acknowledges it; Run takes mail away by a Courier and tells
// senders by a Teller; the Manager's verbs are for operators. DESIGN.md says how it is kept and what a crash leaves.
package queue
