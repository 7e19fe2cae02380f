package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/leash"
)

// Collector is an OpenTelemetry collector, which others wrote, that prints the logs and traces it gets.
type Collector struct {
	Base string // of all that it takes
	URL  string // of logs

	t      testing.TB
	config string
	log    buffer
}

// FreeAddress is an address on this machine that nobody listens on, for who must know it before it is used.
func FreeAddress(t testing.TB) string {
	t.Helper()
	port, err := leash.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint("127.0.0.1:", port)
}

// NewCollector sets up a collector on a free port; it is to be started.
func NewCollector(t testing.TB) *Collector {
	t.Helper()
	address := FreeAddress(t)
	c := &Collector{Base: "http://" + address, URL: "http://" + address + "/v1/logs", t: t, config: filepath.Join(t.TempDir(), "collector.yaml")}
	text := fmt.Sprintf("receivers: {otlp: {protocols: {http: {endpoint: %q}}}}\n"+
		"exporters: {debug: {verbosity: detailed, use_internal_logger: false}}\n"+
		"service: {pipelines: {logs: {receivers: [otlp], exporters: [debug]}, traces: {receivers: [otlp], exporters: [debug]}}}\n", address)
	if err := os.WriteFile(c.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// Start starts the collector. The test's end ends it.
func (c *Collector) Start() {
	c.t.Helper()
	program := filepath.Join(Root(), ".cache", "collector", "collector")
	if _, err := os.Stat(program); err != nil {
		c.t.Fatalf("this test needs a collector, which scripts/setup-test builds: %v", err)
	}
	cmd := exec.Command(program, "--config", c.config)
	cmd.Stdout, cmd.Stderr = &c.log, &c.log
	l, err := leash.Start(cmd, "KILL", "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := l.Close(); err != nil || c.t.Failed() {
			c.t.Logf("the collector ended with %v:\n%s", err, c.log.String())
		}
	})
	Answers(c.t, "the collector", strings.TrimPrefix(c.Base, "http://"))
}

// Printed is what the collector printed so far.
func (c *Collector) Printed() string { return c.log.String() }
