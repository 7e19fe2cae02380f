// Package dnstest is a DNS server for tests: a resolver that validates, as far as they tell it to.
package dnstest

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Server answers on a loopback port, over UDP and TCP. It is safe for concurrent use.
type Server struct {
	Address string // host:port

	t       testing.TB
	mu      sync.Mutex
	records []dns.RR
	index   map[string][]dns.RR // records by name, also of the names above them; nil once records changed
	signed  []string
	broken  map[string]func(m *dns.Msg)
	asked   map[string]int
	failing int // 0: not
}

// New starts a server, which ends with the test.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{t: t, broken: map[string]func(*dns.Msg){}, asked: map[string]int{}}
	tcp, udp, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	s.Address = udp.LocalAddr().String()
	for _, server := range []*dns.Server{{PacketConn: udp}, {Listener: tcp}} {
		started, done := make(chan struct{}), make(chan error, 1)
		server.Handler, server.NotifyStartedFunc = dns.HandlerFunc(s.serve), func() { close(started) }
		go func() { done <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := errors.Join(server.Shutdown(), <-done); err != nil {
				t.Error(err)
			}
		})
	}
	return s
}

// listen finds a port that is free for both.
func listen() (tcp net.Listener, udp net.PacketConn, err error) {
	for range 20 {
		if tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			return tcp, udp, nil
		}
		err = errors.Join(err, tcp.Close())
	}
	return nil, nil, err
}

// Add adds records as zone files have them: "example.com. 60 IN MX 10 mx.example.com.".
func (s *Server) Add(records ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil || rr == nil {
			s.t.Fatalf("%q: %v", record, err)
		}
		s.records = append(s.records, rr)
	}
	s.index = nil
}

// Remove removes all records of the name and type.
func (s *Server) Remove(name string, kind uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.records[:0:0]
	for _, rr := range s.records {
		if !is(rr, name, kind) {
			kept = append(kept, rr)
		}
	}
	s.records, s.index = kept, nil
}

// Sign makes the names at and below zone secure.
func (s *Server) Sign(zone string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed = append(s.signed, dns.CanonicalName(zone))
}

// Fail lets questions for the name and type be answered with the code, Repair as usual again.
func (s *Server) Fail(name string, kind uint16, code int) {
	s.breakWith(name, kind, func(m *dns.Msg) { m.Rcode = code })
}

// Bogus lets questions for the name and type be answered as by a validating resolver that found signatures that do not hold.
func (s *Server) Bogus(name string, kind uint16) {
	s.breakWith(name, kind, func(m *dns.Msg) {
		m.Rcode = dns.RcodeServerFailure
		m.SetEdns0(1232, true)
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: dns.ExtendedErrorCodeDNSBogus})
	})
}

// FailAll lets all questions be answered with the code.
func (s *Server) FailAll(code int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = code
}

// Snapshot is what the server answers now, for Restore.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Snapshot{slices.Clone(s.records), maps.Clone(s.broken)}
}

// Snapshot is what a server answered at a time.
type Snapshot struct {
	records []dns.RR
	broken  map[string]func(m *dns.Msg)
}

// Restore undoes all changes of records and answers since.
func (s *Server) Restore(to Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.broken, s.index = slices.Clone(to.records), maps.Clone(to.broken), nil
}

// Silence lets questions for the name and type go without an answer. asked is closed when the first comes.
func (s *Server) Silence(name string, kind uint16) (asked <-chan struct{}) {
	first := make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	s.breakWith(name, kind, func(m *dns.Msg) {
		once()
		m.Response = false
	})
	return first
}

// Repair undoes Fail, Bogus and Silence.
func (s *Server) Repair(name string, kind uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.broken, key(name, kind))
}

func (s *Server) breakWith(name string, kind uint16, fn func(*dns.Msg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken[key(name, kind)] = fn
}

// Asked returns how often the name and type were asked for.
func (s *Server) Asked(name string, kind uint16) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[key(name, kind)]
}

func key(name string, kind uint16) string { return fmt.Sprint(kind, " ", dns.CanonicalName(name)) }

func is(rr dns.RR, name string, kind uint16) bool {
	return rr.Header().Rrtype == kind && dns.CanonicalName(rr.Header().Name) == dns.CanonicalName(name)
}

func (s *Server) serve(w dns.ResponseWriter, q *dns.Msg) {
	m := s.answer(q)
	if m == nil {
		return
	}
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	_ = w.WriteMsg(m) // who asked may have gone
}

func (s *Server) answer(q *dns.Msg) *dns.Msg {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	s.asked[key(name, kind)]++
	if s.failing != 0 {
		m.Rcode = s.failing
		return m
	}
	if fn := s.broken[key(name, kind)]; fn != nil {
		if fn(m); !m.Response {
			return nil
		}
		return m
	}
	opt := q.IsEdns0()
	m.AuthenticatedData = q.AuthenticatedData || opt != nil && opt.Do()
	for range 20 {
		m.AuthenticatedData = m.AuthenticatedData && s.secure(name)
		records, exists := s.at(name)
		alias := ""
		for _, rr := range records {
			if rr.Header().Rrtype == kind {
				m.Answer = append(m.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				m.Answer = append(m.Answer, rr)
				alias = dns.CanonicalName(c.Target)
			}
		}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
		if alias == "" {
			break
		}
		name = alias
	}
	return m
}

// at returns the records of a name, and whether it exists: it has some, or one below it does.
func (s *Server) at(name string) (records []dns.RR, exists bool) {
	if s.index == nil {
		s.index = map[string][]dns.RR{}
		for _, rr := range s.records {
			owner := dns.CanonicalName(rr.Header().Name)
			s.index[owner] = append(s.index[owner], rr)
			for _, at := range dns.Split(owner) {
				if above := owner[at:]; s.index[above] == nil {
					s.index[above] = nil // it exists
				}
			}
		}
	}
	records, exists = s.index[name]
	return records, exists
}

func (s *Server) secure(name string) bool {
	for _, zone := range s.signed {
		if dns.IsSubDomain(zone, name) {
			return true
		}
	}
	return false
}
