// Package leash runs servers for tests that must not outlive them: a database, an S3 server. A server on a leash is killed when
// its leash is closed, and the kernel closes it when the test process ends, however it ends.
package leash

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// script runs its arguments as a program, waits until its standard input ends, and kills the program.
const script = `"$0" "$@" & pid=$!
cat >/dev/null
kill -$LEASH_SIGNAL $pid 2>/dev/null; wait $pid
`

// Leash holds a running server. It must stay reachable for as long as the server is needed: a forgotten pipe is closed.
type Leash struct {
	stdin io.Closer
	cmd   *exec.Cmd
}

// Start starts cmd on a leash. In the end it gets the signal, such as "KILL"; after that the shell command cleanup is run, if it
// is not empty, with the environment of cmd.
func Start(cmd *exec.Cmd, signal, cleanup string) (*Leash, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	cmd.Env = append(cmd.Environ(), "LEASH_SIGNAL="+signal)
	cmd.Args = append([]string{"sh", "-c", strings.TrimSpace(script + cleanup), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, stdin.Close())
	}
	return &Leash{stdin, cmd}, nil
}

// Close kills the server and waits until its cleanup is done.
func (l *Leash) Close() error {
	if err := l.stdin.Close(); err != nil {
		return err
	}
	err := l.cmd.Wait()
	if _, killed := errors.AsType[*exec.ExitError](err); killed {
		return nil // as asked
	}
	return err
}

// FreePort is a port of loopback on which nobody listens, for a server that must be told one. It is none of those that a system gives to who
// asks for any, which another test's server or connection could get first, and nobody else gets it from here while this process lives, even
// while its server is down.
func FreePort() (port int, err error) {
	for range 100 {
		port = 10_000 + rand.IntN(20_000)
		if err = reserve(port); err != nil {
			continue
		}
		var tcp net.Listener
		if tcp, err = net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err != nil {
			continue
		}
		var udp net.PacketConn
		if udp, err = net.ListenPacket("udp", tcp.Addr().String()); err == nil {
			err = udp.Close()
		}
		if err = errors.Join(err, tcp.Close()); err == nil {
			return port, nil
		}
	}
	return 0, err
}

// reserve takes the port for this process, or says that one has it. The mark is a socket in Linux's abstract name space: each network has its
// own, as it has its own ports, and the kernel takes it away when the process ends, however it ends.
func reserve(port int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("reserving port %d: %w", port, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprint("@pennypost-test-port-", port)}); err != nil {
		return fmt.Errorf("reserving port %d: %w", port, errors.Join(err, unix.Close(fd)))
	}
	return nil // fd stays open until the end
}
