// Package mailreport finds the documents in messages that bring reports on mail: those of DMARC (RFC 9990, RFC 7489) and of TLS
// (RFC 8460). It unpacks them, and reads nothing of what they say.
//
// What it meets comes from strangers. It looks at MaxMessage bytes of a message, MaxPacked of an attachment, MaxUnpacked of what comes
// out of that, a few attachments and files of an archive, and never unpacks what came out of an archive.
package mailreport

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/message"
)

// The limits of Documents, in bytes.
const (
	MaxMessage  = 10 << 20
	MaxPacked   = 4 << 20
	MaxUnpacked = 16 << 20
)

const (
	maxDocuments = 4  // of a message
	maxFiles     = 16 // of an archive that are looked at
)

// Document is an unpacked attachment: XML, or JSON where it begins with a brace.
type Document []byte

// IsJSON reports whether the document is JSON.
func (d Document) IsJSON() bool { return d[0] == '{' }

// Documents returns the documents in a message that may be reports, in their order: files of the types and names that reports have,
// plain or packed by gzip or as a zip archive. The error says why there is none, or what was wrong with one that is not among them.
func Documents(m []byte) (found []Document, err error) {
	if len(m) > MaxMessage {
		return nil, fmt.Errorf("the message has more than %d bytes", MaxMessage)
	}
	err = errors.New("the message has no attachment that could be a report")
	s := message.Scan(m)
	for i := range s.Parts {
		p := &s.Parts[i]
		if !mayBeReport(p) {
			continue
		}
		d, failed := unpack(message.DecodeTransfer(p.Encoding, m[p.BodyStart:p.End]))
		if err = failed; failed != nil {
			continue
		}
		if found = append(found, d); len(found) == maxDocuments {
			break
		}
	}
	return found, err
}

var types = []string{
	"application/gzip", "application/x-gzip", "application/zip", "application/x-zip", "application/x-zip-compressed", "application/xml", "text/xml",
	"application/json", "application/tlsrpt+gzip", "application/tlsrpt+json", "application/octet-stream",
}

// mayBeReport judges by what the part says of itself.
func mayBeReport(p *message.Part) bool {
	if p.IsMultipart() || p.IsMessage() {
		return false
	}
	return slices.Contains(types, p.Type+"/"+p.Subtype) ||
		slices.Contains([]string{".gz", ".zip", ".xml", ".json"}, strings.ToLower(path.Ext(p.FileName())))
}

// unpack judges by the bytes, as senders get the type wrong.
func unpack(b []byte) (Document, error) {
	switch {
	case len(b) > MaxPacked:
		return nil, fmt.Errorf("an attachment has more than %d bytes", MaxPacked)
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		r, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("unpack an attachment: %w", err)
		}
		r.Multistream(false) // some put other things behind
		return read(r)
	case bytes.HasPrefix(b, []byte("PK")):
		return unzip(b)
	}
	return document(b)
}

// unzip reads the one file of an archive that may be a report.
func unzip(b []byte) (Document, error) {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("unpack an attachment: %w", err)
	}
	for _, f := range r.File[:min(len(r.File), maxFiles)] {
		ext := strings.ToLower(path.Ext(f.Name))
		if ext != ".xml" && ext != ".json" && len(r.File) > 1 || strings.HasSuffix(f.Name, "/") {
			continue
		}
		content, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("unpack an attachment: %w", err)
		}
		return read(content) // from memory: there is nothing to close
	}
	return nil, errors.New("an archive has no file that could be a report")
}

func read(r io.Reader) (Document, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("unpack an attachment: %w", err)
	}
	if len(b) > MaxUnpacked {
		return nil, fmt.Errorf("an attachment unpacks to more than %d bytes", MaxUnpacked)
	}
	return document(b)
}

func document(b []byte) (Document, error) {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(b) == 0 || b[0] != '<' && b[0] != '{' {
		return nil, errors.New("an attachment is neither XML nor JSON")
	}
	return b, nil
}

// FileName is the name of a report's file (RFC 9990 section 3.5, RFC 8460 section 5.1).
func FileName(receiver, domain string, begin, end time.Time, id, extension string) string {
	return fmt.Sprintf("%s!%s!%d!%d!%s.%s", receiver, domain, begin.Unix(), end.Unix(), id, extension)
}

// MaxText is how many bytes of a text of a report are read.
const MaxText = 256

// Text bounds what a stranger wrote, and makes it text that can be kept: UTF-8 without NUL.
func Text(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(strings.TrimSpace(s), "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= MaxText {
		return s
	}
	end := MaxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
