package availability

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"time"

	"github.com/pennypost/pennypost/internal/audit"
	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/db"
	"github.com/pennypost/pennypost/internal/dial"
	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/secret"
)

const (
	// DefaultLimit is how many configurations an organisation may have where the configuration says nothing.
	DefaultLimit = 100
	// DefaultTimeout is how long a provider may take.
	DefaultTimeout = 25 * time.Second
	// maxAnswer is how many bytes a provider may answer.
	maxAnswer = 2 << 20
)

// Config is what a Service is made of. DB, Directory, Clock, Root and Dialer are required.
type Config struct {
	DB        *db.DB
	Directory *directory.Service
	Clock     clock.Clock
	Root      *secret.Key  // seals passwords
	Dialer    Dialer       // makes all connections to providers
	Audit     *audit.Log   // is told of each question to a provider; nil tells nobody
	Log       *slog.Logger // nil discards
	// Functions are the endpoints that stand for Lambda functions, by ARN.
	Functions map[string]Function
	// TLS, where it is not nil, is what is trusted of EWS servers.
	TLS *tls.Config
	// Limit is how many configurations an organisation may have; 0 means DefaultLimit.
	Limit int
	// Timeout is how long a provider may take; 0 means DefaultTimeout.
	Timeout time.Duration
}

// Dialer is a *dial.Dialer.
type Dialer interface {
	Client(dial.HTTPOptions) *http.Client
}

// Function is an endpoint that stands for a Lambda function.
type Function struct {
	URL    string      // https
	TLS    *tls.Config // what is trusted of the endpoint; nil means the system's certificates
	Secret string      // sent as a bearer token; empty means that none is
}

// function is a Function with its connections.
type function struct {
	Function
	client *http.Client
}

// Service keeps and asks the providers of all organisations of a server. It is safe for concurrent use.
type Service struct {
	db        *db.DB
	directory *directory.Service
	clock     clock.Clock
	root      *secret.Key
	audit     *audit.Log
	log       *slog.Logger
	functions map[string]function
	ews       *http.Client
	limit     int
	timeout   time.Duration
	gate      gate
}

// New returns the service.
func New(c Config) *Service {
	s := &Service{
		db: c.DB, directory: c.Directory, clock: c.Clock, root: c.Root, audit: c.Audit, log: c.Log, limit: c.Limit, timeout: c.Timeout,
		functions: map[string]function{},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.limit <= 0 {
		s.limit = DefaultLimit
	}
	if s.timeout <= 0 {
		s.timeout = DefaultTimeout
	}
	client := func(trust *tls.Config) *http.Client {
		return c.Dialer.Client(dial.HTTPOptions{Timeout: s.timeout, MaxBody: maxAnswer, TLS: trust})
	}
	s.ews = client(c.TLS)
	for arn, f := range c.Functions {
		s.functions[arn] = function{f, client(f.TLS)}
	}
	return s
}
