package config

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Collector is where traces go.
type Collector struct {
	// URL takes them; empty for none.
	URL     string
	Headers http.Header
	Service string // how the server calls itself there
}

// findCollector reads Traces and OpenTelemetry's variables ("OpenTelemetry Protocol Exporter", "General SDK Configuration").
func (c *Config) findCollector(env func(string) (string, bool)) error {
	get := func(string) string { return "" }
	if env != nil {
		get = func(name string) string { v, _ := env(name); return strings.TrimSpace(v) }
	}
	c.Collector = Collector{Headers: http.Header{}, Service: "pennypost"}
	if name := get("OTEL_SERVICE_NAME"); name != "" {
		c.Collector.Service = name
	}
	origin, base := c.Origin["traces"], c.Traces
	whole := "" // as it is
	if base == "" {
		if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || get("OTEL_TRACES_EXPORTER") == "none" {
			return nil
		}
		if whole = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"); whole != "" {
			origin = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
		} else if base = get("OTEL_EXPORTER_OTLP_ENDPOINT"); base != "" {
			origin = "OTEL_EXPORTER_OTLP_ENDPOINT"
		}
	}
	if base != "" {
		whole = strings.TrimSuffix(base, "/") + "/v1/traces"
	}
	if whole == "" {
		return nil
	}
	if u, err := url.Parse(whole); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%s: this is not of the form http://host:port", origin)
	}
	c.Collector.URL = whole
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		text := get(name)
		if text == "" {
			continue
		}
		for pair := range strings.SplitSeq(text, ",") { // as W3C Baggage: key=value, percent-encoded
			key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
			decoded, err := url.PathUnescape(strings.TrimSpace(value))
			if !ok || err != nil || key == "" {
				return fmt.Errorf("%s: this is not of the form name=value,name=value", name)
			}
			c.Collector.Headers.Set(strings.TrimSpace(key), decoded)
		}
	}
	return nil
}
