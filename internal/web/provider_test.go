package web_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	clientID     = "mail"
	clientSecret = "s3cret of the client"
)

// provider is an OpenID Connect provider whose every answer a test may spoil.
type provider struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey
	now func() time.Time

	mu sync.Mutex
	// spoil changes the documents by their path before they are sent; a nil document is sent as junk.
	spoil  map[string]func(document map[string]any) map[string]any
	claims map[string]any // of whoever signs in
	// sign, where it is not nil, signs the ID token otherwise.
	sign  func(claims map[string]any) string
	codes map[string]request
}

// request is what the authorization endpoint was asked.
type request struct{ redirect, nonce, challenge string }

func newProvider(t *testing.T, now func() time.Time) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, key: key, now: now, codes: map[string]request{}, spoil: map[string]func(map[string]any) map[string]any{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, r, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"userinfo_endpoint": p.URL + "/userinfo", "id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		p.answer(w, r, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "kid": "one", "alg": "RS256", "use": "sig", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		p.answer(w, r, map[string]any{"sub": p.claims["sub"], "preferred_username": "ann"})
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *provider) answer(w http.ResponseWriter, r *http.Request, document map[string]any) {
	p.mu.Lock()
	spoil := p.spoil[r.URL.Path]
	p.mu.Unlock()
	if spoil != nil {
		if document = spoil(document); document == nil {
			_, _ = fmt.Fprint(w, "<html>Welcome to nginx!")
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document)
}

// authorize signs in whoever the test says, without a question.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != clientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("state") == "" || q.Get("nonce") == "" {
		p.t.Errorf("the provider was asked %v", q)
	}
	p.mu.Lock()
	code := "code-" + rand.Text()
	p.codes[code] = request{q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge")}
	p.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?code="+code+"&state="+q.Get("state"), http.StatusSeeOther)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	p.mu.Lock()
	asked, ok := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	p.mu.Unlock()
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || id != clientID || secret != strings.ReplaceAll(clientSecret, " ", "+") || asked.redirect != r.PostFormValue("redirect_uri") || asked.challenge != encode(verifier[:]) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	claims := map[string]any{"iss": p.URL, "aud": clientID, "nonce": asked.nonce, "exp": p.now().Add(time.Minute).Unix(), "iat": p.now().Unix()}
	p.mu.Lock()
	for name, value := range p.claims {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	sign := p.sign
	p.mu.Unlock()
	if sign == nil {
		sign = func(claims map[string]any) string { return rs256(p.t, p.key, claims) }
	}
	p.answer(w, r, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60, "id_token": sign(claims)})
}

// unsigned is the part of a JWS that is signed.
func unsigned(t *testing.T, algorithm string, claims map[string]any) string {
	t.Helper()
	head, err := json.Marshal(map[string]any{"alg": algorithm, "kid": "one"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	return encode(head) + "." + encode(body)
}

func rs256(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	text := unsigned(t, "RS256", claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}
