package message

// ParserVersion names what this package makes of a message: it rises when Scan, ParseEnvelope or a binary form changes, so
// that a store can tell which of its messages to read anew.
const ParserVersion = 1

// WithoutFields returns a copy of header without the fields that have one of the names (lower case). Everything else, broken
// lines too, stays as it is.
func WithoutFields(header []byte, names ...string) []byte {
	out := make([]byte, 0, len(header))
	kept := 0
	for f := range Fields(header) {
		for _, name := range names {
			if f.Is(name) {
				out = append(out, header[kept:f.Start]...)
				kept = f.End
				break
			}
		}
	}
	return append(out, header[kept:]...)
}
