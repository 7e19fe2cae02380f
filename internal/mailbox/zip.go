package mailbox

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/pennypost/pennypost/internal/lazy"
)

// codec is how a stored body's bytes are packed.
type codec uint8

const (
	plain codec = iota
	zstd1       // zstd frames (RFC 8878)
)

// zip packs and unpacks bodies. It is safe for concurrent use; encoder and decoder keep a state per core, and are made when first
// used. Figures are in DESIGN.md.
type zip struct {
	enc lazy.Value[*zstd.Encoder]
	dec lazy.Value[*zstd.Decoder]
}

func newZip() *zip {
	return &zip{enc: lazy.Value[*zstd.Encoder]{Make: newEncoder}, dec: lazy.Value[*zstd.Decoder]{Make: newDecoder}}
}

// Errors come only from options out of range.
func newEncoder() *zstd.Encoder {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(128<<10),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic("mailbox: zstd encoder: " + err.Error())
	}
	return enc
}

func newDecoder() *zstd.Decoder {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		panic("mailbox: zstd decoder: " + err.Error())
	}
	return dec
}

// pack returns the bytes to store, which may be data itself.
func (z *zip) pack(data []byte) ([]byte, codec) {
	if len(data) < 512 {
		return data, plain
	}
	packed := z.enc.Get().EncodeAll(data, make([]byte, 0, len(data)/2))
	if len(packed) > len(data)*7/8 {
		return data, plain
	}
	return packed, zstd1
}

// unpack returns prefix and behind it the bytes that pack was given, of which there are size. Without a prefix it may return
// packed itself.
func (z *zip) unpack(prefix, packed []byte, c codec, size int64) ([]byte, error) {
	if c == plain && len(prefix) == 0 {
		return packed, nil
	}
	data := append(make([]byte, 0, int64(len(prefix))+size), prefix...)
	switch c {
	case plain:
		return append(data, packed...), nil
	case zstd1:
		data, err := z.dec.Get().DecodeAll(packed, data)
		if err != nil {
			return nil, fmt.Errorf("unpack a body: %w", err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("unpack a body: codec %d is not known to this version", c)
}
