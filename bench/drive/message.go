package drive

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Needle is a word that stands in the subject and body of every RareEvery-th message of a Maker, and nowhere else.
const (
	Needle    = "quixotic"
	RareEvery = 1000
)

// bodies is how many different texts a Maker alternates between: enough that no server gains by having seen the last.
const bodies = 32

// Maker makes messages of one size quickly: headers of their own on texts made beforehand. Texts are words with the
// frequencies of a language, so that a server that compresses gains what it would gain on mail. Safe for concurrent use.
type Maker struct {
	size  int
	texts [bodies]string
	run   string
	from  string
}

// NewMaker makes a Maker of messages of exactly size bytes (at least 1,024). run must differ between Makers whose
// messages shall differ.
func NewMaker(size int, run string) *Maker {
	m := &Maker{size: size, run: run, from: Sender}
	random := rand.New(rand.NewPCG(uint64(size), 26))
	words := make([]string, 4000)
	for i := range words {
		word := make([]byte, 2+random.IntN(9))
		for j := range word {
			word[j] = "etaoinshrdlucmfwypvbgkjqxz"[random.IntN(1+random.IntN(25))]
		}
		words[i] = string(word)
	}
	zipf := rand.NewZipf(random, 1.1, 4, uint64(len(words)-1))
	for i := range m.texts {
		var b strings.Builder
		column := 0
		for b.Len() < size {
			word := words[zipf.Uint64()]
			b.WriteString(word)
			if column += len(word) + 1; column > 70 {
				b.WriteString("\r\n")
				column = 0
				continue
			}
			b.WriteByte(' ')
		}
		m.texts[i] = b.String()
	}
	return m
}

// From makes the messages be from an address. It returns the Maker.
func (m *Maker) From(address string) *Maker {
	m.from = address
	return m
}

// Append adds message i, addressed to recipient, to b.
func (m *Maker) Append(b []byte, i int, recipient string) []byte {
	begin := len(b)
	rare := ""
	if i%RareEvery == 0 {
		rare = " " + Needle
	}
	b = fmt.Appendf(b, "Message-ID: <%s.%d@elsewhere.example>\r\nDate: %s\r\nFrom: \"Ada Example\" <%s>\r\n"+
		"To: <%s>\r\nSubject: Note %d of %s%s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nNumber %d%s.\r\n",
		m.run, i, time.Unix(1_760_000_000+int64(i), 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000"),
		m.from, recipient, i, m.run, rare, i, rare)
	room := m.size - (len(b) - begin) - len("\r\n")
	b = append(b, m.texts[i%bodies][:room]...)
	if b[len(b)-1] == '\r' { // cut inside a line end
		b[len(b)-1] = ' '
	}
	return append(b, "\r\n"...)
}
