package server

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/principal"
)

// TestSilentDNSHoldsUpNobody makes an organisation while more domains than handlers wait for a DNS server that never answers.
func TestSilentDNSHoldsUpNobody(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if err := silent.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, settings(t, t.TempDir(), "dns-resolver", silent.LocalAddr().String()), Options{})
	admin := principal.TheSystem("test")
	changes := make(chan string, 100)
	s.core.feed.Watch("organization", func(id string) { changes <- id })
	create := func(r organization.Request) directory.OrgID {
		t.Helper()
		id, err := s.core.organizations.Create(t.Context(), admin, r)
		if err != nil {
			t.Fatal(err)
		}
		for late := time.After(time.Minute); ; {
			o, err := s.core.directory.DescribeOrganization(t.Context(), admin, id)
			if err != nil {
				t.Fatal(err)
			}
			if o.State == directory.OrgActive {
				return id
			}
			select {
			case <-changes:
			case <-late:
				t.Fatalf("organization %s is still %s", r.Alias, o.State)
			}
		}
	}
	one := create(organization.Request{Alias: "one"})
	for n := range 40 { // ten seconds each, four at a time: whoever must wait for them is not done within the minute
		if err := s.core.directory.RegisterDomain(t.Context(), admin, one, fmt.Sprintf("d%d.example", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := silent.ReadFrom(make([]byte, 512)); err != nil { // a look-up has begun
		t.Fatal(err)
	}
	create(organization.Request{Alias: "two"})
}
