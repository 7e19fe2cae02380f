package sink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/leash"
)

func records(texts ...string) (all []audit.LogRecord) {
	for i, text := range texts {
		all = append(all, audit.LogRecord{
			Time: time.Now().Add(time.Duration(i) * time.Millisecond), Stream: audit.EmailEvents, Organization: "m-1", JSON: []byte(text),
		})
	}
	return all
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.jsonl")
	f := File{Path: path}
	send := func(texts ...string) {
		t.Helper()
		if err := f.Send(t.Context(), records(texts...)); err != nil {
			t.Fatal(err)
		}
	}
	want := func(path, text string) {
		t.Helper()
		if got, err := os.ReadFile(path); string(got) != text || err != nil {
			t.Errorf("%s holds %q, %v; want %q", path, got, err, text)
		}
	}
	send(`{"n":1}`, `{"n":2}`)
	send(`{"n":3}`)
	want(path, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")
	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	send(`{"n":4}`)
	want(path, "{\"n\":4}\n")
	if err := (File{Path: filepath.Join(path, "x")}).Send(t.Context(), records("{}")); err == nil {
		t.Error("a file below a file was written")
	}
	if err := (File{Path: "/dev/full"}).Send(t.Context(), records("{}")); err == nil {
		t.Error("a full disk took a record")
	}
}

// TestAFullFileKeepsWholeLines has the system write half of what is sent.
func TestAFullFileKeepsWholeLines(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "events.jsonl")}
	if err := f.Send(t.Context(), records(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	small := before
	small.Cur = 20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	failed := f.Send(t.Context(), records(`{"n":2}`, `{"n":3}`))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.Path); failed == nil || errors.Is(failed, audit.ErrRefused) || string(got) != "{\"n\":1}\n" || err != nil {
		t.Errorf("sent with %v, and the file holds %q, %v", failed, got, err)
	}
	if err := f.Send(t.Context(), records(`{"n":2}`)); err != nil {
		t.Error(err)
	}
}

// endpoint answers as told, and keeps the last request.
type endpoint struct {
	*httptest.Server
	status int
	answer string
	header http.Header
	body   string
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{status: http.StatusOK}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		e.header, e.body = r.Header, string(body)
		w.WriteHeader(e.status)
		_, _ = io.WriteString(w, e.answer)
	}))
	t.Cleanup(e.Close)
	return e
}

func TestHTTP(t *testing.T) {
	e := newEndpoint(t)
	h := HTTP{Client: e.Client(), URL: e.URL, Token: "secret"}
	if err := h.Send(t.Context(), records(`{"n":1}`, `{"n":2}`)); err != nil {
		t.Fatal(err)
	}
	if e.body != "{\"n\":1}\n{\"n\":2}\n" || e.header.Get("Content-Type") != "application/x-ndjson" || e.header.Get("Authorization") != "Bearer secret" {
		t.Errorf("posted %q with %v", e.body, e.header)
	}
	for status, refused := range map[int]bool{400: true, 413: true, 401: false, 404: false, 429: false, 500: false, 503: false} {
		e.status = status
		if err := h.Send(t.Context(), records("{}")); err == nil || errors.Is(err, audit.ErrRefused) != refused {
			t.Errorf("%d gives %v", status, err)
		}
	}
	e.Close()
	if err := h.Send(t.Context(), records("{}")); err == nil || errors.Is(err, audit.ErrRefused) {
		t.Errorf("an endpoint that is gone gives %v", err)
	}
}

// TestOTLP has the messages of OpenTelemetry itself read what is sent.
func TestOTLP(t *testing.T) {
	e := newEndpoint(t)
	o := OTLP{HTTP: HTTP{Client: e.Client(), URL: e.URL}, LogGroup: "arn:aws:logs:x"}
	sent := records(`{"n":"é"}`, `{"n":2}`)
	if err := o.Send(t.Context(), sent); err != nil {
		t.Fatal(err)
	}
	var data logs.LogsData
	if err := protojson.Unmarshal([]byte(e.body), &data); err != nil { // refuses unknown members
		t.Fatalf("%s: %v", e.body, err)
	}
	resource := data.ResourceLogs[0]
	list := resource.ScopeLogs[0].LogRecords
	if len(list) != 2 || list[0].Body.GetStringValue() != `{"n":"é"}` || list[0].TimeUnixNano != uint64(sent[0].Time.UnixNano()) ||
		list[0].SeverityNumber != logs.SeverityNumber_SEVERITY_NUMBER_INFO || list[0].Attributes[0].Value.GetStringValue() != string(audit.EmailEvents) ||
		resource.Resource.Attributes[1].Value.GetArrayValue().Values[0].GetStringValue() != "arn:aws:logs:x" {
		t.Errorf("the collector reads %v", &data)
	}
	for answer, want := range map[string]int64{
		`{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"x"}}`: 1, `{"partialSuccess":{"rejectedLogRecords":2}}`: 2,
		`{"partialSuccess":{}}`: 0, `{}`: 0, `nonsense`: 0, ``: 0,
	} {
		e.answer = answer
		var rejected *audit.Rejected
		err := o.Send(t.Context(), sent)
		if errors.As(err, &rejected); (want == 0) != (err == nil) || want > 0 && rejected.Records != want {
			t.Errorf("%s gives %v", answer, err)
		}
	}
}

