// Package scantest has a clamd for tests.
package scantest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// What Serve's answer can be.
const (
	Clean    = "stream: OK\x00"
	Infected = "stream: Eicar-Test-Signature FOUND\x00"
	Broken   = "stream: Can't allocate memory ERROR\x00"
	Silent   = ""
)

// Finds answers that what holds the text is infected, and all else clean.
func Finds(virus string) func([]byte) string {
	return func(text []byte) string {
		if bytes.Contains(text, []byte(virus)) {
			return Infected
		}
		return Clean
	}
}

// Serve speaks clamd's protocol as its manual has it (clamd(8), INSTREAM), until the test ends. It takes limit bytes, and answers what
// answer says of them.
func Serve(t testing.TB, l net.Listener, limit int, answer func(text []byte) string) {
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() { serve(conn, limit, answer) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		group.Wait()
	})
}

func serve(conn net.Conn, limit int, answer func(text []byte) string) {
	defer conn.Close()
	command := make([]byte, len("zINSTREAM\x00"))
	if _, err := io.ReadFull(conn, command); err != nil || string(command) != "zINSTREAM\x00" {
		_, _ = io.WriteString(conn, "UNKNOWN COMMAND\x00")
		return
	}
	var text []byte
	for {
		var n uint32
		if err := binary.Read(conn, binary.BigEndian, &n); err != nil {
			return
		}
		if n == 0 {
			break
		}
		if len(text)+int(n) > limit {
			_, _ = io.WriteString(conn, "INSTREAM size limit exceeded. ERROR\x00")
			return
		}
		part := make([]byte, n)
		if _, err := io.ReadFull(conn, part); err != nil {
			return
		}
		text = append(text, part...)
	}
	_, _ = io.WriteString(conn, answer(text)) // who went away does not matter
}
