package server

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/pennypost/pennypost/internal/availability"
	"github.com/pennypost/pennypost/internal/config"
)

// maxSecret is how many bytes the file of a function's secret may have.
const maxSecret = 4096

// functionsOf reads what the functions of the configuration need from their files.
func functionsOf(c *config.Config) (map[string]availability.Function, error) {
	functions := map[string]availability.Function{}
	for arn, f := range c.Functions {
		function := availability.Function{URL: f.URL}
		if f.CAFile != "" {
			text, err := os.ReadFile(f.CAFile)
			if err != nil {
				return nil, fmt.Errorf("function.%q: ca_file: %w", arn, err)
			}
			roots := x509.NewCertPool()
			if !roots.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("function.%q: ca_file: %s holds no certificate in PEM", arn, f.CAFile)
			}
			function.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		}
		if f.SecretFile != "" {
			text, err := os.ReadFile(f.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("function.%q: secret_file: %w", arn, err)
			}
			function.Secret = strings.TrimSpace(string(text))
			if function.Secret == "" || len(text) > maxSecret || strings.ContainsFunc(function.Secret, notPrintable) {
				return nil, fmt.Errorf("function.%q: secret_file: %s does not hold one line of printable ASCII of at most %d bytes", arn, f.SecretFile, maxSecret)
			}
		}
		functions[arn] = function
	}
	return functions, nil
}

func notPrintable(r rune) bool { return r < ' ' || r > '~' }
