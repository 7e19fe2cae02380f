package sigv4

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/pennypost/pennypost/internal/clock"
	"pgregory.net/rapid"
)

// The key and time of AWS's published test suite for Signature Version 4.
var (
	suiteKey  = Key{ID: "AKIDEXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
)

func request(t testing.TB, text string) (*http.Request, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	r := httptest.NewRequest(strings.Fields(head)[0], strings.Fields(head)[1], strings.NewReader(body))
	for line := range strings.SplitSeq(head[strings.IndexByte(head, '\n')+1:], "\n") {
		name, value, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "host") {
			r.Host = strings.TrimSpace(value)
			continue
		}
		r.Header.Add(name, strings.TrimPrefix(value, " ")) // further spaces are the verifier's to trim
	}
	return r, []byte(body)
}

func check(v *Verifier, r *http.Request, body []byte, key Key, service string) error {
	s, err := Parse(r)
	if err != nil {
		return err
	}
	return v.Verify(r, body, s, key, service)
}

// TestPublishedVectors are facts of AWS's test suite and of the worked example in the IAM User Guide.
func TestPublishedVectors(t *testing.T) {
	for name, c := range map[string]struct{ service, request string }{
		"the guide's ListUsers": {"iam", "GET /?Action=ListUsers&Version=2010-05-08\nHost: iam.amazonaws.com\n" +
			"Content-Type: application/x-www-form-urlencoded; charset=utf-8\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, " +
			"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
		"get-vanilla": {"service", "GET /\nHost: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
			"Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla": {"service", "POST /\nHost: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
			"Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"get-vanilla-query-order-key-case": {"service", "GET /?Param2=value2&Param1=value1\nHost: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, " +
			"Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
		"get-header-value-trim": {"service", "GET /\nHost: example.amazonaws.com\nMy-Header1:  value1\nMy-Header2: \"a   b   c\"\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;my-header1;my-header2;x-amz-date, " +
			"Signature=acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
		"post-x-www-form-urlencoded": {"service", "POST /\nContent-Type: application/x-www-form-urlencoded\nHost: example.amazonaws.com\nX-Amz-Date: 20150830T123600Z\n" +
			"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=content-type;host;x-amz-date, " +
			"Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a\n\nParam1=value1"},
	} {
		r, body := request(t, c.request)
		if err := check(New(clock.NewFake(suiteTime)), r, body, suiteKey, c.service); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := check(New(clock.NewFake(suiteTime)), r, append(body, 'x'), suiteKey, c.service); err == nil {
			t.Errorf("%s: another body passes", name)
		}
	}
	key := derive(suiteKey.Secret, &Signature{Day: "20150830", Region: "us-east-1", Service: "iam"})
	if got := hex.EncodeToString(key[:]); got != "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" {
		t.Errorf("the guide's signing key is %s", got)
	}
}

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// signed returns a request that the SDK signed at the time.
func signed(t testing.TB, key Key, at time.Time, body string, change func(*http.Request)) (*http.Request, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8480/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "WorkMailService.ListOrganizations")
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	if change != nil {
		change(r)
	}
	hash := sha256.Sum256([]byte(body))
	credentials := aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
	if err := v4.NewSigner().SignHTTP(context.Background(), credentials, r, hex.EncodeToString(hash[:]), "workmail", "eu-north-9", at); err != nil {
		t.Fatal(err)
	}
	return r, []byte(body)
}

func TestTheSDKsSignaturesOverAConnection(t *testing.T) {
	v := New(clock.NewFake(now))
	got := make(chan error, 1)
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- check(v, r, body, suiteKey, "workmail")
	})
	plain, http2 := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	defer plain.Close()
	http2.EnableHTTP2 = true
	http2.StartTLS()
	defer http2.Close()
	for name, change := range map[string]func(*http.Request){
		"plain":          func(*http.Request) {},
		"a path":         func(r *http.Request) { r.URL.Path = "/messages/a b/ü+%2F" },
		"a query":        func(r *http.Request) { r.URL.RawQuery = "b=2&a=%C3%BC%20x&a=1&c" },
		"spaces":         func(r *http.Request) { r.Header.Set("X-Thing", "  a   b  ") },
		"several values": func(r *http.Request) { r.Header["X-Thing"] = []string{"b", "a,c"} },
		"a declared hash": func(r *http.Request) {
			h := sha256.Sum256([]byte(`{"ü":1}`))
			r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(h[:]))
		},
		"a signed length":  func(r *http.Request) { r.ContentLength = int64(len(`{"ü":1}`)) },
		"unsigned headers": func(r *http.Request) { r.Header.Set("X-Amzn-Trace-Id", "Root=1"); r.Header.Set("User-Agent", "x") },
	} {
		for _, server := range []*httptest.Server{plain, http2} {
			r, body := signed(t, suiteKey, now, `{"ü":1}`, func(r *http.Request) {
				r.Host = server.Listener.Addr().String()
				change(r)
			})
			address, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			r.URL.Scheme, r.URL.Host, r.RequestURI = address.Scheme, address.Host, ""
			r.Body = io.NopCloser(bytes.NewReader(body))
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if err := <-got; err != nil {
				t.Errorf("%s by %s: %v", name, response.Proto, err)
			}
			if server == http2 && response.ProtoMajor != 2 {
				t.Errorf("%s went by %s", name, response.Proto)
			}
		}
	}
}

func codeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestRefusals(t *testing.T) {
	replace := func(old, new string) func(*http.Request) {
		return func(r *http.Request) {
			h := r.Header.Get("Authorization")
			if !strings.Contains(h, old) {
				t.Fatalf("%q is not in %q", old, h)
			}
			r.Header.Set("Authorization", strings.Replace(h, old, new, 1))
		}
	}
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for name, c := range map[string]struct {
		change func(*http.Request)
		code   string
		says   string
	}{
		"no signature":           {func(r *http.Request) { r.Header.Del("Authorization") }, MissingToken, "no Authorization header"},
		"presigned":              {func(r *http.Request) { r.Header.Del("Authorization"); r.URL.RawQuery = "X-Amz-Signature=00" }, Incomplete, "query string are not accepted"},
		"signed twice":           {func(r *http.Request) { r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256" }, Incomplete, "signed twice"},
		"two headers":            {func(r *http.Request) { r.Header.Add("Authorization", "x") }, Incomplete, "2 Authorization headers"},
		"a session token":        {set("X-Amz-Security-Token", "t"), UnrecognizedClient, "issues no session tokens"},
		"another algorithm":      {replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), Incomplete, "must begin with AWS4-HMAC-SHA256"},
		"basic":                  {set("Authorization", "Basic QUxBREQ6"), Incomplete, "must begin with AWS4-HMAC-SHA256"},
		"a part missing":         {replace("SignedHeaders=", "Headers="), Incomplete, "each once"},
		"a part twice":           {replace("SignedHeaders=", "Signature=00, SignedHeaders="), Incomplete, "each once"},
		"a huge header":          {set("Authorization", algorithm+" "+strings.Repeat("a", 9000)), Incomplete, "longer than"},
		"a short scope":          {replace("/aws4_request", ""), Incomplete, "Credential must be"},
		"a wrong terminator":     {replace("aws4_request", "aws5_request"), Incomplete, "Credential must be"},
		"a wild key id":          {replace("AKIDEXAMPLE", "A%00"), Incomplete, "Credential must be"},
		"a wild region":          {replace("eu-north-9", "eu_north"), Incomplete, "Credential must be"},
		"another region":         {replace("eu-north-9", "eu-north-1"), Invalid, "does not match"},
		"another key's name":     {replace("AKIDEXAMPLE", "AKIDOTHER"), "", ""}, // whoever is named is looked up by the caller
		"another day":            {replace("/20261123/", "/20261122/"), Invalid, "The day in Credential"},
		"another service":        {replace("/workmail/", "/sts/"), Invalid, "is for the service 'sts'"},
		"a header in upper case": {replace("host", "Host"), Incomplete, "lower case"},
		"a header twice":         {replace("host", "host;host"), Incomplete, "each once"},
		"headers in other order": {replace("content-type;host", "host;content-type"), Invalid, "does not match"},
		"no host":                {replace("host;", ""), Invalid, "must cover the header host"},
		"no date":                {replace(";x-amz-date", ""), Invalid, "must cover the header x-amz-date"},
		"no target":              {replace(";x-amz-target", ""), Invalid, "must cover the header x-amz-target"},
		"an absent header":       {replace("host", "from;host"), Invalid, "header from is named"},
		"short signature":        {replace("Signature=", "Signature=0"), Incomplete, "64 hexadecimal digits"},
		"two dates":              {func(r *http.Request) { r.Header.Add("X-Amz-Date", "20261123T120000Z") }, Incomplete, "one X-Amz-Date header, not 2"},
		"a strange date":         {set("X-Amz-Date", "2026-11-23"), Incomplete, "must be of the form"},
		"another date":           {set("X-Amz-Date", "20261123T120001Z"), Invalid, "does not match"},
		"another target":         {set("X-Amz-Target", "WorkMailService.DeleteOrganization"), Invalid, "does not match"},
		"another content type":   {set("Content-Type", "text/plain"), Invalid, "does not match"},
		"another host":           {func(r *http.Request) { r.Host = "evil" }, Invalid, "does not match"},
		"another path":           {func(r *http.Request) { r.URL.Path = "/x" }, Invalid, "does not match"},
		"another query":          {func(r *http.Request) { r.URL.RawQuery = "x" }, Invalid, "does not match"},
		"a broken query":         {func(r *http.Request) { r.URL.RawQuery = "x=%zz" }, Invalid, "not well encoded"},
		"another method":         {func(r *http.Request) { r.Method = "PUT" }, Invalid, "does not match"},
		"an unsigned payload":    {set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), Invalid, "signed as a whole"},
		"a streamed payload":     {set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), Invalid, "signed as a whole"},
		"a wrong declared hash":  {set("X-Amz-Content-Sha256", strings.Repeat("0", 64)), Invalid, "not the SHA-256"},
	} {
		r, body := signed(t, suiteKey, now, "{}", nil)
		c.change(r)
		key := suiteKey
		if c.code == "" {
			key.Secret, c.code, c.says = "other", Invalid, "does not match"
		}
		err := check(New(clock.NewFake(now)), r, body, key, "workmail")
		if codeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s … %s", name, err, c.code, c.says)
		}
	}
	r, _ := signed(t, suiteKey, now, "{}", nil)
	if err := check(New(clock.NewFake(now)), r, []byte("{ }"), suiteKey, "workmail"); codeOf(err) != Invalid {
		t.Errorf("another body: %v", err)
	}
}

