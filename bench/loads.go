package main

import "slices"

// The tables of the report.
const (
	sectionLimits   = "The machine's own limits"
	sectionAPI      = "API"
	sectionUsers    = "New users"
	sectionDelivery = "Delivery"
	sectionIMAP     = "IMAP"
	sectionRelay    = "Mail for other servers"
	sectionIdle     = "Start, memory, notification"
)

// loads are all there are, in the order they run. A round begins with a restart, so that the memory of a fresh start is
// that of a server with mail on disk; what the loads left in memory is read before the idling, which begins with another.
func loads() []load {
	return slices.Concat(
		[]load{{name: "start", run: start}, {name: "login-first", run: loginFirst}},
		apiLoads(),
		[]load{{name: "new-user-c1", run: newUsers}},
		deliveryLoads(),
		imapLoads(),
		relayLoads(),
		[]load{{name: "memory", run: memory}, {name: "idle", run: idle}},
	)
}
