package dmarcreport

import (
	"compress/gzip"
	"encoding/xml"
	"fmt"
	"io"
)

// Write writes the report as XML, packed by gzip. The version and the namespace are those of RFC 9990.
func Write(w io.Writer, r Report) error {
	r.Version = "1.0"
	packed := gzip.NewWriter(w)
	if _, err := io.WriteString(packed, xml.Header); err != nil {
		return fmt.Errorf("write a DMARC report: %w", err)
	}
	if err := xml.NewEncoder(packed).Encode(r); err != nil {
		return fmt.Errorf("write a DMARC report: %w", err)
	}
	if err := packed.Close(); err != nil {
		return fmt.Errorf("write a DMARC report: %w", err)
	}
	return nil
}
