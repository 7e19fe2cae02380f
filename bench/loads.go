package main

import "slices"

// The tables of the report.
const (
	sectionLimits   = "The machine's own limits"
	sectionAPI      = "API"
	sectionDelivery = "Delivery"
	sectionIMAP     = "IMAP"
	sectionIdle     = "Start, memory, notification"
)

// loads are all there are, in the order they run. A round begins with a restart, so that the memory of a fresh start is
// that of a server with mail on disk, and ends with what the loads left in memory.
func loads() []load {
	return slices.Concat(
		[]load{{name: "start", run: start}, {name: "login-first", run: loginFirst}},
		apiLoads(),
		deliveryLoads(),
		imapLoads(),
		[]load{{name: "idle", run: idle}, {name: "memory", run: memory}},
	)
}
