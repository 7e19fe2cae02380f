package server

import (
	"fmt"
	"io"

	victoria "github.com/VictoriaMetrics/metrics"

	"github.com/pennypost/pennypost/internal/organization"
)

// writeMirrors writes what became of the attempts to mirror external directories.
func writeMirrors(w io.Writer, mirrors []organization.MirrorStats) {
	const runs = "pennypost_directory_mirror_runs_total"
	if len(mirrors) > 0 {
		victoria.WriteMetadataIfNeeded(w, runs, "counter")
	}
	for _, m := range mirrors {
		_, _ = fmt.Fprintf(w, "%[1]s{directory=%[2]q,outcome=\"failed\"} %[3]d\n%[1]s{directory=%[2]q,outcome=\"finished\"} %[4]d\n",
			runs, m.Directory, m.Failed, m.Finished) // who asked and went away does not matter
	}
}
