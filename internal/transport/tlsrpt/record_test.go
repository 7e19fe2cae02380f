package tlsrpt

import (
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/transport/dayreport"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		record string
		want   []string
	}{
		// RFC 8460 section 3.1.
		{"v=TLSRPTv1;rua=mailto:reports@example.com", []string{"mailto:reports@example.com"}},
		{"v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt", []string{"https://reporting.example.com/v1/tlsrpt"}},
		{
			"v=TLSRPTv1; x=y; rua = mailto:a@example.com , https://example.com/x,mailto:a@example.com; rua=mailto:b@example.com",
			[]string{"mailto:a@example.com", "https://example.com/x"},
		},
		{"v=TLSRPTv1; rua=mailto:a%40b@example.com,http://example.com/,ftp:x,mailto:nobody,https:///x,https://u:p@h/", nil},
		{"v=TLSRPTv1; rua=mailto:a%2Cb@example.com", nil}, // a comma needs quotes
		{"v=TLSRPTv1; rua=mailto:reports%2btls@example.com?subject=x", []string{"mailto:reports%2btls@example.com?subject=x"}},
		{"v=TLSRPTv1; rua=mailto:a@example.com\n,mailto:\xff@example.com,https://example.com/a b", nil},
		{"v=TLSRPTv1; rua=https://example.com/" + strings.Repeat("x", 1024), nil},
		{"v=TLSRPTv1;", nil},
		{"v=TLSRPTv2; rua=mailto:a@example.com", nil},
		{"rua=mailto:a@example.com", nil},
		{"", nil},
	} {
		if got := parseRecord([]string{"v=spf1 -all", c.record}); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.record, got, c.want)
		}
	}
	twice := "v=TLSRPTv1;rua=mailto:reports@example.com"
	if got := parseRecord([]string{twice, twice}); got != nil {
		t.Errorf("two records: %q", got)
	}
	many := "v=TLSRPTv1;rua=https://a/"
	for range 9 {
		many += "x,https://a/" + strings.Repeat("x", len(many))
	}
	if got := parseRecord([]string{many}); len(got) > maxDestinations {
		t.Errorf("%d destinations", len(got))
	}
	if got := dayreport.Mailto("mailto:reports%2Btls@example.com?subject=x").String(); got != "reports+tls@example.com" {
		t.Errorf("mailto: %q", got)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=TLSRPTv1; rua=mailto:reports@example.com,https://example.com/")
	f.Fuzz(func(t *testing.T, record string) {
		for _, uri := range parseRecord([]string{record}) {
			to := dayreport.Mailto(uri).String()
			if (to == "") == !isHTTPS(uri) || strings.ContainsAny(uri+to, "\r\n\x00,") {
				t.Errorf("%q gives %q", record, uri)
			}
		}
	})
}
