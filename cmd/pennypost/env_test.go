package main

import (
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/server"
)

// TestEnvLeadsPastAProxy: a proxy that the shell names for the world would be asked for this machine's server too.
func TestEnvLeadsPastAProxy(t *testing.T) {
	const proxy = "http://proxy.example:3128"
	for name, c := range map[string]struct {
		shell        map[string]string
		upper, lower string // empty where it is left as it is
	}{
		"no proxy":            {map[string]string{"NO_PROXY": "example.com"}, "", ""},
		"proxy":               {map[string]string{"http_proxy": proxy}, "127.0.0.1", "127.0.0.1"},
		"proxy in capitals":   {map[string]string{"HTTPS_PROXY": proxy}, "127.0.0.1", "127.0.0.1"},
		"others are left out": {map[string]string{"ALL_PROXY": proxy, "NO_PROXY": "localhost,example.com"}, "localhost,example.com,127.0.0.1", "localhost,example.com,127.0.0.1"},
		"each has its own":    {map[string]string{"http_proxy": proxy, "NO_PROXY": "10.0.0.0/8", "no_proxy": "localhost"}, "10.0.0.0/8,127.0.0.1", "localhost,127.0.0.1"},
		"one lacks it":        {map[string]string{"http_proxy": proxy, "NO_PROXY": "localhost", "no_proxy": "127.0.0.1"}, "localhost,127.0.0.1", ""},
		"all are left out":    {map[string]string{"http_proxy": proxy, "NO_PROXY": "*", "no_proxy": "*"}, "", ""},
		"it is left out":      {map[string]string{"http_proxy": proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "localhost, 127.0.0.1"}, "", ""},
	} {
		got := map[string]string{}
		for _, v := range pastProxy("http://127.0.0.1:8480", func(name string) string { return c.shell[name] }) {
			got[v.name] = v.value
		}
		if got["NO_PROXY"] != c.upper || got["no_proxy"] != c.lower {
			t.Errorf("%s: %v, want %q and %q", name, got, c.upper, c.lower)
		}
	}
	shell := func(name string) string { return map[string]string{"http_proxy": proxy}[name] }
	const lines = "export NO_PROXY='::1,[::1]'\nexport no_proxy='::1,[::1]'\n"
	if got := exports(server.Environment{Endpoint: "https://[::1]:8443"}, shell); !strings.Contains(got, lines) {
		t.Errorf("the lines are\n%s", got)
	}
}
