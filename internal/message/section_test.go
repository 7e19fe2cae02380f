package message

import "testing"

// The message of RFC 3501 section 6.4.5, with bodies that say where they are.
const sectionMessage = `Subject: top
Content-Type: multipart/mixed; boundary=A

--A
Content-Type: text/plain

1
--A
Content-Type: application/octet-stream

2
--A
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=B

--B

3.1
--B
Content-Type: application/octet-stream

3.2
--B--
--A
Content-Type: multipart/mixed; boundary=C

--C
Content-Type: image/gif

4.1
--C
Content-Type: message/rfc822

Subject: four two
Content-Type: multipart/mixed; boundary=D

--D

4.2.1
--D
Content-Type: multipart/alternative; boundary=E

--E

4.2.2.1
--E
Content-Type: text/richtext

4.2.2.2
--E--
--D--
--C--
--A--
`

func TestSectionsOfRFC3501(t *testing.T) {
	b := crlf(sectionMessage)
	s := Scan(b)
	for _, c := range []struct {
		path []int
		kind SectionKind
		want string
	}{
		{[]int{1}, Body, "1"},
		{[]int{2}, Body, "2"},
		{[]int{3, 1}, Body, "3.1"},
		{[]int{3, 2}, Body, "3.2"},
		{[]int{4, 1}, Body, "4.1"},
		{[]int{4, 2, 1}, Body, "4.2.1"},
		{[]int{4, 2, 2, 1}, Body, "4.2.2.1"},
		{[]int{4, 2, 2, 2}, Body, "4.2.2.2"},
		{nil, Body, string(b)},
		{nil, Header, "Subject: top\r\nContent-Type: multipart/mixed; boundary=A\r\n\r\n"},
		{[]int{3}, Header, "Subject: three\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n"},
		{[]int{3}, Text, "--B\r\n\r\n3.1\r\n--B\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--B--"},
		{[]int{4, 1}, MIME, "Content-Type: image/gif\r\n\r\n"},
		{[]int{4, 2}, MIME, "Content-Type: message/rfc822\r\n\r\n"},
		{[]int{4, 2}, Header, "Subject: four two\r\nContent-Type: multipart/mixed; boundary=D\r\n\r\n"},
		{[]int{4, 2, 2, 2}, MIME, "Content-Type: text/richtext\r\n\r\n"},
	} {
		start, end, ok := s.Section(c.path, c.kind)
		if !ok || string(b[start:end]) != c.want {
			t.Errorf("section %v %d: %v, %q; want %q", c.path, c.kind, ok, b[start:end], c.want)
		}
	}
	for _, c := range []struct {
		path []int
		kind SectionKind
	}{
		{[]int{0}, Body},
		{[]int{5}, Body},
		{[]int{1, 1}, Body},
		{[]int{-1}, Body},
		{[]int{3, 3}, Body},
		{[]int{1}, Header},
		{[]int{4}, Text},
		{nil, MIME},
		{[]int{4, 2, 2, 2, 1}, Body},
	} {
		if start, end, ok := s.Section(c.path, c.kind); ok {
			t.Errorf("section %v %d exists: %q", c.path, c.kind, b[start:end])
		}
	}
}

func TestSectionsOfAMessageWithoutParts(t *testing.T) {
	b := crlf("Subject: x\n\nbody\n")
	s := Scan(b)
	for _, kind := range []SectionKind{Body, MIME} {
		if _, _, ok := s.Section([]int{1}, kind); !ok {
			t.Errorf("a message without parts has no section 1 of kind %d", kind)
		}
	}
	if start, end, _ := s.Section([]int{1}, Body); string(b[start:end]) != "body\r\n" {
		t.Errorf("section 1 is %q", b[start:end])
	}
	b = crlf("Content-Type: message/rfc822\n\nSubject: in\n\ninner\n")
	s = Scan(b)
	for want, path := range map[string][]int{"Subject: in\r\n\r\ninner\r\n": {1}, "inner\r\n": {1, 1}} {
		if start, end, ok := s.Section(path, Body); !ok || string(b[start:end]) != want {
			t.Errorf("section %v is %q, want %q", path, b[start:end], want)
		}
	}
}
