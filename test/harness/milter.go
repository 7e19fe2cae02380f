package harness

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/message"
)

// Milter is a filter of others beside a mail server: Debian's OpenDKIM or OpenDMARC.
type Milter struct {
	socket string
}

// JudgeID is the authserv-id of the milters, and the one that OpenDMARC believes.
const JudgeID = "judge.example.net"

// Where Debian puts them, often not in a user's path.
const (
	openDKIMProgram  = "/usr/sbin/opendkim"
	openDMARCProgram = "/usr/sbin/opendmarc"
	publicSuffixes   = "/usr/share/publicsuffix/public_suffix_list.dat"
)

// StartOpenDKIM starts an OpenDKIM that verifies, by the DNS server at dns (host:port). It ends with the test.
func StartOpenDKIM(t testing.TB, dns string) *Milter {
	t.Helper()
	// Its resolver is unbound, which by itself asks nobody on this machine.
	return startMilter(t, openDKIMProgram, map[string]string{
		"unbound.conf": "server:\n do-not-query-localhost: no\n module-config: \"iterator\"\n do-ip6: no\n" +
			"forward-zone:\n name: \".\"\n forward-addr: " + strings.Replace(dns, ":", "@", 1) + "\n",
	}, "Mode v", "AlwaysAddARHeader yes", "ResolverConfiguration @DIR@/unbound.conf")
}

// StartOpenDMARC starts an OpenDMARC that believes the results of SPF and DKIM that a message has of JudgeID. It asks no DNS: records are
// the TXT records that there are, by name. It ends with the test.
func StartOpenDMARC(t testing.TB, records map[string]string) *Milter {
	t.Helper()
	var lines strings.Builder
	for name, text := range records {
		fmt.Fprintf(&lines, "%s %s\n", name, text)
	}
	return startMilter(t, openDMARCProgram, map[string]string{"records": lines.String()},
		"TestDNSData @DIR@/records", "PublicSuffixList "+publicSuffixes, "SPFSelfValidate no")
}

func startMilter(t testing.TB, program string, files map[string]string, conf ...string) *Milter {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%s is missing: run scripts/setup-test (make test does)", program)
	}
	dir, err := os.MkdirTemp("", "milter") // a socket lies in it, whose path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m := &Milter{socket: filepath.Join(dir, "socket")}
	conf = append(conf, "AuthservID "+JudgeID, "Socket local:"+m.socket, "Background no", "Syslog no")
	files["conf"] = strings.ReplaceAll(strings.Join(conf, "\n")+"\n", "@DIR@", dir)
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd, said := exec.Command(program, "-f", "-c", filepath.Join(dir, "conf")), &buffer{}
	if program == openDKIMProgram {
		cmd.Args[2] = "-x"
	}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("%s says: %s", program, said)
		}
	})
	Eventually(t, program+" listens", func() bool {
		conn, err := net.Dial("unix", m.socket)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	return m
}

// Results lets the milter see a message, and returns the values of the fields Authentication-Results that it adds, each on one line. It may
// be used by several goroutines.
func (m *Milter) Results(c Case) (values []string, err error) {
	conn, err := net.Dial("unix", m.socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(runTime)); err != nil {
		return nil, err
	}
	return (&milterConn{conn}).see(c)
}

// milterConn speaks the mail server's side of the protocol of Sendmail's libmilter, version 6: packets of a length, a command and data.
type milterConn struct{ net.Conn }

func (c *milterConn) see(m Case) (values []string, err error) {
	// All changes are let to it, no step is left out, and values of fields keep the space in front.
	if err = c.send('O', be32(6), be32(0x1ff), be32(0x100000)); err == nil {
		_, _, err = c.receive()
	}
	family := "4"
	if a, err := netip.ParseAddr(m.Address); err == nil && a.Is6() {
		family = "6"
	}
	decided := false // before it saw the whole message
	say := func(command byte, data ...string) {
		if err != nil || decided {
			return
		}
		if err = c.send(command, data...); err != nil {
			return
		}
		answer, text, failure := c.receive()
		switch err = failure; {
		case err != nil:
		case strings.IndexByte(decisions, answer) >= 0:
			decided = true
		case answer != 'c':
			err = fmt.Errorf("it answers %c %q", answer, text)
		}
	}
	say('C', m.Hello+"\x00"+family, "\x00\x19", m.Address+"\x00")
	say('H', m.Hello+"\x00")
	say('M', "<"+m.Sender+">\x00")
	say('R', "<bob@example.net>\x00")
	end := message.HeaderEnd(m.Message)
	for f := range message.Fields(m.Message[:end]) {
		say('L', string(f.Name)+"\x00", strings.ReplaceAll(strings.TrimSuffix(string(f.Raw), "\r\n"), "\r\n", "\n")+"\x00")
	}
	say('N')
	body := m.Message[end:]
	if len(body) > 0 && !bytes.HasSuffix(body, []byte("\r\n")) { // which SMTP can't bring
		body = append(bytes.Clone(body), "\r\n"...)
	}
	for len(body) > 0 {
		n := min(len(body), 60_000)
		say('B', string(body[:n]))
		body = body[n:]
	}
	if err == nil && !decided {
		err = c.send('E')
	}
	for err == nil && !decided {
		command, data, failure := c.receive()
		switch err = failure; {
		case err != nil:
		case command == 'i': // insert a field at an index
			name, value, _ := strings.Cut(data[4:], "\x00")
			if strings.EqualFold(name, "Authentication-Results") {
				values = append(values, strings.Join(strings.Fields(strings.TrimSuffix(value, "\x00")), " "))
			}
		case command == 'c' || strings.IndexByte(decisions, command) >= 0:
			decided = true
		}
	}
	return values, err
}

// decisions end a message: accept, reject, put off, drop.
const decisions = "artd"

func (c *milterConn) send(command byte, data ...string) error {
	text := string(command) + strings.Join(data, "")
	_, err := c.Write([]byte(be32(uint32(len(text))) + text))
	return err
}

func (c *milterConn) receive() (command byte, data string, err error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, "", err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > 1<<20 {
		return 0, "", errors.New("a packet of a strange length")
	}
	packet := make([]byte, n)
	if _, err := io.ReadFull(c, packet); err != nil {
		return 0, "", err
	}
	return packet[0], string(packet[1:]), nil
}

func be32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
