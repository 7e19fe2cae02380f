// Package route says where mail for a domain goes and how the connection must be protected.
package route
