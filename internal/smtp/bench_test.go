package smtp

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/internal/transport/transporttest"
)

// BenchmarkDeliver measures whole deliveries, from MAIL to the last 250, over the real core on SQLite with its syncs; told ones have
// their events sent to a log group, checked ones their authenticity looked at.
func BenchmarkDeliver(b *testing.B) {
	for _, clients := range []int{1, 16} {
		for _, size := range []int{4 << 10, 64 << 10} {
			b.Run(fmt.Sprintf("c%d-%dk", clients, size>>10), func(b *testing.B) { benchmarkDeliver(b, transporttest.OnSQLite(b), clients, size) })
		}
		b.Run(fmt.Sprintf("c%d-4k-checked", clients), func(b *testing.B) {
			w := transporttest.OnSQLite(b)
			w.Transport.Auth = mailauth.New(mailauth.Options{Resolver: dns.New("127.0.0.1:1"), Clock: clock.System{}}) // nobody is asked of mail from here
			benchmarkDeliver(b, w, clients, 4<<10)
		})
		b.Run(fmt.Sprintf("c%d-4k-told", clients), func(b *testing.B) {
			w := transporttest.OnSQLite(b)
			told := audit.New(w.DB, clock.System{}, audit.Config{
				Linger: 250 * time.Millisecond, Groups: map[string]audit.Group{transporttest.LogGroup: {Sink: nowhere{}}},
			})
			w.Transport.Audit = told
			w.Write(func(ctx context.Context, tx *db.Tx) error {
				return w.Policy.PutMonitoringTx(ctx, tx, w.Acme, policy.Monitoring{LogGroup: transporttest.LogGroup})
			})
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- told.Run(ctx) }()
			benchmarkDeliver(b, w, clients, 4<<10)
			cancel()
			w.Must(<-ended)
			if g := told.Groups()[0]; g.Sent+g.Waiting == 0 || g.Lost > 0 {
				b.Errorf("the log group is %+v", g)
			}
		})
	}
}

// nowhere takes every record.
type nowhere struct{}

// Send does nothing.
func (nowhere) Send(context.Context, []audit.LogRecord) error { return nil }

func benchmarkDeliver(b *testing.B, w *transporttest.World, clients, size int) {
	for i := range clients {
		w.SetQuota(w.User(fmt.Sprintf("user%d", i)), 1<<40)
	}
	srv := New(Config{Hostname: "mail.test", Begin: Over(w.Transport), Clock: w.Clock, Log: slog.New(slog.DiscardHandler), Limits: Limits{Messages: 1 << 30}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l, false) }()
	body := "From: a@b.test\r\nSubject: benchmark\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", size/72) + ".\r\n"
	work := make(chan struct{})
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			if err := deliverAll(l.Addr().String(), fmt.Sprintf("user%d@acme.awsapps.com", i), body, work); err != nil {
				b.Error(err)
				for range work { // so that nobody waits for this one
				}
			}
		})
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
	if err := srv.Shutdown(b.Context()); err != nil {
		b.Error(err)
	}
	if err := <-served; err != nil {
		b.Error(err)
	}
}

// deliverAll delivers a message for each thing that comes out of work.
func deliverAll(addr, to, body string, work <-chan struct{}) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	expect := func(code string) error {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return err
			}
			if !strings.HasPrefix(line, code) {
				return fmt.Errorf("the server said %q, wanted %s", line, code)
			}
			if line[3] == ' ' {
				return nil
			}
		}
	}
	exchange := func(send string, codes ...string) error {
		if _, err := io.WriteString(conn, send); err != nil {
			return err
		}
		for _, code := range codes {
			if err := expect(code); err != nil {
				return err
			}
		}
		return nil
	}
	if err := exchange("EHLO bench.test\r\n", "220", "250"); err != nil {
		return err
	}
	for range work {
		if err := exchange("MAIL FROM:<a@b.test>\r\nRCPT TO:<"+to+">\r\nDATA\r\n", "250", "250", "354"); err != nil {
			return err
		}
		if err := exchange(body, "250"); err != nil {
			return err
		}
	}
	return nil
}
