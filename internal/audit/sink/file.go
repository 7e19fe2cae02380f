// Package sink holds the places that records of a log group can go to: a file, an HTTPS endpoint, an OpenTelemetry collector,
// Amazon CloudWatch Logs.
package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/pennypost/pennypost/internal/audit"
)

// File appends records to a file, a JSON object a line. The file is opened for each batch, so that others may rotate it.
type File struct{ Path string }

// Send appends the records and returns when they are on disk. Where the disk is full, what was written of them is cut off
// again.
func (f File) Send(_ context.Context, records []audit.LogRecord) (err error) {
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	before, err := file.Stat()
	if err != nil {
		return fmt.Errorf("log file: %w", err)
	}
	if _, err = file.Write(lines(records)); err == nil {
		err = file.Sync()
	}
	switch {
	case err == nil:
		return nil
	case before.Mode().IsRegular():
		err = errors.Join(err, file.Truncate(before.Size()))
	}
	return fmt.Errorf("log file: %w", err)
}

// lines are the records as JSON lines.
func lines(records []audit.LogRecord) []byte {
	var b bytes.Buffer
	for _, r := range records {
		b.Write(r.JSON)
		b.WriteByte('\n')
	}
	return b.Bytes()
}
