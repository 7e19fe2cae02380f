package e2e

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/test/harness"
)

// samples is an HTTPS server that runs a function in Python, as AWS's samples are written, for each event.
type samples struct {
	*httptest.Server
	mu    sync.Mutex
	env   []string // guarded by mu
	steps []string // guarded by mu: what the function does, but for answering
	fails bool     // guarded by mu: it answers with an error after that
	ran   chan string
}

func newSamples(t *testing.T) *samples {
	f := &samples{ran: make(chan string, 100)}
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		f.mu.Lock()
		fails := f.fails
		f.mu.Unlock()
		answer := f.run(t, string(event))
		if fails {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, answer)
		f.ran <- string(event)
	}))
	t.Cleanup(f.Close)
	return f
}

// does says what the function does from now on.
func (f *samples) does(env []string, fails bool, steps ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.env, f.fails, f.steps = env, fails, steps
}

func (f *samples) run(t *testing.T, event string) string {
	f.mu.Lock()
	c := harness.Command{
		Name: harness.Tool(t, "python"), Args: append([]string{"update_email.py"}, f.steps...), Dir: filepath.Join(harness.Root(), "test", "python"),
		Env: append(f.env, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUTF8=1"), Stdin: event,
	}
	f.mu.Unlock()
	r := harness.Run(t, c)
	if r.Status != 0 {
		t.Errorf("the function: %s", r)
	}
	return r.Stdout
}

// TestMessageFlow: a function in Python reads a message with GetRawMessageContent, changes it with PutRawMessageContent by way of a bucket, and fails;
// the server is killed; and what is decided when it is asked again is done with what it put.
func TestMessageFlow(t *testing.T) {
	harness.Engines(t, func(t *testing.T, database string) {
		t.Parallel()
		f := newSamples(t)
		dir, bucket := t.TempDir(), blobtest.MotoBucket(t)
		blobtest.MotoVersions(t, bucket)
		write := func(name, text string) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		const arn = "arn:aws:lambda:eu-west-1:111122223333:function:mail"
		config := write("config.toml", fmt.Sprintf(`allowed_networks = ["127.0.0.1"]
[function.%q]
url = %q
ca_file = %q
[export_bucket.%s]
url = "s3://%s?endpoint=%s&path_style=true&region=us-east-1"
access_key_id = "test"
secret_access_key_file = %q
functions = true
`, arn, f.URL, write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw}))), bucket, bucket, blobtest.Moto(t), write("secret", "test\n")))
		s := harness.Start(t, harness.Options{DatabaseURL: database, Flags: []string{"--config", config}})
		org := office(t, s, "flows", "ann", "bob")
		r := harness.Run(t, harness.Command{Name: harness.Tool(t, "aws"), Env: s.Exports(), Args: []string{
			"pennypost", "create-inbound-mail-flow-rule", "--organization-id", org, "--name", "ask", "--action", "RUN_LAMBDA",
			"--sender-patterns", "far.example", "--recipient-patterns", "*",
			"--lambda", "LambdaArn=" + arn + ",InvocationType=SYNCHRONOUS,FallbackAction=DROP,TimeoutMinutes=240",
		}})
		if r.Status != 0 {
			t.Fatal(r)
		}
		made := s.Verb("key", "create", "--label", "function", "--policy", "AmazonWorkMailMessageFlowFullAccess")
		key := regexp.MustCompile(`aws_access_key_id = (\S+)\naws_secret_access_key = (\S+)\n`).FindStringSubmatch(made.Stdout)
		if key == nil {
			t.Fatalf("key create: %s", made)
		}
		env := func() []string {
			return append(s.Exports(), "AWS_ACCESS_KEY_ID="+key[1], "AWS_SECRET_ACCESS_KEY="+key[2], "S3_URL="+blobtest.Moto(t), "BUCKET="+bucket)
		}
		f.does(env(), true, "refusals", "mark")
		r = harness.Run(t, harness.Command{Name: harness.Tool(t, "swaks"), Args: []string{
			"--server", s.Addr("smtp"), "--from", "x@far.example", "--to", "ann@flows.awsapps.com,bob@flows.awsapps.com", "--header", "Subject: decide", "--h-From", "x@far.example",
			"--body", "hello", "--attach-name", "notes.txt", "--attach-type", "text/csv", "--attach", "a,b",
		}})
		if r.Status != 0 {
			t.Fatal(r)
		}
		event := <-f.ran
		f.does(env(), false) // it may be asked again as soon as the server is back
		s.Kill()
		s.Start()
		if r := s.Verb("queue", "retry", "--all"); r.Status > 1 { // 1: it went by itself
			t.Fatal(r)
		}
		<-f.ran
		for _, user := range []string{"ann@flows.awsapps.com", "bob@flows.awsapps.com"} {
			inbox := s.IMAP(user, password)
			harness.Eventually(t, "it is delivered", func() bool { return len(inbox.Subjects("INBOX", "ALL")) == 1 })
			if got := strings.Join(inbox.Do("FETCH 1 BODY[]"), "\n"); !strings.Contains(got, "\r\nSubject: [External] decide\r\n") || !strings.Contains(got, "CAUTION\r\n\r\nhello") || strings.Count(got, "\r\nAuthentication-Results:") != 1 || !strings.Contains(got, "notes.txt") {
				t.Errorf("%s has %s", user, got)
			}
		}
		f.does(env(), false, "over")
		f.run(t, event)
		s.Check()
	})
}
