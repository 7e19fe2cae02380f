// Package id makes identifiers: those of the WorkMail API, in its shapes, and the server's own 64-bit ones.
package id

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"
)

// UUID returns a random (version 4) UUID in lower case.
func UUID() string { return dashed(v4()) }

// Entity returns a new id of a user or group: a UUID of version 7 (RFC 9562 section 5.7), which begins with the time, so that the
// ids of one day lie side by side in an index instead of each on a page of its own. Who knows one can't guess others: 74 bits
// are random.
func Entity() string {
	u := v4()
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().UnixMilli()))
	copy(u[:6], ms[2:])
	u[6] = u[6]&0x0f | 0x70
	return dashed(u)
}

// dashed writes a UUID as RFC 9562 section 4 does.
func dashed(u [16]byte) string {
	b := hex.AppendEncode(make([]byte, 0, 36), u[:4])
	for _, part := range [][]byte{u[4:6], u[6:8], u[8:10], u[10:]} {
		b = hex.AppendEncode(append(b, '-'), part)
	}
	return string(b)
}

// Organization returns a new organisation id: "m-" and a version 4 UUID without dashes.
func Organization() string { u := v4(); return "m-" + hex.EncodeToString(u[:]) }

// Resource returns a new resource id: "r-" and a version 4 UUID without dashes.
func Resource() string { u := v4(); return "r-" + hex.EncodeToString(u[:]) }

// Directory returns a new directory id: "d-" and ten hexadecimal digits.
func Directory() string { var b [5]byte; fill(b[:]); return "d-" + hex.EncodeToString(b[:]) }

func v4() (u [16]byte) {
	fill(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func fill(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic("id: the system's random source failed: " + err.Error()) // crypto/rand documents that it never does
	}
}

// epoch is the zero of the time in a key: 2026-01-01 UTC, in milliseconds.
const epoch = 1_767_225_600_000

var lastKey atomic.Int64

// Key returns a new positive 64-bit key for a row. Keys made by one process rise strictly; those of several processes
// rise with their clocks, to the millisecond (41 bits of milliseconds, 22 bits of chance). A duplicate between processes
// is possible and meets the table's primary key, so a caller's write then fails and may be run again.
func Key() int64 {
	var b [4]byte
	fill(b[:])
	k := (time.Now().UnixMilli()-epoch)<<22 | int64(binary.LittleEndian.Uint32(b[:])&(1<<22-1))
	for {
		last := lastKey.Load()
		next := max(k, last+1)
		if lastKey.CompareAndSwap(last, next) {
			return next
		}
	}
}
