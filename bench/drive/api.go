package drive

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// API is where the WorkMail API is called, and as whom.
type API struct {
	Address string // host:port, plain HTTP
	KeyID   string
	Secret  string
	Region  string
}

// APIConn is one keep-alive connection whose calls are signed (Signature Version 4). Not safe for concurrent use.
//
// It does what an SDK does for each call and nothing beside: the key of the day is derived once, and the request is
// written into one buffer.
type APIConn struct {
	c   *conn
	api API
	out []byte
	day string
	mac hash.Hash // keyed with the day's signing key
}

// DialAPI connects.
func DialAPI(ctx context.Context, api API) (*APIConn, error) {
	c, err := dial(ctx, api.Address, nil, 64<<10)
	if err != nil {
		return nil, err
	}
	return &APIConn{c: c, api: api}, nil
}

// Call makes one call of operation with a JSON body, and gives back the body of the answer. Any status but 200 is an error.
func (a *APIConn) Call(operation string, body []byte) ([]byte, error) {
	if err := a.c.begin(); err != nil {
		return nil, err
	}
	a.request(operation, body, time.Now().UTC())
	if err := a.c.send(a.out); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(a.c.r, nil)
	if err != nil {
		return nil, broken(err)
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, broken(err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(fmt.Sprintf("%s: %s %s", operation, response.Status, answer))
	}
	if response.Close {
		return nil, broken(errors.New("the server ended the connection after an answer"))
	}
	return answer, nil
}

// Make makes a call with a value as JSON and reads the answer into out, which may be nil.
func (a *APIConn) Make(operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := a.Call(operation, body)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// Close hangs up.
func (a *APIConn) Close() error { return a.c.Conn.Close() }

const service = "workmail"

var canonicalHead = []byte("POST\n/\n\n")

// request writes a signed request into a.out. The body's hash is signed as the last line of the canonical request.
func (a *APIConn) request(operation string, body []byte, now time.Time) {
	stamp := now.Format("20060102T150405Z")
	day := stamp[:8]
	scope := day + "/" + a.api.Region + "/" + service + "/aws4_request"
	if a.day != day {
		key := []byte("AWS4" + a.api.Secret)
		for _, part := range []string{day, a.api.Region, service, "aws4_request"} {
			h := hmac.New(sha256.New, key)
			h.Write([]byte(part))
			key = h.Sum(nil)
		}
		a.day, a.mac = day, hmac.New(sha256.New, key)
	}
	const signed = "content-length;content-type;host;x-amz-date;x-amz-target"
	bodyHash := sha256.Sum256(body)

	b := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(b)
	b.Reset()
	b.Write(canonicalHead)
	fmt.Fprintf(b, "content-length:%d\ncontent-type:application/x-amz-json-1.1\nhost:%s\nx-amz-date:%s\nx-amz-target:WorkMailService.%s\n\n%s\n%x",
		len(body), a.api.Address, stamp, operation, signed, bodyHash)
	canonical := sha256.Sum256(b.Bytes())
	b.Reset()
	fmt.Fprintf(b, "AWS4-HMAC-SHA256\n%s\n%s\n%x", stamp, scope, canonical)
	a.mac.Reset()
	a.mac.Write(b.Bytes())

	o := append(a.out[:0], "POST / HTTP/1.1\r\nHost: "...)
	o = append(o, a.api.Address...)
	o = append(o, "\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: "...)
	o = strconv.AppendInt(o, int64(len(body)), 10)
	o = append(o, "\r\nX-Amz-Date: "...)
	o = append(o, stamp...)
	o = append(o, "\r\nX-Amz-Target: WorkMailService."...)
	o = append(o, operation...)
	o = append(o, "\r\nAuthorization: AWS4-HMAC-SHA256 Credential="...)
	o = append(o, a.api.KeyID...)
	o = append(o, '/')
	o = append(o, scope...)
	o = append(o, ", SignedHeaders="+signed+", Signature="...)
	o = hex.AppendEncode(o, a.mac.Sum(nil))
	o = append(o, "\r\n\r\n"...)
	a.out = append(o, body...)
}

var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}
