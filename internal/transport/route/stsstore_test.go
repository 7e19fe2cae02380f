package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/pennypost/pennypost/internal/db"
)

// publish makes a domain with one host, a record of MTA-STS, and a policy.
func (f *fixture) publish(domain, id, policy string) {
	f.t.Helper()
	f.dns.Remove("_mta-sts."+domain+".", mdns.TypeTXT)
	f.dns.Remove(domain+".", mdns.TypeMX)
	f.dns.Remove("mta-sts."+domain+".", mdns.TypeA)
	f.dns.Add(domain+". 60 IN MX 10 mx."+domain+".", "mx."+domain+". 60 IN A 192.0.2.1", "mta-sts."+domain+". 60 IN A 127.0.0.1",
		`_mta-sts.`+domain+`. 60 IN TXT "v=STSv1; id=`+id+`;"`)
	f.serve(domain, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, policy)
	})
}

func (f *fixture) serve(domain string, h http.HandlerFunc) {
	f.web.mu.Lock()
	defer f.web.mu.Unlock()
	f.web.serve["mta-sts."+domain] = h
}

// fetches returns how often a policy was fetched since it was last asked.
func (f *fixture) fetches(domain string) int {
	f.web.mu.Lock()
	defer f.web.mu.Unlock()
	n := f.web.fetched["mta-sts."+domain]
	delete(f.web.fetched, "mta-sts."+domain)
	return n
}

// want checks what the policy makes of the domain's only host, and how often it was fetched for that.
func (f *fixture) want(domain string, level Level, source string, fetches int) {
	f.t.Helper()
	got := f.host(domain).TLS
	if got.Level != level || got.Source != source {
		f.t.Errorf("%s: level %d by %q, want %d by %q", domain, got.Level, got.Source, level, source)
	}
	if n := f.fetches(domain); n != fetches {
		f.t.Errorf("%s: fetched %d times, want %d", domain, n, fetches)
	}
}

func policyOf(mode, mx string, age int) string {
	return fmt.Sprintf("version: STSv1\nmode: %s\nmx: %s\nmax_age: %d\n", mode, mx, age)
}

const week = 7 * 24 * 3600

func TestSTS(t *testing.T) {
	onBoth(t, func(f *fixture) {
		f.publish("enforce.example", "1", policyOf("enforce", "*.enforce.example", week))
		f.want("enforce.example", Verified, "MTA-STS", 1)
		f.want("enforce.example", Verified, "MTA-STS", 0)
		got := f.host("enforce.example").TLS
		if len(got.Names) != 1 || got.Names[0] != "mx.enforce.example" || got.Records != nil || got.Policy.Type != PolicySTS ||
			got.Policy.Domain != "enforce.example" || len(got.Policy.Strings) != 4 || len(got.Policy.MX) != 1 {
			f.t.Errorf("%+v", got)
		}
		f.publish("testing.example", "1", policyOf("testing", "mx.testing.example", week))
		f.want("testing.example", Opportunistic, "MTA-STS", 1)
		f.publish("none.example", "1", policyOf("none", "mx.none.example", week))
		f.want("none.example", Opportunistic, "", 1)
		f.want("none.example", Opportunistic, "", 0)
		f.wantReported()

		// Hosts that the policy does not name.
		f.publish("skip.example", "1", policyOf("enforce", "good.skip.example", week))
		f.wantError("skip.example", "4.7.5")
		f.wantReported(ValidationFailure)
		f.dns.Add("skip.example. 60 IN MX 20 good.skip.example.", "good.skip.example. 60 IN A 192.0.2.1")
		if h := f.host("skip.example"); h.Name != "good.skip.example" || h.TLS.Level != Verified {
			f.t.Errorf("%+v", h)
		}
		f.reported()
		f.publish("lax.example", "1", policyOf("testing", "good.lax.example", week))
		f.want("lax.example", Opportunistic, "", 1)
		f.wantReported(ValidationFailure)

		// DANE comes first, and a host under it need not be in the policy.
		f.dns.Sign("both.example.")
		f.publish("both.example", "1", policyOf("enforce", "good.both.example", week))
		f.dns.Add("_25._tcp.mx.both.example. 60 IN TLSA " + usable)
		f.want("both.example", Verified, "DANE", 1)
		f.wantReported()
	})
}

func TestAnSTSPolicyIsKept(t *testing.T) {
	onBoth(t, func(f *fixture) {
		const domain = "kept.example"
		f.publish(domain, "1", policyOf("enforce", "mx.kept.example", week))
		f.want(domain, Verified, "MTA-STS", 1)
		// What blocks the record or the policy does not undo it.
		f.dns.Remove("_mta-sts.kept.example.", mdns.TypeTXT)
		f.want(domain, Verified, "MTA-STS", 0)
		f.dns.Fail("_mta-sts.kept.example.", mdns.TypeTXT, mdns.RcodeServerFailure)
		f.want(domain, Verified, "MTA-STS", 0)
		f.dns.Repair("_mta-sts.kept.example.", mdns.TypeTXT)
		f.publish(domain, "2", "nonsense")
		f.clock.Advance(retry)
		f.want(domain, Verified, "MTA-STS", 1)
		f.wantReported(STSPolicyInvalid)
		f.want(domain, Verified, "MTA-STS", 0) // not again at once
		f.clock.Advance(retry)
		f.want(domain, Verified, "MTA-STS", 1)
		f.reported()
		// A new policy counts as soon as its id is seen.
		f.clock.Advance(retry)
		f.publish(domain, "3", policyOf("testing", "mx.kept.example", week))
		f.want(domain, Opportunistic, "MTA-STS", 1)
		f.want(domain, Opportunistic, "MTA-STS", 0)
		// When it has expired it holds no longer.
		f.dns.Remove("_mta-sts.kept.example.", mdns.TypeTXT)
		f.clock.Advance(week * time.Second)
		f.want(domain, Opportunistic, "", 0)
	})
}

