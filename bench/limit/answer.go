package limit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Verb is the first argument by which a program that calls Answer is asked to; the second is its database.
const Verb = "answer"

// Calls measures signed calls to an HTTP server that checks nothing and always answers the same: what the load generator,
// Go's HTTP server and the system's switching between the two reach, and thus the most that any figure of the API can be.
// With a database, as for Commits, the server answers after one durable transaction of one row: the most that an API that
// writes can be. The server is a process of its own, as ours is: program, run with Verb.
func Calls(ctx context.Context, program, database string, callers, count int, most time.Duration) (out drive.Outcome, err error) {
	c := exec.CommandContext(ctx, program, Verb, database)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	hold, err := c.StdinPipe()
	if err != nil {
		return out, err
	}
	said, err := c.StdoutPipe()
	if err != nil {
		return out, err
	}
	if err := c.Start(); err != nil {
		return out, err
	}
	defer func() {
		closeErr := hold.Close() // asks it to end
		if waitErr := c.Wait(); waitErr != nil {
			err = errors.Join(err, fmt.Errorf("%s %s: %w: %s", program, Verb, waitErr, complaint.Bytes()))
		}
		err = errors.Join(err, closeErr)
	}()
	address, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return out, fmt.Errorf("read where the server listens: %w", err)
	}
	api := drive.API{Address: strings.TrimSpace(address), KeyID: "AKIDEXAMPLE", Secret: "none", Region: "us-east-1"}
	return drive.Closed(ctx, callers, count, most, func(ctx context.Context, _ int) (drive.Worker, error) {
		c, err := drive.DialAPI(ctx, api)
		return caller{c}, err
	})
}

type caller struct{ *drive.APIConn }

func (c caller) Do(int) error {
	_, err := c.Call("DescribeUser", []byte(`{"OrganizationId":"m-d281d0a2fd824be5b6cd3d3ce909fd27","UserId":"ada"}`))
	return err
}

// Answer is the server of Calls. It says on standard output where it listens, and ends when its standard input does, so
// that it does not outlive who started it.
func Answer(ctx context.Context, database string) (err error) {
	do := func(context.Context) error { return nil }
	if database != "" {
		s, err := open(ctx, database)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.d.Close()) }()
		do = s.commit
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := do(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			_, _ = w.Write([]byte("{}")) // a client that is gone is counted on its own side
		}),
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		if e := server.Serve(l); !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	})
	_, sayErr := fmt.Println(l.Addr())
	_, waitErr := io.Copy(io.Discard, os.Stdin)
	closeErr := server.Close()
	serving.Wait()
	return errors.Join(err, sayErr, waitErr, closeErr)
}
