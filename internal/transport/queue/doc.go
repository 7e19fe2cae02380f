// Package queue keeps messages for other servers until those have taken them, or until their time is over and their senders are
// told. What is queued is on disk before anybody hears of it; what was taken is not offered again, but for an answer that was
// lost.
package queue
