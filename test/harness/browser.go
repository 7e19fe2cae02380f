package harness

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser is a web browser without JavaScript: it keeps cookies, follows redirects, and fills in forms.
type Browser struct {
	t      testing.TB
	client *http.Client
	// Status and Page are of what it shows now.
	Status int
	Page   string
	at     *url.URL
}

// NewBrowser makes a browser that trusts whom the configuration says.
func NewBrowser(t testing.TB, trust *tls.Config) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: trust}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t: t, client: &http.Client{Jar: jar, Transport: transport, Timeout: patience}}
}

// Go opens an address, which may be relative to the page.
func (b *Browser) Go(address string) {
	b.t.Helper()
	b.show(http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.resolve(address), nil))
}

func (b *Browser) resolve(address string) string {
	b.t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.at != nil {
		to = b.at.ResolveReference(to)
	}
	return to.String()
}

func (b *Browser) show(r *http.Request, err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Status, b.Page, b.at = response.StatusCode, string(page), response.Request.URL
}

// Follow opens the first link of the page whose text has the words.
func (b *Browser) Follow(words string) {
	b.t.Helper()
	for n := range b.document().Descendants() {
		if n.Data == "a" && strings.Contains(text(n), words) {
			b.Go(attribute(n, "href"))
			return
		}
	}
	b.t.Fatalf("there is no link %q on %s", words, b.Page)
}

// Submit presses the first button of the page whose text has the words, with its form filled in beside what stands there.
func (b *Browser) Submit(words string, fill url.Values) {
	b.t.Helper()
	for n := range b.document().Descendants() {
		if n.Data != "form" || !strings.Contains(text(n), words) {
			continue
		}
		values := url.Values{}
		for field := range n.Descendants() {
			kind := attribute(field, "type")
			if field.Data == "input" && (kind != "checkbox" || has(field, "checked")) {
				values.Add(attribute(field, "name"), attribute(field, "value"))
			}
		}
		for name, value := range fill {
			values[name] = value
		}
		to := b.resolve(attribute(n, "action"))
		if !strings.EqualFold(attribute(n, "method"), "post") {
			b.Go(to + "?" + values.Encode())
			return
		}
		r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to, strings.NewReader(values.Encode()))
		if err == nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		b.show(r, err)
		return
	}
	b.t.Fatalf("there is no form with %q on %s", words, b.Page)
}

func (b *Browser) document() *html.Node {
	b.t.Helper()
	root, err := html.Parse(strings.NewReader(b.Page))
	if err != nil {
		b.t.Fatal(err)
	}
	return root
}

func text(n *html.Node) string {
	var words strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			words.WriteString(d.Data)
		}
	}
	return words.String()
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
