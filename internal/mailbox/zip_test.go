package mailbox

import (
	"bytes"
	"fmt"
	"testing"
)

func TestZipGivesBackWhatItWasGiven(t *testing.T) {
	z := newZip()
	for name, c := range map[string]struct {
		data   []byte
		packed bool
	}{
		"nothing": {[]byte{}, false},
		"short":   {bytes.Repeat([]byte("x"), 511), false},
		"text":    {mail(4<<10, 1).Source.Bytes, true},
		"zeros":   {make([]byte, 100_000), true},
		"random":  {randomBytes(100_000), false},
	} {
		t.Run(name, func(t *testing.T) {
			packed, codec := z.pack(c.data)
			if (codec == zstd1) != c.packed || len(packed) > len(c.data) {
				t.Errorf("%d bytes were stored as %d with codec %d", len(c.data), len(packed), codec)
			}
			for _, prefix := range []string{"", "before"} {
				got, err := z.unpack([]byte(prefix), packed, codec, int64(len(c.data)))
				if err != nil || string(got) != prefix+string(c.data) {
					t.Errorf("unpacking behind %q gave %d bytes of %d: %v", prefix, len(got), len(c.data), err)
				}
			}
		})
	}
	for name, c := range map[string]codec{"a codec of the future": 9, "what is no frame": zstd1} {
		if _, err := z.unpack(nil, []byte("abc"), c, 3); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
}

func BenchmarkZip(b *testing.B) {
	z := newZip()
	for _, size := range []int{4 << 10, 64 << 10} {
		data := mail(size, 3).Source.Bytes
		packed, codec := z.pack(data)
		b.Run(fmt.Sprintf("pack/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportMetric(float64(len(packed))/float64(len(data)), "ratio")
			for b.Loop() {
				z.pack(data)
			}
		})
		b.Run(fmt.Sprintf("unpack/%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := z.unpack(nil, packed, codec, int64(len(data))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
