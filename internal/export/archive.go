package export

import (
	"bytes"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"math"
	"time"

	"github.com/klauspost/compress/flate"
)

// archive writes a zip (PKWARE's APPNOTE.TXT 6.3) to a stream. Unlike archive/zip it keeps no entry once it is written: the central
// directory's part of each goes to directory, from which it is taken at every checkpoint, so that a mailbox of millions of
// messages needs no more memory than one of ten, and an archive is gone on with by another process.
type archive struct {
	out       io.Writer
	offset    int64 // of what is written next
	directory bytes.Buffer
	entries   int64 // in all

	packer *flate.Writer
	packed bytes.Buffer
	header []byte
}

const (
	stored, deflated = 0, 8 // methods

	flagDescriptor, flagUTF8 = 1 << 3, 1 << 11

	max32 = math.MaxUint32
	// wide is the size from which an entry of unknown packed size is written with sizes of 64 bits: what can't be packed grows.
	wide = max32 - max32/16

	version20, version45 = 20, 45
	madeByUnix           = 3 << 8
	plainFile            = 0o100644 << 16
)

func newArchive(out io.Writer, offset, entries int64) (*archive, error) {
	packer, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	return &archive{out: out, offset: offset, entries: entries, packer: packer}, err
}

// entry is what a header says of a file.
type entry struct {
	name         string
	time         time.Time
	method       uint16
	flags        uint16
	crc          uint32
	packed, size int64
	wide         bool
}

func (a *archive) write(p []byte) error {
	n, err := a.out.Write(p)
	a.offset += int64(n)
	return err
}

// pays reports whether it is worth to unpack what shrank from size to packed.
func pays(packed, size int64) bool { return packed < size-size/8 }

// add writes a file that is in memory, deflated if that pays.
func (a *archive) add(name string, at time.Time, data []byte) error {
	e := entry{name: name, time: at, crc: crc32.ChecksumIEEE(data), size: int64(len(data)), packed: int64(len(data))}
	a.packed.Reset()
	a.packer.Reset(&a.packed)
	if _, err := a.packer.Write(data); err != nil {
		return err
	}
	if err := a.packer.Close(); err != nil {
		return err
	}
	if n := int64(a.packed.Len()); pays(n, e.size) {
		e.method, e.packed, data = deflated, n, a.packed.Bytes()
	}
	at0 := a.offset
	if err := a.local(&e); err != nil {
		return err
	}
	if err := a.write(data); err != nil {
		return err
	}
	a.central(&e, at0)
	return nil
}

// probe is how much of a large file is packed to see whether that pays.
const probe = 128 << 10

// stream writes a file of a known size that open opens, more than once if need be: what is stored has its checksum in front of it,
// so that a reader that can't seek can read it too.
func (a *archive) stream(name string, at time.Time, size int64, open func() io.Reader) error {
	e := entry{name: name, time: at, size: size, packed: size, wide: size > wide}
	a.packed.Reset()
	a.packer.Reset(&a.packed)
	n, err := io.Copy(a.packer, io.LimitReader(open(), probe))
	if err == nil {
		err = a.packer.Close()
	}
	if err != nil {
		return err
	}
	sum := crc32.NewIEEE()
	if pays(int64(a.packed.Len()), n) {
		e.method, e.flags = deflated, flagDescriptor
	} else {
		if err := copyExactly(sum, open(), size); err != nil {
			return err
		}
		e.crc = sum.Sum32()
	}
	at0 := a.offset
	if err := a.local(&e); err != nil {
		return err
	}
	begin := a.offset
	if e.method == stored {
		if err := copyExactly(io.MultiWriter(writerFunc(a.write), reset(sum)), open(), size); err != nil {
			return err
		}
		if sum.Sum32() != e.crc {
			return io.ErrUnexpectedEOF
		}
	} else {
		a.packer.Reset(writerFunc(a.write))
		if err := copyExactly(io.MultiWriter(a.packer, sum), open(), size); err != nil {
			return err
		}
		if err := a.packer.Close(); err != nil {
			return err
		}
		e.crc, e.packed = sum.Sum32(), a.offset-begin
		if err := a.descriptor(&e); err != nil {
			return err
		}
	}
	a.central(&e, at0)
	return nil
}

