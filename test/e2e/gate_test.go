package e2e

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dns/dnstest"
	"github.com/pennypost/pennypost/test/harness"
)

// TestGate hands in mail by swaks as from servers of the world, through a proxy: too many connections at once, one on DNS lists, one that
// was never seen, and one that comes again. From this machine all is taken.
func TestGate(t *testing.T) {
	d := dnstest.New(t)
	d.Add(
		"66.2.0.192.bl.example. 60 IN A 127.0.0.2", `66.2.0.192.bl.example. 60 IN TXT "spam was seen from 192.0.2.66"`,
		"77.2.0.192.junk.example. 60 IN A 127.0.0.2",
	)
	metrics := harness.FreeAddress(t)
	s := harness.Start(t, harness.Options{Flags: []string{
		"--dns-resolver", d.Address, "--trusted-proxies", "127.0.0.2", "--dns-lists", "bl.example=reject,junk.example=junk",
		"--limit-address-connections", "2", "--greylisting", "true", "--metrics", metrics,
	}})
	office(t, s, "ours", "ann")
	const ann = "ann@ours.awsapps.com"
	// send hands in a message as from an address, empty for this machine; it must end with an answer.
	send := func(subject, client, says string) {
		t.Helper()
		args := []string{"--server", s.Addr("smtp"), "--helo", "mx.example", "--from", "x@theirs.example", "--to", ann, "--header", "Subject: " + subject}
		if client != "" {
			args = append(args, "--local-interface", "127.0.0.2", "--proxy-family", "TCP4", "--proxy-source", client, "--proxy-source-port", "4000",
				"--proxy-dest", "192.0.2.99", "--proxy-dest-port", "25")
		}
		if r := harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: args}); !strings.Contains(r.Stdout, says) {
			t.Errorf("%s: %s\nwant %q", subject, r, says)
		}
	}
	const taken = "<-  250 2.0.0 stored"
	// connect opens a connection from an address and returns the first line that comes.
	connect := func(client string) string {
		t.Helper()
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr("smtp"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(conn, "PROXY TCP4 %s 192.0.2.99 4000 25\r\n", client); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	for i, want := range []string{"220 ", "220 ", "421 4.7.0 "} {
		if got := connect("192.0.2.9"); !strings.HasPrefix(got, want) {
			t.Errorf("connection %d: %q, want %q", i+1, got, want)
		}
	}
	send("from this machine", "", taken)
	send("listed", "192.0.2.66", "<** 550 5.7.1 192.0.2.66 is on the list bl.example: spam was seen from 192.0.2.66")
	send("never seen", "192.0.2.77", "<** 451 4.7.1 greylisted: you were not seen here before; try again in 300 seconds")
	send("too early", "192.0.2.77", "<** 451 4.7.1 greylisted")

	resp, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	figures := map[string]bool{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		figures[lines.Text()] = true
	}
	for _, want := range []string{
		`pennypost_gate_refused_total{listener="smtp",reason="connections"} 1`, `pennypost_gate_refused_total{listener="smtp",reason="dns_list"} 1`,
		`pennypost_gate_dns_lists_total{list="junk.example",result="listed"} 1`, `pennypost_greylist_total{outcome="deferred"} 2`,
	} {
		if !figures[want] {
			t.Errorf("the metrics lack %s", want)
		}
	}
	s.Stop()
	waited(t, filepath.Join(s.Dir, "pennypost.db"))
	s.Start()
	send("comes again", "192.0.2.77", taken)
	send("known", "192.0.2.78", taken)
	imap := s.IMAP(ann, password)
	for folder, want := range map[string]string{"INBOX": "from this machine,known", "Junk E-mail": "comes again"} {
		if got := strings.Join(imap.Subjects(folder, "ALL"), ","); got != want {
			t.Errorf("%s has %s, want %s", folder, got, want)
		}
	}
}

// waited lets the five minutes pass that who is greylisted has to wait.
func waited(t *testing.T, path string) {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	err = d.Write(t.Context(), func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE greylist_waiting SET first = first - $1`, (5 * time.Minute).Microseconds())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
