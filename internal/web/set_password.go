package web

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/pennypost/pennypost/internal/directory"
	"github.com/pennypost/pennypost/internal/fault"
)

// The page of a set-password link. The secret stands in the query of the first request alone, and then in the form: not in a path,
// which logs show, and not in the address of the page that comes of the form. Looking at the page leaves the link as it is, since
// mail scanners open what they find.

const setPasswordTitle = "Set your password"

// askPassword shows the form.
func (h *Handler) askPassword(w http.ResponseWriter, r *http.Request) {
	h.passwordForm(w, r, r.URL.Query().Get(LinkParameter), http.StatusOK, "")
}

// passwordForm shows the form for a link's user, with what was wrong with the last one.
func (h *Handler) passwordForm(w http.ResponseWriter, r *http.Request, link string, status int, problem string) {
	who, err := h.config.Door.PasswordLink(r.Context(), link, circumstances(r))
	if err != nil {
		h.failLink(w, r, err)
		return
	}
	h.show(w, r, status, view{block: passwordBlock, Title: setPasswordTitle, User: who.Email, Link: link, Problem: problem})
}

func (h *Handler) failLink(w http.ResponseWriter, r *http.Request, err error) {
	h.failAs(w, r, err, view{block: failLinkBlock, Title: "Password not set"})
}

// setPassword takes the form.
func (h *Handler) setPassword(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		h.failLink(w, r, fault.New(fault.Invalid, fault.None, "the form can't be read"))
		return
	}
	link, password := r.PostForm.Get(LinkParameter), r.PostForm.Get("password")
	if password != r.PostForm.Get("again") {
		h.passwordForm(w, r, link, http.StatusBadRequest, "the two passwords are not the same")
		return
	}
	who, err := h.config.Door.SetPassword(r.Context(), link, password, circumstances(r))
	if f := fault.As(err); f != nil && f.Kind == fault.BadPassword {
		h.passwordForm(w, r, link, http.StatusBadRequest, f.Message)
		return
	}
	if err != nil {
		h.failLink(w, r, err)
		return
	}
	h.show(w, r, http.StatusOK, view{block: passwordSetBlock, Title: "Your password is set", User: who.Email})
}

func passwordBlock(m *markup, v view) {
	described := "policy"
	if v.Problem != "" {
		m.raw(`<p class="problem" role="alert" id="problem">`).text(sentence(v.Problem)).raw("</p>\n")
		described = "problem policy"
	}
	m.raw(`<form method="post" action="` + PasswordPath + `">
<input type="hidden" name="` + LinkParameter + `" value="`).text(v.Link).raw(`">
<label>Mail address <input type="email" name="username" value="`).text(v.User).raw(`" size="`).text(strconv.Itoa(len(v.User) + 1)).raw(`" autocomplete="username" readonly></label>
<p id="policy">`).text(directory.PasswordPolicy).raw(`</p>
<label>New password <input type="password" name="password" required autocomplete="new-password" aria-describedby="`).text(described).raw(`" autofocus></label>
<label>The same again <input type="password" name="again" required autocomplete="new-password"></label>
<p><button>Set the password</button></p>
</form>`)
}

func passwordSetBlock(m *markup, v view) {
	m.raw(`<p class="made" role="status">Sign in with your mail program as <strong>`).text(v.User).raw(`</strong> and the new password.
The link that led here is used up.</p>`)
}

func failLinkBlock(m *markup, v view) { m.problem(sentence(v.Text)) }

// sentence makes a fault's message one.
func sentence(message string) string {
	if message == "" || message[len(message)-1] == '.' {
		return message
	}
	return strings.ToUpper(message[:1]) + message[1:] + "."
}
