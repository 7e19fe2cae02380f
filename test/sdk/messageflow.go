package sdk

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pennypost/pennypost/internal/blob/blobtest"
	"github.com/pennypost/pennypost/test/harness"
)

const functionARN = "arn:aws:lambda:us-east-1:000000000000:function:decides"

// function decides on mail once it may; until then it fails, so that the mail waits for it.
type function struct {
	*httptest.Server
	bucket  string // of an S3 server, with versions, from which new content comes
	decides atomic.Bool
	asked   chan question
}

// question is what the function is asked about a message, maybe more than once.
type question struct {
	MessageID string
	Envelope  struct{ Recipients []struct{ Address string } }
}

func newFunction(t *testing.T) *function {
	f := &function{bucket: blobtest.MotoBucket(t), asked: make(chan question, 100)}
	blobtest.MotoVersions(t, f.bucket)
	f.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event question
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			t.Error(err)
		}
		if !f.decides.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			f.asked <- event
			return
		}
		_, _ = io.WriteString(w, `{"actions":[{"action":{"type":"DEFAULT"},"allRecipients":true}]}`)
	}))
	t.Cleanup(f.Close)
	return f
}

// config is what the server must know of the function and of its bucket.
func (f *function) config(t *testing.T, dir string) string {
	t.Helper()
	write(t, filepath.Join(dir, "function.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})))
	return fmt.Sprintf("[function.%q]\nurl = %q\nca_file = '%s/function.pem'\n", functionARN, f.URL, dir) +
		fmt.Sprintf("[export_bucket.%s]\nurl = 's3://%s?endpoint=%s&path_style=true&region=us-east-1'\n", f.bucket, f.bucket, blobtest.Moto(t)) +
		fmt.Sprintf("access_key_id = 'test'\nsecret_access_key_file = '%s/key'\nfunctions = true\n", dir)
}

// letter is more than one read of a stream takes.
var letter = "From: x@far.example\r\nTo: ann\r\nDate: Thu, 26 Nov 2026 07:00:00 +0000\r\nMessage-ID: <letter@far.example>\r\nSubject: %s\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
	strings.Repeat("Grüße aus der Ferne, wie sie in eine Zeile gehen.\r\n", 20_000)

// aMessageWaits has mail come to ann, about which the function is asked. It saves its id, its bytes as base64, and the versions of objects with other bytes.
func aMessageWaits(t *testing.T, w *world, saved map[string]string) {
	t.Helper()
	w.function.decides.Store(false)
	w.server.Own("CreateInboundMailFlowRule", object{
		"OrganizationId": saved["org"], "Name": "ask", "Action": "RUN_LAMBDA", "SenderPatterns": list{"*"}, "RecipientPatterns": list{"*"},
		"Lambda": object{"LambdaArn": functionARN, "InvocationType": "SYNCHRONOUS", "FallbackAction": "DROP", "TimeoutMinutes": 240},
	})
	sent := fmt.Appendf(nil, letter, "sent")
	to := "a@" + saved["alias"] + ".awsapps.com"
	handOver(t, w.server.Addr("smtp"), to, sent)
	for saved["message"] == "" { // it may have been asked once more about the message of the SDK before
		if q := <-w.function.asked; len(q.Envelope.Recipients) == 1 && q.Envelope.Recipients[0].Address == to {
			saved["message"] = q.MessageID
		}
	}
	status, content := w.server.Signed(http.MethodGet, "/messages/"+saved["message"], "workmailmessageflow", "", nil)
	lines, same := bytes.CutSuffix(content, sent)
	if status != http.StatusOK || !same || !bytes.Contains(lines, []byte("Received: from ")) {
		t.Errorf("%d: %d bytes wait, with %.1000q in front of %d that were sent", status, len(content), lines, len(sent))
	}
	changed, forged := bytes.Replace(content, []byte("Subject: sent"), []byte("Subject: changed"), 1), bytes.Replace(content, []byte("From: x@"), []byte("From: y@"), 1)
	saved["bucket"], saved["content"], saved["changed"] = w.function.bucket, base64.StdEncoding.EncodeToString(content), base64.StdEncoding.EncodeToString(changed)
	saved["forged"] = blobtest.MotoObject(t, w.function.bucket, "letter", forged)
	saved["version"] = blobtest.MotoObject(t, w.function.bucket, "letter", changed)
	blobtest.MotoObject(t, w.function.bucket, "letter", []byte("another version"))
}

// handOver hands in mail from another server.
func handOver(t *testing.T, address, to string, message []byte) {
	t.Helper()
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := errors.Join(c.Mail("x@far.example"), c.Rcpt(to)); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(message)
	if err := errors.Join(err, w.Close(), c.Quit()); err != nil {
		t.Fatal(err)
	}
}

// theFunctionDecides lets the message go on, and finds it delivered as it was put.
func theFunctionDecides(t *testing.T, w *world, saved map[string]string) {
	t.Helper()
	w.function.decides.Store(true)
	inbox := w.server.IMAP("a@"+saved["alias"]+".awsapps.com", annsPassword)
	defer inbox.Close()
	harness.Eventually(t, "what was put is delivered", func() bool {
		w.server.Verb("queue", "retry", "--all") // it fails once nothing waits
		found := inbox.Subjects("INBOX", "ALL")
		return len(found) == 1 && found[0] == "changed"
	})
	changed, err := base64.StdEncoding.DecodeString(saved["changed"])
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(inbox.Do("FETCH 1 BODY.PEEK[TEXT]"), "\n"); !strings.Contains(got, string(changed[bytes.Index(changed, []byte("\r\n\r\n"))+4:])) {
		t.Errorf("%d bytes are delivered, not those that were put", len(got))
	}
}

func messageFlowSteps() []step {
	get := func(id string) object { return object{"messageId": id} }
	put := func(id string, at object) object {
		return object{"messageId": id, "content": object{"s3Reference": at}}
	}
	version := func(name string) object { return object{"bucket": "{bucket}", "key": "letter", "objectVersion": name} }
	const noMessage = "12345678-0123-0123-0123-0123456789ab"
	return []step{
		{do: aMessageWaits},
		{call: "GetRawMessageContent", in: get("{message}"), out: object{"messageContent": "{content}"}},
		{call: "GetRawMessageContent", in: get(noMessage), fails: "ResourceNotFoundException"},
		{call: "PutRawMessageContent", in: put(noMessage, version("{version}")), fails: "ResourceNotFoundException"},
		{call: "PutRawMessageContent", in: put("{message}", object{"bucket": "{bucket}", "key": "no-letter"}), fails: "InvalidContentLocation"},
		{call: "PutRawMessageContent", in: put("{message}", version("{forged}")), fails: "MessageRejected"},
		{call: "PutRawMessageContent", in: put("{message}", version("{version}")), out: done},
		{call: "GetRawMessageContent", in: get("{message}"), out: object{"messageContent": "{changed}"}},
		{do: theFunctionDecides},
		{call: "PutRawMessageContent", in: put("{message}", version("{version}")), fails: "MessageFrozen"},
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
