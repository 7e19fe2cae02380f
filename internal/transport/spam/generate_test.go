package spam_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// corpus writes messages of two kinds, which share most of their words.
type corpus struct {
	r                 *rand.Rand
	share             int // one word of so many is of the message's kind
	common, spam, ham []string
	written           int
}

func newCorpus(seed uint64) *corpus {
	c := &corpus{r: rand.New(rand.NewPCG(seed, 1)), share: 5}
	words := func(n int) (list []string) {
		for range n {
			var b strings.Builder
			for range 2 + c.r.IntN(3) {
				b.WriteString([]string{"ba", "ke", "li", "mo", "ru", "sta", "ven", "qui", "dor", "pha"}[c.r.IntN(10)])
			}
			list = append(list, fmt.Sprintf("%s%d", b.String(), c.r.IntN(10)))
		}
		return list
	}
	c.common, c.spam, c.ham = words(800), words(120), words(300)
	return c
}

// message writes a message that is spam or not: mostly of common words.
func (c *corpus) message(spam bool) string {
	c.written++
	own, from := c.ham, fmt.Sprintf("%s@friend%d.example", c.ham[c.r.IntN(20)], c.r.IntN(9))
	if spam {
		own, from = c.spam, fmt.Sprintf("%s@bulk%d.example", c.common[c.r.IntN(800)], c.r.IntN(1000))
	}
	word := func() string {
		if c.r.IntN(c.share) == 0 {
			return own[c.r.IntN(len(own))]
		}
		return c.common[c.r.IntN(len(c.common))]
	}
	text := make([]string, 60+c.r.IntN(200))
	for i := range text {
		if text[i] = word(); i%12 == 11 {
			text[i] += "\r\n"
		}
	}
	body, kind := strings.Join(text, " "), "text/plain"
	if c.r.IntN(2) == 0 {
		body, kind = "<html><body><p>"+body+"</p></body></html>", "text/html"
	}
	return fmt.Sprintf("From: <%s>\r\nTo: <ann@acme.awsapps.com>\r\nSubject: %s %s\r\nMessage-ID: <%d@gen.example>\r\nContent-Type: %s; charset=utf-8\r\n\r\n%s\r\n",
		from, word(), word(), c.written, kind, body)
}
