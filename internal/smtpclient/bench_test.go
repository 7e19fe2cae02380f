package smtpclient

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sink takes every message of a connection, and forgets it.
func sink(conn net.Conn) error {
	in, out := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	say := func(s string) { _, _ = out.WriteString(s + "\r\n") } // fails at the next read
	say("220 sink")
	for {
		if in.Buffered() == 0 {
			_ = out.Flush()
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		switch verb, rest, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "EHLO":
			say("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 CHUNKING")
		case "DATA":
			say("354 go")
			_ = out.Flush()
			for {
				b, err := in.ReadSlice('\n')
				if err != nil {
					return err
				}
				if string(b) == ".\r\n" {
					break
				}
			}
			say("250 taken")
		case "BDAT":
			number, _, _ := strings.Cut(rest, " ")
			n, err := strconv.Atoi(number)
			if err != nil {
				return err
			}
			if _, err := in.Discard(n); err != nil {
				return err
			}
			say("250 taken")
		default:
			say("250 ok")
		}
	}
}

// turns counts how often a client waits for what it has asked: the round trips.
type turns struct {
	net.Conn
	wrote bool
	n     int
}

func (c *turns) Write(p []byte) (int, error) {
	c.wrote = true
	return c.Conn.Write(p)
}

func (c *turns) Read(p []byte) (int, error) {
	if c.wrote {
		c.n++
	}
	c.wrote = false
	return c.Conn.Read(p)
}

// BenchmarkSend measures a message over loopback by BDAT and by DATA, and counts its round trips, which are what distance costs.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 1 << 20} {
		message := bytes.Repeat([]byte("a line of sixty-four bytes, of which the last two are CR and LF\r\n")[1:], size/64)
		for _, by := range []string{"BDAT", "DATA"} {
			if by == "BDAT" && size > maxChunk {
				continue
			}
			b.Run(fmt.Sprintf("%s-%dk", by, size>>10), func(b *testing.B) {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					conn, err := l.Accept()
					if err == nil {
						err = sink(conn)
						_ = conn.Close()
					}
					if err != io.EOF {
						b.Error(err)
					}
				})
				raw, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				conn := &turns{Conn: raw}
				c, err := New(b.Context(), conn, options())
				if err != nil {
					b.Fatal(err)
				}
				if by == "DATA" {
					delete(c.extensions, "CHUNKING")
				}
				e := &Envelope{From: "sender@b.test", Recipients: []Recipient{{Address: "ann@a.test"}}}
				b.SetBytes(int64(len(message)))
				b.ReportAllocs()
				conn.n = 0
				for b.Loop() {
					if replies, err := c.Send(b.Context(), e, bytes.NewReader(message), int64(len(message))); err != nil || replies[0].Code != 250 {
						b.Fatal(replies, err)
					}
				}
				b.ReportMetric(float64(conn.n)/float64(b.N), "round-trips/op")
				c.Close()
				_ = l.Close()
				wg.Wait()
			})
		}
	}
}
