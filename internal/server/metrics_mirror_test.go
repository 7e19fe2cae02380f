package server

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/organization"
)

func TestMirrorsInMetrics(t *testing.T) {
	var b strings.Builder
	writeMirrors(&b, nil)
	if b.Len() > 0 {
		t.Errorf("without a directory: %s", b.String())
	}
	writeMirrors(&b, []organization.MirrorStats{{Directory: "d-0000000001", Finished: 3, Failed: 2}})
	for _, want := range []string{
		`pennypost_directory_mirror_runs_total{directory="d-0000000001",outcome="failed"} 2`,
		`pennypost_directory_mirror_runs_total{directory="d-0000000001",outcome="finished"} 3`,
	} {
		if !strings.Contains(b.String(), want+"\n") {
			t.Errorf("%s lacks %s", b.String(), want)
		}
	}
}
