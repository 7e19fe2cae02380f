package awsapi_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/smithy-go"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/db/dbtest"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/export"
	"github.com/pennypost/pennypost/internal/fault"
	"github.com/pennypost/pennypost/internal/feed"
	"github.com/pennypost/pennypost/internal/identity"
	"github.com/pennypost/pennypost/internal/job"
	"github.com/pennypost/pennypost/internal/mailbox"
	"github.com/pennypost/pennypost/internal/organization"
	"github.com/pennypost/pennypost/internal/policy"
	"github.com/pennypost/pennypost/internal/policy/iam"
	"github.com/pennypost/pennypost/internal/principal"
	"github.com/pennypost/pennypost/internal/secret"
	"github.com/pennypost/pennypost/internal/transport/autoreply"
	"github.com/pennypost/pennypost/internal/transport/domain"
	"github.com/pennypost/pennypost/internal/transport/flow"
	"github.com/pennypost/pennypost/internal/transport/intake"
	"github.com/pennypost/pennypost/internal/transport/journal"
	"github.com/pennypost/pennypost/internal/transport/manage"
	"github.com/pennypost/pennypost/internal/transport/queue/queuetest"
	"github.com/pennypost/pennypost/internal/transport/route"
	"github.com/pennypost/pennypost/internal/transport/signing"
)

// world is the core with the face on it, reached by the AWS SDK without a network, in a bubble that knows when all wait.
type world struct {
	*workmail.Client
	t         *testing.T
	ctx       context.Context
	db        *db.DB
	front     *awsapi.Front
	api       *awsapi.API
	directory *directory.Service
	policy    *policy.Service
	center    *identity.Center
	available *availability.Service
	life      *organization.Service
	exports   *export.Service
	mailboxes *mailbox.Store
	signing   *signing.Service
	queue     *queuetest.Queue
	reports   *intake.Box
	audit     *audit.Log
	keys      map[string]string // policy by key id; the secret is the id again
	zone      *zone
	external  *externalDirectory
	contents  *flow.Contents
	objects   objects

	impersonation *identity.Impersonation

	mu   sync.Mutex
	seen []exchange // guarded by mu
}

// exchange is one call as it went over the wire.
type exchange struct {
	operation string
	status    int
	code      string
	body      []byte
}

// inBoth runs fn on both engines, with the server's own jobs beside it, and lets every package check what is left.
func inBoth(t *testing.T, fn func(w *world)) {
	t.Helper()
	dbtest.Bubble(t, migrations(), func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		stop := w.startJobs()
		defer stop()
		fn(w)
		w.check()
	})
}

func migrations() []db.Migration {
	return slices.Concat(job.Migrations(), audit.Migrations(), directory.Migrations(), policy.Migrations(), identity.Migrations(), availability.Migrations(), mailbox.Migrations(), export.Migrations(), flow.Migrations(), autoreply.Migrations(), journal.Migrations(), signing.Migrations(), intake.Migrations())
}

const hostname = "mail.pennypost.example"

// anRSAKey is that of all domains: making one takes time.
var anRSAKey = sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 1024) })

