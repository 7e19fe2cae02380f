package drive

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Delivery is a connection that hands in messages by SMTP or LMTP. Not safe for concurrent use.
type Delivery struct {
	c    *conn
	lmtp bool
	from string // the reverse-path
	out  []byte
}

// Sender is whose messages are handed in, unless something else is said.
const Sender = "sender@elsewhere.example"

// DialDelivery connects in the clear and greets; nothing secret is sent. The server must offer PIPELINING.
func DialDelivery(ctx context.Context, address string, lmtp bool) (*Delivery, error) {
	c, err := dial(ctx, address, nil, 4096)
	if err != nil {
		return nil, err
	}
	d := &Delivery{c: c, lmtp: lmtp, from: Sender}
	if err := d.greet(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return d, nil
}

// clients is how many connections come from one address: servers limit that.
const clients = 40

// DialSubmission connects over TLS as the n-th client and signs in as the sender, unless the password is empty.
func DialSubmission(ctx context.Context, n int, address string, config *tls.Config, from, password string) (*Delivery, error) {
	c, err := dialFrom(ctx, net.IPv4(127, 0, 0, byte(2+n/clients)), address, config, 4096)
	if err != nil {
		return nil, err
	}
	d := &Delivery{c: c, from: from}
	if err = d.greet(); err == nil && password != "" {
		secret := base64.StdEncoding.EncodeToString([]byte("\x00" + from + "\x00" + password))
		if err = c.send([]byte("AUTH PLAIN " + secret + "\r\n")); err == nil {
			_, err = d.expect('2')
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return d, nil
}

func (d *Delivery) greet() error {
	if err := d.c.begin(); err != nil {
		return err
	}
	if _, err := d.expect('2'); err != nil {
		return err
	}
	hello := "EHLO bench.example\r\n"
	if d.lmtp {
		hello = "LHLO bench.example\r\n"
	}
	if err := d.c.send([]byte(hello)); err != nil {
		return err
	}
	offered, err := d.expect('2')
	if err == nil && !strings.Contains(strings.ToUpper(offered), "PIPELINING") {
		return fmt.Errorf("no PIPELINING among %q", offered)
	}
	return err
}

// Deliver hands in one message for one recipient and returns when the server has taken it. The message has CRLF line
// ends, ends in one, and has no line that begins with a dot.
func (d *Delivery) Deliver(recipient string, message []byte) error {
	if err := d.c.begin(); err != nil {
		return err
	}
	d.out = append(append(append(d.out[:0], "MAIL FROM:<"...), d.from...), ">\r\nRCPT TO:<"...)
	d.out = append(d.out, recipient...)
	d.out = append(d.out, ">\r\nDATA\r\n"...)
	if err := d.c.send(d.out); err != nil {
		return err
	}
	_, mailErr := d.expect('2')
	_, rcptErr := d.expect('2')
	_, dataErr := d.expect('3')
	if err := errors.Join(mailErr, rcptErr, dataErr); err != nil {
		if dataErr == nil { // it waits for a message now, which would have no recipient
			return broken(err)
		}
		return err
	}
	d.out = append(append(d.out[:0], message...), ".\r\n"...)
	if err := d.c.send(d.out); err != nil {
		return err
	}
	_, err := d.expect('2')
	return err
}

// expect reads one reply, of all its lines, and wants it to begin with class.
func (d *Delivery) expect(class byte) (string, error) {
	var reply []byte
	for {
		line, _, err := d.c.line()
		if err != nil {
			return "", err
		}
		if len(line) < 3 {
			return "", broken(fmt.Errorf("no reply code in %q", line))
		}
		reply = append(append(reply, line...), '\n')
		if len(line) == 3 || line[3] != '-' {
			break
		}
	}
	if reply[0] != class {
		return "", refused(string(bytes.TrimSpace(reply)))
	}
	return string(reply), nil
}

// Close says goodbye, so that the server does not log a lost connection, and hangs up.
func (d *Delivery) Close() error {
	err := d.c.begin()
	if err == nil {
		if err = d.c.send([]byte("QUIT\r\n")); err == nil {
			_, err = d.expect('2')
		}
	}
	return errors.Join(err, d.c.Conn.Close())
}
