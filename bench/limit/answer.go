package limit

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pennypost/pennypost/bench/drive"
)

// Calls measures signed calls to an HTTP server that checks nothing and always answers the same: what the load
// generator and Go's HTTP server reach together, and thus the most that any figure of the API can be.
func Calls(ctx context.Context, callers, count int, most time.Duration) (out drive.Outcome, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return out, err
	}
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
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
	api := drive.API{Address: l.Addr().String(), KeyID: "AKIDEXAMPLE", Secret: "none", Region: "us-east-1"}
	out, loadErr := drive.Closed(ctx, callers, count, most, func(ctx context.Context, _ int) (drive.Worker, error) {
		c, err := drive.DialAPI(ctx, api)
		return caller{c}, err
	})
	closeErr := server.Close()
	serving.Wait()
	return out, errors.Join(loadErr, closeErr, err)
}

type caller struct{ *drive.APIConn }

func (c caller) Do(int) error {
	_, err := c.Call("DescribeUser", []byte(`{"OrganizationId":"m-d281d0a2fd824be5b6cd3d3ce909fd27","UserId":"ada"}`))
	return err
}
