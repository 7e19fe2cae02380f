// Package workmail reads an organisation through the WorkMail API. It changes nothing there.
package workmail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/workmail"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Settings say where the source is and who asks. What is empty is taken from the environment, as the AWS tools do.
type Settings struct {
	Endpoint string // a URL; empty is AWS's own of the region
	Region   string
	Profile  string // of the shared credentials and configuration files
	// Getenv is the environment; nil means that of the process.
	Getenv func(string) string
}

// How often a call is repeated that the source throttles or fails, and the longest pause before.
const (
	attempts     = 12
	longestPause = 20 * time.Second
	callTimeout  = time.Minute
)

// Connect returns a client of the source, without asking it anything.
func Connect(s Settings) (*workmail.Client, error) {
	if s.Getenv == nil {
		s.Getenv = os.Getenv
	}
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	region := first(s.Region, s.Getenv("AWS_REGION"), s.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return nil, errors.New("the region of the source is not known: give --region, or set AWS_REGION")
	}
	o := workmail.Options{
		Region:      region,
		Credentials: aws.NewCredentialsCache(provider(s)),
		Retryer: retry.NewAdaptiveMode(func(o *retry.AdaptiveModeOptions) {
			o.StandardOptions = append(o.StandardOptions, func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, longestPause, ratelimit.None
			})
		}),
	}
	if endpoint := first(s.Endpoint, s.Getenv("AWS_ENDPOINT_URL_WORKMAIL"), s.Getenv("AWS_ENDPOINT_URL")); endpoint != "" {
		o.BaseEndpoint = aws.String(endpoint)
	}
	client := awshttp.NewBuildableClient().WithTimeout(callTimeout)
	if bundle := s.Getenv("AWS_CA_BUNDLE"); bundle != "" {
		roots, err := readRoots(bundle)
		if err != nil {
			return nil, err
		}
		client = client.WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		})
	}
	o.HTTPClient = client
	return workmail.New(o), nil
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: %s holds no certificate", file)
	}
	return roots, nil
}

// errNoCredentials says that the settings lead to no credentials.
var errNoCredentials = errors.New("there are no credentials for the source: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
	"or name a profile of the shared credentials file with --profile")

// provider finds the credentials where the AWS tools do: a profile that was named, the environment, the shared files (keys, single
// sign-on, a credential process), the role of the machine. minio-go is in the program already; the SDK's own chain would add three
// megabytes to it.
func provider(s Settings) aws.CredentialsProvider {
	var chain *credentials.Credentials
	profile := &credentials.FileAWSCredentials{Profile: s.Profile}
	switch {
	case s.Profile != "":
		chain = credentials.New(profile)
	default:
		providers := []credentials.Provider{&credentials.EnvAWS{}, profile}
		if s.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
			providers = append(providers, &credentials.IAM{})
		}
		chain = credentials.NewChainCredentials(providers)
	}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		v, err := chain.GetWithContext(&credentials.CredContext{Client: &http.Client{Timeout: 10 * time.Second}})
		if err != nil {
			return aws.Credentials{}, fmt.Errorf("%w (%w)", errNoCredentials, err)
		}
		if v.AccessKeyID == "" || v.SecretAccessKey == "" {
			return aws.Credentials{}, errNoCredentials
		}
		return aws.Credentials{
			AccessKeyID: v.AccessKeyID, SecretAccessKey: v.SecretAccessKey, SessionToken: v.SessionToken,
			CanExpire: !v.Expiration.IsZero(), Expires: v.Expiration,
		}, nil
	})
}

// explain turns the failure of a call into one sentence.
func explain(err error) error {
	var (
		api  smithy.APIError
		send *smithyhttp.RequestSendError
		op   *smithy.OperationError
	)
	call := "the source"
	if errors.As(err, &op) {
		call = op.Operation()
	}
	switch {
	case errors.Is(err, errNoCredentials):
		return errNoCredentials
	case errors.As(err, &api):
		switch api.ErrorCode() {
		case "AccessDeniedException", "AccessDenied":
			return fmt.Errorf("the credentials may not call %s at the source: %s", call, api.ErrorMessage())
		case "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "IncompleteSignatureException",
			"MissingAuthenticationTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch":
			return fmt.Errorf("the source does not accept the credentials: %s", api.ErrorMessage())
		case "OrganizationNotFoundException":
			return fmt.Errorf("the source has no such organization: %s", api.ErrorMessage())
		case "OrganizationStateException":
			return fmt.Errorf("the organization can't be read at the source: %s", api.ErrorMessage())
		}
		return fmt.Errorf("%s failed at the source: %s: %s", call, api.ErrorCode(), api.ErrorMessage())
	case errors.As(err, &send):
		return fmt.Errorf("the source can't be reached: %w", send.Err)
	}
	return fmt.Errorf("%s failed at the source: %w", call, err)
}