func TestSkew(t *testing.T) {
	for _, c := range []struct {
		off  time.Duration
		says string
	}{
		{0, ""},
		{-5 * time.Minute, ""},
		{5 * time.Minute, ""},
		{-5*time.Minute - time.Second, "Signature expired: 20261123T115459Z is now earlier than 20261123T115500Z (20261123T120000Z - 5 min.)"},
		{5*time.Minute + time.Second, "Signature not yet current: 20261123T120501Z is still later than 20261123T120500Z (20261123T120000Z + 5 min.)"},
	} {
		r, body := signed(t, suiteKey, now.Add(c.off), "{}", nil)
		err := check(New(clock.NewFake(now)), r, body, suiteKey, "workmail")
		if (err == nil) != (c.says == "") || err != nil && (codeOf(err) != Invalid || !strings.HasSuffix(err.Error(), c.says)) {
			t.Errorf("%v off: got %v, want %q", c.off, err, c.says)
		}
	}
}

// TestARotatedSecret guards against what the SDK's own signer would accept: its cache does not look at the secret.
func TestARotatedSecret(t *testing.T) {
	v := New(clock.NewFake(now))
	r, body := signed(t, suiteKey, now, "{}", nil)
	if err := check(v, r, body, suiteKey, "workmail"); err != nil {
		t.Fatal(err)
	}
	rotated := Key{ID: suiteKey.ID, Secret: "another secret"}
	if err := check(v, r, body, rotated, "workmail"); codeOf(err) != Invalid {
		t.Errorf("a signature by the old secret: %v", err)
	}
	r, body = signed(t, rotated, now, "{}", nil)
	if err := check(v, r, body, rotated, "workmail"); err != nil {
		t.Errorf("a signature by the new secret: %v", err)
	}
}

