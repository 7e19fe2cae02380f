package config

import (
	"strings"
	"testing"
)

// TestCollector finds the collector as OpenTelemetry's specification says; the setting goes before it.
func TestCollector(t *testing.T) {
	for name, c := range map[string]struct {
		setting string
		env     map[string]string
		url     string
		wrong   string
	}{
		"none":             {"", nil, "", ""},
		"the setting":      {"http://127.0.0.1:4318/", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318", "OTEL_SDK_DISABLED": "true"}, "http://127.0.0.1:4318/v1/traces", ""},
		"for all signals":  {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://other:4318/otlp"}, "https://other:4318/otlp/v1/traces", ""},
		"for traces alone": {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://third:4318/x"}, "http://third:4318/x", ""},
		"no exporter":      {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318", "OTEL_TRACES_EXPORTER": "none"}, "", ""},
		"disabled":         {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318", "OTEL_SDK_DISABLED": "TRUE"}, "", ""},
		"no URL":           {"", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "other:4318"}, "", "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"a bad setting":    {"4318", nil, "", "traces"},
		"bad headers":      {"http://a", map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "x"}, "", "OTEL_EXPORTER_OTLP_HEADERS"},
	} {
		got, err := Load(Sources{Env: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok }, Values: map[string]string{"traces": c.setting}})
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || got.Collector.URL != c.url:
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	got, err := Load(Sources{Env: func(name string) (string, bool) {
		v, ok := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SERVICE_NAME": "mail", "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20x, k=v"}[name]
		return v, ok
	}})
	if err != nil || got.Collector.Service != "mail" || got.Collector.Headers.Get("authorization") != "Bearer x" || got.Collector.Headers.Get("K") != "v" {
		t.Errorf("%+v, %v", got.Collector, err)
	}
}