func TestFits(t *testing.T) {
	at := func(ms int64, size int) types.InputLogEvent {
		return types.InputLogEvent{Timestamp: &ms, Message: aws.String(strings.Repeat("x", size))}
	}
	for want, events := range map[int][]types.InputLogEvent{
		2: {at(0, 1), at(maxPutSpan.Milliseconds(), 1), at(maxPutSpan.Milliseconds()+1, 1)},
		1: {at(0, maxPutBytes), at(0, 1)},
		3: {at(0, 1), at(0, 1), at(0, 1)},
	} {
		if got := fits(events); got != want {
			t.Errorf("%d of %d fit, want %d", got, len(events), want)
		}
	}
	if got := fits(slices.Repeat([]types.InputLogEvent{at(0, 0)}, maxPutEvents+1)); got != maxPutEvents {
		t.Errorf("%d small ones fit", got)
	}
}

// moto starts a CloudWatch that others wrote.
func moto(t *testing.T) string {
	program, err := filepath.Abs("../../../.cache/venv/bin/moto_server")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("this test needs moto's server, which scripts/setup-test installs: %v", err)
	}
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", "0")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	l, err := leash.Start(cmd, "KILL", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at := regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`).FindStringSubmatch(lines.Text()); at != nil {
			go func() {
				for lines.Scan() { // until the server ends: its log must not fill the pipe
				}
			}()
			return at[1]
		}
	}
	t.Fatal("moto's server did not start")
	return ""
}

func TestCloudWatch(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	t.Setenv("AWS_SESSION_TOKEN", "")
	url := moto(t)
	c, err := NewCloudWatch(http.DefaultClient, "arn:aws:logs:eu-west-1:123456789012:log-group:/mail/events:*", url)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), records("{}")); err == nil {
		t.Error("a log group that doesn't exist took records")
	}
	if _, err := c.api.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &c.group}); err != nil {
		t.Fatal(err)
	}
	sent := records(`{"n":1}`, `{"n":2}`, `{"n":3}`)
	sent[2].Stream = audit.AuthenticationLogs
	for range 2 {
		if err := c.Send(t.Context(), sent); err != nil {
			t.Fatal(err)
		}
	}
	read := func(stream audit.Stream) (texts []string) {
		page, err := c.api.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: &c.group, LogStreamName: aws.String(string(stream)), StartFromHead: aws.Bool(true),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			texts = append(texts, *e.Message)
		}
		slices.Sort(texts)
		return texts
	}
	if got := fmt.Sprint(read(audit.EmailEvents), read(audit.AuthenticationLogs)); got != `[{"n":1} {"n":1} {"n":2} {"n":2}] [{"n":3} {"n":3}]` {
		t.Errorf("CloudWatch holds %s", got)
	}
	if _, err := c.api.DeleteLogStream(t.Context(), &cloudwatchlogs.DeleteLogStreamInput{LogGroupName: &c.group, LogStreamName: aws.String(string(audit.EmailEvents))}); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(t.Context(), sent[:1]); err == nil {
		t.Error("a log stream that is gone took a record")
	}
	if err := c.Send(t.Context(), sent[:1]); err != nil { // it is made again
		t.Error(err)
	}
	old := records("{}", "{}")
	old[0].Time = time.Now().Add(-15 * 24 * time.Hour)
	var rejected *audit.Rejected
	if err := c.Send(t.Context(), old); !errors.As(err, &rejected) || rejected.Records != 1 {
		t.Errorf("a record that is too old gives %v", err)
	}
}