func reset(h hash.Hash) io.Writer { h.Reset(); return h }

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// copyExactly copies size bytes, which is all that r may give.
func copyExactly(w io.Writer, r io.Reader, size int64) error {
	n, err := io.Copy(w, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// local writes the header in front of a file.
func (a *archive) local(e *entry) error {
	e.flags |= flagUTF8
	crc, packed, size := e.crc, uint32(e.packed), uint32(e.size)
	if e.flags&flagDescriptor != 0 {
		crc, packed, size = 0, 0, 0
	}
	needs, extra := uint16(version20), uint16(0)
	if e.wide {
		needs, extra, packed, size = version45, 20, max32, max32
	}
	b := binary.LittleEndian.AppendUint32(a.header[:0], 0x04034b50)
	b = appendCommon(b, needs, e, crc, packed, size)
	b = binary.LittleEndian.AppendUint16(b, extra)
	b = append(b, e.name...)
	if e.wide {
		b = binary.LittleEndian.AppendUint32(b, 16<<16|1)
		wideSize, widePacked := uint64(e.size), uint64(e.packed)
		if e.flags&flagDescriptor != 0 {
			wideSize, widePacked = 0, 0
		}
		b = binary.LittleEndian.AppendUint64(b, wideSize)
		b = binary.LittleEndian.AppendUint64(b, widePacked)
	}
	a.header = b
	return a.write(b)
}

// appendCommon appends what the local header and the directory's have in common.
func appendCommon(b []byte, needs uint16, e *entry, crc, packed, size uint32) []byte {
	date, clock := dosTime(e.time)
	for _, v := range []uint16{needs, e.flags, e.method, clock, date} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	for _, v := range []uint32{crc, packed, size} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return binary.LittleEndian.AppendUint16(b, uint16(len(e.name)))
}

// dosTime is a time as zip keeps it: from 1980 to 2107, every other second, UTC by our convention.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	switch {
	case t.Year() < 1980:
		return 1<<5 | 1, 0
	case t.Year() > 2107:
		return 127<<9 | 12<<5 | 31, 23<<11 | 59<<5 | 29
	}
	return uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day()), uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

// descriptor writes what the header in front could not know.
func (a *archive) descriptor(e *entry) error {
	b := binary.LittleEndian.AppendUint32(a.header[:0], 0x08074b50)
	b = binary.LittleEndian.AppendUint32(b, e.crc)
	if e.wide {
		b = binary.LittleEndian.AppendUint64(b, uint64(e.packed))
		b = binary.LittleEndian.AppendUint64(b, uint64(e.size))
	} else {
		b = binary.LittleEndian.AppendUint32(b, uint32(e.packed))
		b = binary.LittleEndian.AppendUint32(b, uint32(e.size))
	}
	a.header = b
	return a.write(b)
}

// central keeps a file's header for the directory at the end.
func (a *archive) central(e *entry, at int64) {
	needs, packed, size, offset := uint16(version20), uint32(e.packed), uint32(e.size), uint32(min(at, max32))
	var extra []byte
	if e.wide {
		packed, size = max32, max32
		extra = binary.LittleEndian.AppendUint64(extra, uint64(e.size))
		extra = binary.LittleEndian.AppendUint64(extra, uint64(e.packed))
	}
	if at >= max32 {
		extra = binary.LittleEndian.AppendUint64(extra, uint64(at))
	}
	if len(extra) > 0 {
		needs = version45
		extra = append([]byte{1, 0, byte(len(extra)), 0}, extra...)
	}
	b := binary.LittleEndian.AppendUint32(a.header[:0], 0x02014b50)
	b = binary.LittleEndian.AppendUint16(b, madeByUnix|version45)
	b = appendCommon(b, needs, e, e.crc, packed, size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)))
	b = append(b, make([]byte, 2+2+2)...) // comment, disk, internal attributes
	b = binary.LittleEndian.AppendUint32(b, plainFile)
	b = binary.LittleEndian.AppendUint32(b, offset)
	b = append(b, e.name...)
	a.header = append(b, extra...)
	a.directory.Write(a.header)
	a.entries++
}

// end writes the records behind the directory, which begins at begin.
func (a *archive) end(begin int64) error {
	size, entries := a.offset-begin, a.entries
	b := a.header[:0]
	if entries >= math.MaxUint16 || size >= max32 || begin >= max32 {
		at := a.offset
		b = binary.LittleEndian.AppendUint32(b, 0x06064b50)
		b = binary.LittleEndian.AppendUint64(b, 44)
		b = binary.LittleEndian.AppendUint16(b, madeByUnix|version45)
		b = binary.LittleEndian.AppendUint16(b, version45)
		b = append(b, make([]byte, 4+4)...) // disks
		for _, v := range []int64{entries, entries, size, begin} {
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
		b = binary.LittleEndian.AppendUint32(b, 0x07064b50)
		b = append(b, make([]byte, 4)...)
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
		b = binary.LittleEndian.AppendUint32(b, 1)
	}
	b = binary.LittleEndian.AppendUint32(b, 0x06054b50)
	b = append(b, make([]byte, 2+2)...)
	for range 2 {
		b = binary.LittleEndian.AppendUint16(b, uint16(min(entries, math.MaxUint16)))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(min(size, max32)))
	b = binary.LittleEndian.AppendUint32(b, uint32(min(begin, max32)))
	b = binary.LittleEndian.AppendUint16(b, 0)
	a.header = b
	return a.write(b)
}