func newWorld(t *testing.T, d *db.DB) *world {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	w := &world{
		t: t, ctx: t.Context(), db: d, zone: &zone{records: map[string][]string{}}, external: &externalDirectory{}, queue: &queuetest.Queue{},
		keys: map[string]string{"ADMIN": iam.WorkMailFullAccess, "FLOW": iam.MessageFlowFull, "READER": iam.MessageFlowReadOnly}, objects: objects{},
	}
	records, notices := audit.New(d, clock.System{}, audit.Config{Groups: map[string]audit.Group{logGroup: {}}}), feed.New()
	w.audit = records
	w.directory = directory.New(directory.Config{
		DB: d, Audit: records, Clock: clock.System{}, Feed: notices, Log: log, Resolver: w.zone,
		HashCost: directory.TestHashCost,
		Limits:   directory.Limits{Aliases: 3, Domains: 4, Tags: 50, Organizations: 6},
		External: map[string]directory.Directory{externalID: w.external, exchangeID: &externalDirectory{}},
		Registered: func(ctx context.Context, tx *db.Tx, org int64, name string) error {
			return w.signing.RegisteredTx(ctx, tx, org, name)
		},
		Deregistered: func(ctx context.Context, tx *db.Tx, org int64, name string) error {
			return w.signing.DeregisteredTx(ctx, tx, org, name)
		},
	})
	w.signing = signing.New(signing.Options{
		DB: d, Directory: w.directory, Audit: records, Clock: clock.System{}, Log: log, Root: secret.Ephemeral(), Resolver: w.zone, Hostname: hostname,
		Generate: func(a signing.Algorithm) (crypto.Signer, error) {
			if a == signing.RSA {
				return anRSAKey()
			}
			_, key, err := ed25519.GenerateKey(rand.Reader)
			return key, err
		},
	})
	w.policy = policy.New(w.directory, clock.System{})
	w.center = identity.NewCenter(identity.CenterConfig{
		DB: d, Directory: w.directory, Audit: records, Feed: notices, Clock: clock.System{}, Root: secret.Ephemeral(), Account: "111122223333",
		Mapped: func(instance string) bool { return instance == instanceARN },
	})
	w.available = availability.New(availability.Config{
		DB: d, Directory: w.directory, Clock: clock.System{}, Root: secret.Ephemeral(), Log: log, Limit: 8,
		Dialer: noNames{dial.New(nil, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")})}, TLS: trustInTestServers(),
	})
	w.mailboxes = mailbox.New(mailbox.Options{DB: d, Blobs: noBlobs{}, Feed: notices, Clock: clock.System{}, Log: log})
	dir := t.TempDir()
	var err error
	w.exports, err = export.New(export.Config{
		DB: d, Directory: w.directory, Mailboxes: w.mailboxes, Clock: clock.System{}, Log: log, Dir: filepath.Join(dir, "parts"),
		Buckets: map[string]export.Bucket{"bucket": {URL: "file://" + dir}, "unmounted": {URL: "file://" + dir + "/unmounted"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.life = organization.New(organization.Config{
		DB: d, Directory: w.directory, Policy: w.policy, Center: w.center, Availability: w.available, Mailboxes: w.mailboxes, Exports: w.exports, Audit: records, Clock: clock.System{}, Log: log,
		Account: "111122223333", Region: "eu-west-1", EraseTx: intake.EraseTx,
	})
	w.impersonation = identity.NewImpersonation(w.policy, records, secret.Ephemeral(), clock.System{}, log)
	w.reports = intake.New(intake.Options{DB: d, Directory: w.directory, Clock: clock.System{}, Log: log})
	w.contents = flow.NewContents(flow.ContentOptions{
		DB: d, Directory: w.directory, Blobs: noBlobs{}, Clock: clock.System{}, Objects: w.objects, MaxMessage: 1 << 20,
	})
	w.api = &awsapi.API{
		Directory: w.directory, Organizations: w.life, Policy: w.policy, Exports: w.exports, Impersonation: w.impersonation, Center: w.center,
		Availability: w.available,
		Domains: domain.New(domain.Config{
			DB: d, Directory: w.directory, Keys: w.signing, Clock: clock.System{}, Host: hostname, STS: domain.STS{Mode: route.STSTesting},
			Ports: domain.Ports{HTTPS: 443, IMAPS: 993},
		}),
		Journal:  journal.New(journal.Options{DB: d, Directory: w.directory, Clock: clock.System{}, Root: secret.Ephemeral()}),
		Flow:     flow.New(flow.Options{DB: d, Directory: w.directory, Clock: clock.System{}, Root: secret.Ephemeral()}),
		Replies:  autoreply.New(autoreply.Options{DB: d, Directory: w.directory, Mailboxes: w.mailboxes, Clock: clock.System{}}),
		Contents: w.contents, Reports: w.reports, Queue: &manage.Queue{Manager: w.queue, DB: d, Directory: w.directory, Audit: records},
		Pages: awsapi.NewPages([]byte("a key of the tests, of 32 bytes.")),
	}
	w.front = awsapi.New(awsapi.Options{
		Keys: w, Handlers: w.api.Handlers(), OrganizationARN: w.api.OrganizationARN, MessageARN: w.api.MessageARN, Account: "111122223333", Region: "eu-west-1",
		Clock: clock.System{}, Log: log, Audit: awsapi.Denials(records, log),
	})
	w.Client = w.clientOf("ADMIN")
	return w
}

// clientOf is the SDK with an access key.
func (w *world) clientOf(key string) *workmail.Client {
	return workmail.New(workmail.Options{
		Region: "us-west-2", BaseEndpoint: aws.String("http://pennypost.test"), HTTPClient: w, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(key, key, ""),
	})
}

// Lookup finds an access key.
func (w *world) Lookup(_ context.Context, id string) (identity.Credential, error) {
	text, ok := w.keys[id]
	if !ok {
		return identity.Credential{}, fault.New(fault.NotFound, fault.Key, "there is no access key %q", id)
	}
	return identity.Credential{AccessKey: identity.AccessKey{ID: id, Label: "test", Policy: text}, Secret: id}, nil
}

// Do carries a request of the SDK to the front and keeps what came back.
func (w *world) Do(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	inbound := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), bytes.NewReader(body))
	inbound.Header, inbound.Host, inbound.RemoteAddr = r.Header, r.URL.Host, "192.0.2.1:1234"
	recorder := httptest.NewRecorder()
	w.front.ServeHTTP(recorder, inbound)
	answer := recorder.Result()
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, exchange{
		operation: operation, status: answer.StatusCode,
		code: answer.Header.Get("X-Amzn-ErrorType"), body: recorder.Body.Bytes(),
	})
	return answer, nil
}

func (w *world) startJobs() (stop func()) {
	runner := job.NewRunner(w.db, clock.System{}, slog.New(slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	w.life.Handle(runner)
	w.life.HandleRetention(runner)
	w.directory.Handle(runner)
	w.exports.Handle(runner)
	w.signing.Handle(runner)
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan error, 1)
	go func() { ended <- runner.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the job runner: %v", err)
		}
	}
}

// settle waits until the server's own jobs that are due are done.
func (w *world) settle() { synctest.Wait() }

// pass lets time go by inside the bubble, and with it the jobs that become due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	if err := (clock.System{}).Sleep(w.ctx, d); err != nil {
		w.t.Fatal(err)
	}
	w.settle()
}

// check lets every package look at what the test left behind.
func (w *world) check() {
	w.t.Helper()
	w.settle()
	w.inspect()
}

func (w *world) inspect() {
	w.t.Helper()
	err := w.db.Read(w.ctx, func(ctx context.Context, tx *db.Tx) error {
		for _, check := range []func(context.Context, *db.Tx) ([]string, error){w.directory.Check, w.policy.Check, w.center.Check, w.available.Check, w.life.Check, w.exports.Check, w.reports.Check} {
			faults, err := check(ctx, tx)
			if err != nil {
				return err
			}
			for _, f := range faults {
				w.t.Errorf("after the test: %s", f)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Errorf("check: %v", err)
	}
}

// organization makes an organisation and waits until it is active.
func (w *world) organization(alias string) string {
	w.t.Helper()
	out, err := w.CreateOrganization(w.ctx, &workmail.CreateOrganizationInput{Alias: &alias})
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	w.mustBe(*out.OrganizationId, directory.OrgActive)
	return *out.OrganizationId
}

func (w *world) mustBe(org string, want directory.OrgState) {
	w.t.Helper()
	o, err := w.directory.DescribeOrganization(w.ctx, principal.TheSystem("test"), directory.OrgID(org))
	if err != nil || o.State != want {
		w.t.Fatalf("organisation %s: %+v, %v; want it %s", org, o, err, want)
	}
}

// method is an operation of the SDK.
type method[In, Out any] = func(context.Context, *In, ...func(*workmail.Options)) (*Out, error)

// must carries out an operation that has to succeed.
func must[In, Out any](w *world, call method[In, Out], in *In) *Out {
	w.t.Helper()
	out, err := call(w.ctx, in)
	if err != nil {
		w.t.Fatalf("%+v: %v", *in, err)
	}
	return out
}

// refused carries out an operation that has to be refused with the exception Want.
func refused[Want error, In, Out any](w *world, call method[In, Out], in *In) {
	w.t.Helper()
	_, err := call(w.ctx, in)
	var want Want
	var api smithy.APIError
	if !errors.As(err, &want) || !errors.As(err, &api) || api.ErrorMessage() == "" {
		w.t.Errorf("got %v, want a %T", err, want)
	}
}

// deliver puts a message of the size into a user's inbox, in parts small enough to lie in the database.
func (w *world) deliver(org, user string, size int) {
	w.t.Helper()
	u, err := w.directory.DescribeUser(w.ctx, principal.TheSystem("test"), directory.OrgID(org), user)
	if err != nil {
		w.t.Fatal(err)
	}
	const part = 32 << 10
	for range size / part {
		m := mailbox.Message{Source: mailbox.Source{Bytes: bytes.Repeat([]byte("x"), part)}}
		if _, err := w.mailboxes.Deliver(w.ctx, m, mailbox.Target{Mailbox: mailbox.ID(u.Mailbox)}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// call sends an operation as raw JSON and returns the exchange.
func (w *world) call(key, operation string, input any) exchange {
	w.t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		w.t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "http://pennypost.test/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", target(operation))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sign(w.t, r, body, key)
	if _, err := w.Do(r); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

// target is the X-Amz-Target of an operation, whose names no two services share.
func target(operation string) string {
	all := contract.Operations()
	return all[slices.IndexFunc(all, func(op *contract.Op) bool { return op.Name == operation })].Target()
}

// zone is a DNS of TXT records by name.
type zone struct {
	mu      sync.Mutex
	records map[string][]string // guarded by mu
}

// LookupTXT finds TXT records.
func (z *zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if texts, ok := z.records[strings.TrimSuffix(strings.ToLower(name), ".")]; ok {
		return texts, nil
	}
	return nil, dns.ErrNotFound
}

func (z *zone) publish(name, text string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[strings.ToLower(name)] = []string{text}
}

// noBlobs stands where large bodies would go: no test here has any.
type noBlobs struct{}

func (noBlobs) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, errors.New("no large bodies here")
}

func (noBlobs) Open(context.Context, string) (mailbox.Blob, error) {
	return nil, errors.New("no large bodies here")
}

func (noBlobs) Delete(context.Context, string) error { return nil }

const (
	externalID = "d-0123456789"
	exchangeID = "d-1123456789" // of an organisation that works together with Exchange
)

// externalDirectory is a directory outside the server. It masters nothing, and fails as it is told.
type externalDirectory struct{ fails error }

func (e *externalDirectory) Type() string   { return "ADConnector" }
func (e *externalDirectory) NameLimit() int { return 20 }

func (e *externalDirectory) Create(_ context.Context, n directory.NewEntry) (directory.EntityID, string, error) {
	return directory.EntityID("S-1-1-12-" + n.User.Name + n.Group.Name + n.Resource.Name), "", e.fails
}

func (e *externalDirectory) Delete(context.Context, directory.Entry) error { return e.fails }

func (e *externalDirectory) UpdateUser(context.Context, directory.Entry, directory.UserChange) error {
	return e.fails
}

func (e *externalDirectory) UpdateResource(context.Context, directory.Entry, directory.ResourceChange) error {
	return e.fails
}

func (e *externalDirectory) SetAddress(context.Context, directory.Entry, string) error {
	return e.fails
}

func (e *externalDirectory) SetMember(context.Context, directory.Entry, directory.Entry, bool) error {
	return e.fails
}

func (e *externalDirectory) SetPassword(context.Context, directory.Entry, string) (string, error) {
	return "", e.fails
}

func (e *externalDirectory) VerifyPassword(context.Context, directory.Entry, string, string) (bool, string, error) {
	return false, "", e.fails
}

func (e *externalDirectory) Waste(context.Context, string) error { return nil }
