package server

import (
	"fmt"
	"io"
	"maps"
	"slices"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/transport/gate"
)

// writeGates writes whom the gates of listeners turned away, and whom the greylist put off, since the start.
func writeGates(w io.Writer, gates map[string]gate.Stats, greylist gate.GreylistStats) {
	const turned, clients, delayed, tarpitted = "pennypost_gate_refused_total", "pennypost_gate_clients", "pennypost_gate_delayed_total", "pennypost_gate_tarpitted"
	const lists, deferred = "pennypost_gate_dns_lists_total", "pennypost_greylist_total"
	names := slices.Sorted(maps.Keys(gates))
	each := func(metric, kind string, write func(listener string, s gate.Stats)) {
		victoria.WriteMetadataIfNeeded(w, metric, kind)
		for _, name := range names {
			write(name, gates[name])
		}
	}
	each(turned, "counter", func(listener string, s gate.Stats) {
		for _, reason := range slices.Sorted(maps.Keys(s.Refused)) {
			_, _ = fmt.Fprintf(w, "%s{listener=%q,reason=%q} %d\n", turned, listener, reason, s.Refused[reason]) // who asked and went away does not matter
		}
	})
	each(delayed, "counter", func(listener string, s gate.Stats) {
		_, _ = fmt.Fprintf(w, "%s{listener=%q} %d\n", delayed, listener, s.Delayed)
	})
	each(tarpitted, "gauge", func(listener string, s gate.Stats) {
		_, _ = fmt.Fprintf(w, "%s{listener=%q} %d\n", tarpitted, listener, s.Tarpitted)
	})
	each(clients, "gauge", func(listener string, s gate.Stats) {
		_, _ = fmt.Fprintf(w, "%s{listener=%q} %d\n", clients, listener, s.Clients)
	})
	each(lists, "counter", func(_ string, s gate.Stats) {
		for _, l := range s.Lists {
			_, _ = fmt.Fprintf(w, "%[1]s{list=%[2]q,result=\"failed\"} %[3]d\n%[1]s{list=%[2]q,result=\"listed\"} %[4]d\n%[1]s{list=%[2]q,result=\"passed\"} %[5]d\n",
				lists, l.Zone, l.Failed, l.Listed, l.Passed)
		}
	})
	victoria.WriteMetadataIfNeeded(w, deferred, "counter")
	_, _ = fmt.Fprintf(w, "%[1]s{outcome=\"deferred\"} %[2]d\n%[1]s{outcome=\"returned\"} %[3]d\n%[1]s{outcome=\"vouched\"} %[4]d\n",
		deferred, greylist.Deferred, greylist.Returned, greylist.Vouched)
}