func TestAnSTSPolicyThatIsNotToBeHad(t *testing.T) {
	onBoth(t, func(f *fixture) {
		good := policyOf("enforce", "mx.x.example", week)
		for domain, c := range map[string]struct {
			serve http.HandlerFunc
			want  Result
		}{
			"missing.example":  {http.NotFound, STSPolicyFetchError},
			"redirect.example": {http.RedirectHandler("https://mta-sts.other.example/.well-known/mta-sts.txt", http.StatusFound).ServeHTTP, STSPolicyFetchError},
			"html.example": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, good)
			}, STSPolicyInvalid},
			"large.example": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, good+strings.Repeat("x: y\n", maxPolicy/5))
			}, STSPolicyInvalid},
			"cut.example": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				w.Header().Set("Content-Length", "10000")
				_, _ = io.WriteString(w, good)
			}, STSPolicyFetchError},
			"stranger.example": {func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				_, _ = io.WriteString(w, good)
			}, STSWebPKIInvalid},
		} {
			f.publish(domain, "1", "")
			f.serve(domain, c.serve)
			level := f.host(domain).TLS
			if level.Level != Opportunistic || level.Source != "" {
				f.t.Errorf("%s: %+v", domain, level)
			}
			f.wantReported(c.want)
			f.want(domain, Opportunistic, "", map[bool]int{true: 0, false: 1}[domain == "stranger.example"])
			f.wantReported()
		}
		// A host inside the server's own network is not asked.
		f.publish("inside.example", "1", good)
		f.dns.Remove("mta-sts.inside.example.", mdns.TypeA)
		f.dns.Add("mta-sts.inside.example. 60 IN A 10.0.0.1")
		f.want("inside.example", Opportunistic, "", 0)
		if s := f.sessions[0]; strings.Contains(s.Info, "10.0.0.1") || s.Info == "" {
			f.t.Errorf("strangers hear of our network: %+v", s)
		}
		f.wantReported(STSPolicyFetchError)
	})
}

func TestSTSPoliciesAreRefreshed(t *testing.T) {
	onBoth(t, func(f *fixture) {
		for _, domain := range []string{"a.example", "b.example", "short.example"} {
			age := 10 * week
			if domain == "short.example" {
				age = 3600
			}
			f.publish(domain, "1", policyOf("enforce", "mx."+domain, age))
			f.want(domain, Verified, "MTA-STS", 1)
		}
		tend := func(a, b, short int) {
			f.t.Helper()
			if err := f.tend(f.t.Context()); err != nil {
				f.t.Fatal(err)
			}
			if x, y, z := f.fetches("a.example"), f.fetches("b.example"), f.fetches("short.example"); x != a || y != b || z != short {
				f.t.Errorf("fetched %d, %d and %d times, want %d, %d and %d", x, y, z, a, b, short)
			}
		}
		tend(0, 0, 0)
		f.clock.Advance(30 * time.Minute)
		tend(0, 0, 1)
		// Without its record a policy is refreshed all the same.
		f.dns.Remove("_mta-sts.a.example.", mdns.TypeTXT)
		f.serve("b.example", http.NotFound)
		f.clock.Advance(refresh)
		tend(1, 1, 0) // the short one has expired
		f.wantReported(STSPolicyFetchError)
		f.clock.Advance(retryUnasked)
		tend(0, 1, 0)
		if n := f.rows(); n != 2 {
			f.t.Errorf("%d rows, want the expired one gone", n)
		}
		// Mail to a.example keeps its policy fresh; b.example's is left to expire.
		f.clock.Advance(unused - 2*refresh)
		f.want("a.example", Verified, "MTA-STS", 0)
		f.clock.Advance(2 * refresh)
		tend(1, 0, 0)
		if err := f.tend(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
		f.clock.Advance(12 * week * time.Second)
		tend(0, 0, 0)
		if n := f.rows(); n != 0 {
			f.t.Errorf("%d rows are left", n)
		}
	})
}

func (f *fixture) rows() (n int) {
	f.t.Helper()
	err := f.DB.Read(f.t.Context(), func(ctx context.Context, tx *db.Tx) error {
		return tx.QueryRow(ctx, `SELECT COUNT(*) FROM mta_sts_policy`).Scan(&n)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

func TestRunEnds(t *testing.T) {
	f := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestManyAskForAPolicyAtOnce(t *testing.T) {
	f := onSQLite(t)
	f.publish("busy.example", "1", policyOf("enforce", "mx.busy.example", week))
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if hosts, err := f.Hosts(t.Context(), "busy.example"); err != nil || len(hosts) != 1 || hosts[0].TLS.Level != Verified {
				t.Errorf("%+v, %v", hosts, err)
			}
		})
	}
	all.Wait()
	if n := f.fetches("busy.example"); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestAnEndedFetchIsNoFailure(t *testing.T) {
	f := onSQLite(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.publish("slow.example", "1", "")
	f.serve("slow.example", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := f.Hosts(ctx, "slow.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	f.wantReported()
	if n := f.rows(); n != 0 {
		t.Errorf("%d rows", n)
	}
}
