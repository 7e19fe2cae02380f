package message

import "testing"

func BenchmarkEnvelope(b *testing.B) {
	header := crlf("Received: from a by b; Mon, 23 Nov 2026 12:00:00 +0000\nFrom: =?utf-8?Q?Ann_L=C3=A9e?= <ann@example.com>\nTo: Bob <bob@example.com>, cyd@example.org\n" +
		"Subject: Re: [list] =?utf-8?Q?Caf=C3=A9?= plans\nDate: Mon, 23 Nov 2026 12:00:00 +0000\nMessage-ID: <1@example.com>\nReferences: <0@example.com>\n\n")
	e := ParseEnvelope(header)
	coded := e.AppendBinary(nil)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ParseEnvelope(header)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(len(coded)), "bytes")
		for b.Loop() {
			if _, err := DecodeEnvelope(coded); err != nil {
				b.Fatal(err)
			}
		}
	})
}