func TestSigningKeysAreBoundedAndOnlyKeptForThoseWhoCanSign(t *testing.T) {
	v := New(clock.NewFake(now))
	v.keys = newSigningKeys(3)
	r, body := signed(t, Key{ID: suiteKey.ID, Secret: "wrong"}, now, "{}", nil)
	if err := check(v, r, body, suiteKey, "workmail"); codeOf(err) != Invalid || len(v.keys.keys) != 0 {
		t.Errorf("a wrong signature: %v, %d keys kept", err, len(v.keys.keys))
	}
	old := &Signature{Day: "20261122", Region: "r", Service: "s"}
	for _, region := range []string{"a", "b", "c", "d"} {
		v.keys.put(suiteKey, &Signature{Day: "20261122", Region: region}, derive("", old))
	}
	if len(v.keys.keys) != 3 {
		t.Errorf("%d keys kept, want 3", len(v.keys.keys))
	}
	r, body = signed(t, suiteKey, now, "{}", nil)
	for range 2 {
		if err := check(v, r, body, suiteKey, "workmail"); err != nil {
			t.Fatal(err)
		}
	}
	if len(v.keys.keys) != 1 {
		t.Errorf("%d keys kept, want that of today", len(v.keys.keys))
	}
}

// TestAnyRequestTheSDKSigns compares with the SDK's signer as oracle: what it signs passes, with a byte changed it does not.
func TestAnyRequestTheSDKSigns(t *testing.T) {
	v := New(clock.NewFake(now))
	value := rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`)
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.StringN(0, 50, -1).Draw(rt, "body")
		r, _ := signed(t, suiteKey, now, body, func(r *http.Request) {
			r.Host = "localhost"
			r.URL.Path = rapid.StringMatching(`/(messages/[ -~ü]{0,20})?`).Draw(rt, "path")
			for range rapid.IntRange(0, 3).Draw(rt, "headers") {
				r.Header.Add(rapid.StringMatching(`X-[A-Z][a-z]{1,8}`).Draw(rt, "name"), value.Draw(rt, "value"))
			}
		})
		if err := check(v, r, []byte(body), suiteKey, "workmail"); err != nil {
			rt.Fatalf("%v: %+v", err, r)
		}
		changed := []byte(body + "x")
		changed[rapid.IntRange(0, len(changed)-1).Draw(rt, "at")] ^= 1
		if err := check(v, r, changed, suiteKey, "workmail"); codeOf(err) != Invalid {
			rt.Fatalf("another body passes: %v", err)
		}
	})
}

// FuzzParse hands any headers to the reader and the verifier: nothing passes that was not signed, and nothing panics.
func FuzzParse(f *testing.F) {
	r, _ := signed(f, suiteKey, now, "{}", nil)
	f.Add(r.Header.Get("Authorization"), "20261123T120000Z", "/", "")
	f.Add("AWS4-HMAC-SHA256 Credential=a/20261123/r/workmail/aws4_request,SignedHeaders=host;x-amz-date,Signature="+strings.Repeat("0", 64), "20261123T120000Z", "/messages/x", "a=b&c")
	f.Add("", "", "", "X-Amz-Signature=0")
	f.Fuzz(func(t *testing.T, authorization, date, path, query string) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost:8480/", nil)
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		r.URL.Path, r.URL.RawQuery = path, query
		s, err := Parse(r)
		if err == nil {
			if s.KeyID == "" || s.Day != date[:8] || len(s.mac) != 32 {
				t.Errorf("%q was read as %+v", authorization, s)
			}
			err = New(clock.NewFake(now)).Verify(r, nil, s, Key{s.KeyID, "a secret the fuzzer doesn't know"}, "workmail")
		}
		if codeOf(err) == "" {
			t.Errorf("%q: %v", authorization, err)
		}
	})
}
