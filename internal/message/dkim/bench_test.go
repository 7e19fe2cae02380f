package dkim

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func BenchmarkSign(b *testing.B) {
	for name, key := range map[string]Key{"RSA": rsaKey(), "Ed25519": edKey()} {
		benchmark(b, name, func(message []byte) error {
			_, err := Sign(message, SignOptions{Time: noon}, key)
			return err
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	v := zone{}.publish(rsaKey(), edKey()).verifier(noon)
	for name, key := range map[string]Key{"RSA": rsaKey(), "Ed25519": edKey()} {
		var signed []byte
		benchmark(b, name, func(message []byte) error {
			if !bytes.HasSuffix(signed, message) {
				signed = []byte(mustSign(b, string(message), SignOptions{Time: noon}, key))
			}
			if got := v.Verify(b.Context(), signed); results(got) != "pass" {
				return errors.New(results(got))
			}
			return nil
		})
	}
}

// benchmark runs what with messages of text in paragraphs, and of base64.
func benchmark(b *testing.B, name string, what func(message []byte) error) {
	text := strings.Repeat(strings.Repeat("Some words of a line that is not too long, with  spaces here and there.\r\n", 10)+"\r\n", 1500)
	attachment := strings.Repeat(strings.Repeat("TWFu", 19)+"\r\n", 14000)
	for _, c := range []struct {
		size string
		body string
	}{{"4KB", text[:4<<10]}, {"1MB", text[:1<<20]}, {"1MB-base64", attachment[:1<<20]}} {
		b.Run(name+"/"+c.size, func(b *testing.B) {
			header, _, _ := strings.Cut(plain, "\r\n\r\n")
			message := []byte(header + "\r\n\r\n" + c.body)
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if err := what(message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
