package courier

import (
	"sync/atomic"

	"github.com/pennypost/pennypost/internal/transport/queue"
)

// Stats counts what happened since the start.
type Stats struct {
	Connections uint64 // made, and ready for a message
	Reused      uint64 // messages that took a connection that was kept
	Refused     uint64 // connections that failed, or were refused before a message
	TLS         uint64 // connections under TLS
	Verified    uint64 // those among them whose certificate had to be verified
	TLSFailed   uint64 // handshakes that failed, and TLS that was missing where it was required
	Delivered   uint64 // recipients
	Deferred    uint64
	Failed      uint64
	Idle        int // connections that are kept now
}

type counters struct {
	connections, reused, refused, tls, verified, tlsFailed, delivered, deferred, failed atomic.Uint64
}

func (s *counters) count(outcomes []queue.Outcome) {
	for _, o := range outcomes {
		switch o.Result {
		case queue.Delivered:
			s.delivered.Add(1)
		case queue.Failed:
			s.failed.Add(1)
		default:
			s.deferred.Add(1)
		}
	}
}
