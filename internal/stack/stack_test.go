package stack

import (
	"testing"
	"unsafe"
)

// moves reports whether a call of some KiB moves the stack of a new goroutine that began with begin.
func moves(begin func()) bool {
	moved := make(chan bool)
	go func() {
		begin()
		var local byte
		before := uintptr(unsafe.Pointer(&local))
		descend(7)
		moved <- uintptr(unsafe.Pointer(&local)) != before
	}()
	return <-moved
}

// descend takes at least 1 KiB of stack for each level.
//
//go:noinline
func descend(levels int) byte {
	var room [1 << 10]byte
	room[levels] = byte(levels)
	if levels > 0 {
		room[0] += descend(levels - 1)
	}
	return room[0] + room[levels]
}

func TestDeepen(t *testing.T) {
	if !moves(func() {}) {
		t.Fatal("the call is not deep enough to tell")
	}
	if moves(Deepen) {
		t.Error("the stack was moved after Deepen")
	}
}
