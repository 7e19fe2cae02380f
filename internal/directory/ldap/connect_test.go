package ldap

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// peer is a connection that says what it was given.
type peer struct {
	net.Conn
	said io.Reader
}

func (p peer) Read(b []byte) (int, error) { return p.said.Read(b) }

// FuzzBounded holds that whatever a directory sends, the library is not handed the beginning of a message that claims more than
// messageLimit, and that messages within it pass as they are.
func FuzzBounded(f *testing.F) {
	f.Add([]byte(startTLS), 3)
	f.Add([]byte("\x30\x84\x7f\xff\xff\xff\x02\x01\x01"), 1)
	f.Add([]byte("\x30\x80\x02\x01\x01\x00\x00"), 2)
	f.Add([]byte("\x30\x85\x00\x00\x00\x00\x01\x05"), 7)
	f.Fuzz(func(t *testing.T, said []byte, step int) {
		read := bytes.Buffer{}
		b := &bounded{Conn: peer{said: bytes.NewReader(said)}}
		part := make([]byte, 1+step&0xff)
		var err error
		for err == nil {
			var n int
			n, err = b.Read(part)
			read.Write(part[:n])
		}
		if !bytes.HasPrefix(said, read.Bytes()) {
			t.Fatalf("%x became %x", said, read.Bytes())
		}
		if err == io.EOF && read.Len() != len(said) {
			t.Fatalf("%d of %d bytes were read", read.Len(), len(said))
		}
		for rest := bytes.NewReader(read.Bytes()); err == io.EOF; { // all lengths were small enough: so the library finds them
			packet, readErr := ber.ReadPacket(rest)
			if readErr != nil {
				return
			}
			if len(packet.Bytes()) > messageLimit+6 {
				t.Fatalf("a message of %d bytes", len(packet.Bytes()))
			}
		}
	})
}

// TestBoundedRefusesLongMessages in however small parts they come.
func TestBoundedRefusesLongMessages(t *testing.T) {
	for _, said := range []string{"\x30\x84\x7f\xff\xff\xff", "\x30\x80", "\x30\x85\x00\x00\x00\x00\x01", "\x30\x01x\x30\x84\x04\x00\x00\x01"} {
		_, err := io.Copy(io.Discard, &bounded{Conn: peer{said: io.MultiReader(bytes.NewReader([]byte(said[:1])), bytes.NewReader([]byte(said[1:])))}})
		if !errors.Is(err, errMessage) {
			t.Errorf("%x: %v", said, err)
		}
	}
}

// TestASilentDirectory accepts connections, or goes on to TLS, and then says nothing.
func TestASilentDirectory(t *testing.T) {
	schema, err := Preset("rfc")
	if err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"ldap://127.0.0.1", "ldaps://127.0.0.1"} {
		var ends []net.Conn
		d, err := New(Config{
			URL: url, Base: "dc=x", BindDN: "cn=x", BindPassword: "x", Schema: schema, Timeout: 50 * time.Millisecond,
			TLS: &tls.Config{MinVersion: tls.VersionTLS12},
			Dial: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				ends = append(ends, theirs)
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				return ours, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * poolSize { // none is left behind in the pool
			if err := d.Probe(t.Context()); !fault.Is(err, fault.DirectoryDown, fault.Directory) {
				t.Fatalf("%s: %v", url, err)
			}
		}
		if _, err := d.Changes(t.Context(), "", nil); !fault.Is(err, fault.DirectoryDown, fault.Directory) {
			t.Errorf("%s: %v", url, err)
		}
		for _, end := range ends {
			_ = end.Close()
		}
	}
}

// TestIDs holds that only the text of a UUID becomes part of a filter.
func TestIDs(t *testing.T) {
	const id = "00112233-4455-6677-8899-aabbccddeeff"
	rfc, _ := Preset("rfc")
	ad, _ := Preset("ad")
	if f, ok := rfc.idFilter(id); !ok || f != "(entryUUID="+id+")" {
		t.Errorf("%s, %v", f, ok)
	}
	if f, ok := ad.idFilter(id); !ok || f != `(objectGUID=\33\22\11\00\55\44\77\66\88\99\aa\bb\cc\dd\ee\ff)` {
		t.Errorf("%s, %v", f, ok)
	}
	raw, _ := uuidBytes(id)
	swapGUID(raw)
	if text, ok := guidText(raw); !ok || text != id {
		t.Errorf("%s, %v", text, ok)
	}
	for _, bad := range []directory.EntityID{"", "*", "r-00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddee*)", "00112233-4455-6677-8899-AABBCCDDEEFF", "0011223-34455-6677-8899-aabbccddeeff"} {
		if f, ok := rfc.idFilter(bad); ok {
			t.Errorf("%q became %s", bad, f)
		}
	}
}

// TestSIDs holds that a primary group is named in its domain, and that nothing else is taken for a security identifier.
func TestSIDs(t *testing.T) {
	raw := []byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 255, 255, 255, 255, 0x50, 4, 0, 0} // 1104 is ann
	if got, want := sidText(raw), "S-1-5-21-1-256-4294967295-1104"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	entry := func(sid []byte, group string) *ldap.Entry {
		return &ldap.Entry{Attributes: []*ldap.EntryAttribute{
			{Name: "objectSID", ByteValues: [][]byte{sid}}, {Name: "primarygroupid", Values: []string{group}},
		}}
	}
	for group, want := range map[string]string{"513": "S-1-5-21-1-256-4294967295-513", "": "", "-1": "", "4294967296": "", "x": ""} {
		if got := primaryGroup(entry(raw, group)); got != want {
			t.Errorf("%q: %s, want %q", group, got, want)
		}
	}
	for _, bad := range [][]byte{nil, raw[:7], raw[:27], append([]byte{2}, raw[1:]...), {1, 0, 0, 0, 0, 0, 0, 5}, append(raw, 0)} {
		if got := primaryGroup(entry(bad, "513")); got != "" {
			t.Errorf("%x: %s", bad, got)
		}
	}
}

// TestPlaces holds that spellings of one distinguished name are one place.
func TestPlaces(t *testing.T) {
	for _, same := range [][2]string{
		{"uid=ann,ou=people,dc=x", "UID=Ann, OU=People,DC=X"},
		{"cn=a+uid=b,dc=x", "uid=b+cn=A,dc=x"},
		{`cn=a\,b,dc=x`, `cn=a\2cb,dc=x`},
	} {
		if place(same[0]) != place(same[1]) {
			t.Errorf("%q and %q are two places", same[0], same[1])
		}
	}
	if place("uid=ann,dc=x") == place("uid=ann,dc=y") || place(`cn=a\,dc=x`) == place("cn=a,dc=x") {
		t.Error("two names are one place")
	}
}
