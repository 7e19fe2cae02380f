package web

import (
	"html"
	"strings"
	"time"

	"github.com/pennypost/pennypost/internal/identity"
)

// The pages are few and written out here: html/template calls methods by names that only it knows, and one such call in the
// program has the linker keep every exported method of every type (internal/arch). All that is not written here goes through
// markup.text, which escapes it for text and for quoted attributes alike.

// view is what a page shows.
type view struct {
	Title string
	block func(*markup, view)

	Alias   string
	Text    string // of an error
	User    string
	CSRF    string
	Scopes  []string
	Tokens  []identity.Token
	Secret  string // of a token that was just made
	Made    identity.Token
	Problem string // with the last form
	Link    string // the secret of a set-password link
}

// markup is HTML in the making.
type markup struct{ b strings.Builder }

// raw writes what this program itself says.
func (m *markup) raw(html string) *markup {
	m.b.WriteString(html)
	return m
}

func (m *markup) text(value string) *markup { return m.raw(html.EscapeString(value)) }

// page is the whole document.
func (v view) page() string {
	var m markup
	m.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>").text(v.Title).raw("</title>\n" +
		"<link rel=\"stylesheet\" href=\"/sign-in/style.css\">\n</head>\n<body>\n<main>\n<h1>").text(v.Title).raw("</h1>\n")
	v.block(&m, v)
	return m.raw("\n</main>\n</body>\n</html>").b.String()
}

func chooseBlock(m *markup, _ view) {
	m.raw(`<form method="get" action="/sign-in">
<label>Organization <input name="organization" required maxlength="62" autocomplete="organization" autocapitalize="none"></label>
<button>Continue</button>
</form>`)
}

func startBlock(m *markup, v view) {
	m.raw(`<p><a class="button" href="/sign-in/to/`).text(v.Alias).raw(`/begin">Sign in with your organization's identity provider</a></p>
<p><a href="/sign-in?organization=">Another organization</a></p>`)
}

func failBlock(m *markup, v view) {
	m.problem(v.Text).raw(`
<p><a href="/sign-in">Begin again</a></p>`)
}

func (m *markup) problem(text string) *markup {
	return m.raw(`<p class="problem" role="alert">`).text(text).raw(`</p>`)
}

// form begins a form that changes something.
func (m *markup) form(csrf string, action ...string) {
	m.raw(`<form method="post" action="/sign-in/`)
	for _, part := range action {
		m.text(part)
	}
	m.raw(`"><input type="hidden" name="csrf" value="`).text(csrf).raw(`">`)
}

func tokensBlock(m *markup, v view) {
	m.form(v.CSRF, "out")
	m.raw("\nSigned in as <strong>").text(v.User).raw("</strong>. <button>Sign out</button></form>\n")
	if v.Problem != "" {
		m.problem(v.Problem)
	}
	if v.Secret != "" {
		m.raw(`<section class="made" role="status">
<p>The token <strong>`).text(v.Made.Name).raw(`</strong>. Give it to your mail program in place of your password. It is shown only now.</p>
<p><code id="token">`).text(v.Secret).raw("</code></p>\n</section>")
	}
	if len(v.Tokens) == 0 {
		m.raw("<p>You have no personal access tokens.</p>")
	} else {
		m.raw(`<table>
<thead><tr><th>Name</th><th>For</th><th>Made</th><th>Last used</th><th>Expires</th><th></th></tr></thead>
<tbody>`)
		for i := range v.Tokens {
			m.token(&v.Tokens[i], v.CSRF)
		}
		m.raw("\n</tbody></table>")
	}
	m.raw("\n<h2>A new token</h2>\n")
	m.form(v.CSRF, "tokens")
	m.raw("\n" + `<label>Name <input name="name" required maxlength="64"></label>
<fieldset><legend>For</legend>`)
	for _, scope := range v.Scopes {
		m.raw("\n" + `<label><input type="checkbox" name="scope" value="`).text(scope).raw(`" checked> `).text(scope).raw("</label>")
	}
	m.raw("\n</fieldset>\n<button>Make the token</button>\n</form>")
}

// token is a row of the table.
func (m *markup) token(t *identity.Token, csrf string) {
	m.raw("\n<tr><td>").text(t.Name).raw("</td><td>").text(strings.Join(t.Scopes, " ")).raw("</td><td>").text(moment(t.Created, time.DateOnly)).
		raw("</td>\n<td>").text(moment(t.Used, "2006-01-02 15:04")).raw("</td>\n<td>").text(moment(t.Expires, time.DateOnly)).raw("</td>\n<td>")
	m.form(csrf, "tokens/", t.ID, "/delete")
	m.raw("<button>Delete</button></form></td></tr>")
}

// moment is a time for a person, or that there was none.
func moment(t time.Time, layout string) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(layout)
}
