package sdk

import (
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/test/harness"
)

// patience is how long a state may take to come.
const patience = 30 * time.Second

// TestSDKs plays the scenario with every client, against one server.
func TestSDKs(t *testing.T) {
	provider, dir := harness.StartOpenID(t), t.TempDir()
	config := provider.Config(instance)
	text := fmt.Sprintf("\n[export_bucket.%s]\nurl = 'file://%s'\n[export_bucket.unmounted]\nurl = 'file://%s/unmounted'\n", bucket, dir, dir) +
		fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\n", logGroup, filepath.Join(dir, "events.log"))
	harness.Append(t, config, text)
	s := harness.Start(t, harness.Options{Flags: []string{"--config", config}})
	provider.Register(s, map[string]map[string]any{annsIdentity: {"preferred_username": "ann"}})
	python, classes := filepath.Join("python", "caller.py"), filepath.Join(harness.Root(), ".cache", "java")
	for _, c := range []client{
		goSDK(s),
		process(t, s, "boto3", false, harness.Tool(t, "python"), python),
		process(t, s, "cli", false, harness.Tool(t, "python"), python, "--cli"),
		process(t, s, "java", true, harness.Tool(t, "java"), "-cp", filepath.Join(classes, "lib", "*")+":"+filepath.Join(classes, "classes"), "Caller"),
		process(t, s, "javascript", true, harness.Tool(t, "node"), filepath.Join("js", "caller.js")),
	} {
		t.Run(c.name, func(t *testing.T) { play(t, s, c) })
	}
}

// signIn makes a token on the sign-in page, since the API makes none, and returns its id.
func signIn(t *testing.T, s *harness.Server, alias string) string {
	t.Helper()
	b := harness.NewBrowser(t, s.TLS())
	b.Go("https://" + s.Addr("https") + "/sign-in/to/" + alias)
	b.Follow("Sign in with")
	b.Submit("", url.Values{"login": {annsIdentity}, "password": {"anything"}})
	b.Submit("Continue", nil)
	b.Submit("Make the token", url.Values{"name": {"phone"}})
	id := regexp.MustCompile(`ppat_([a-z2-7]{13})`).FindStringSubmatch(b.Page)
	if id == nil {
		t.Fatalf("the page is %d %s", b.Status, b.Page)
	}
	return id[1]
}

func play(t *testing.T, server *harness.Server, c client) {
	saved := map[string]string{"alias": "sdk-" + c.name}
	for i, s := range scenario() {
		if s.call == onThePage {
			saved["token"] = signIn(t, server, saved["alias"])
			continue
		}
		in := filled(s.in, saved).(object)
		a := c.call(t, s.call, in)
		for end := time.Now().Add(patience); s.until != nil && !reached(a, s.until, saved) && time.Now().Before(end); {
			a = c.call(t, s.call, in)
		}
		switch {
		case s.fails != "":
			if a.Error != s.fails || a.Type != s.fails {
				t.Errorf("step %d, %s %v: error %q of type %q (%s), want %s", i, s.call, in, a.Error, a.Type, a.Message, s.fails)
			}
			continue
		case a.Error != "":
			t.Fatalf("step %d, %s %v: %s: %s", i, s.call, in, a.Error, a.Message)
		}
		if d := difference(s.call, filled(s.out, saved), any(a.Output), c.absentIsEmpty); d != "" {
			t.Errorf("step %d, %s %v: %s", i, s.call, in, d)
		}
		for name, member := range s.save {
			saved[name], _ = a.Output[member].(string)
		}
	}
}

// reached reports whether the output has the members that until names.
func reached(a answer, until object, saved map[string]string) bool {
	for name, want := range until {
		if a.Output[name] != filled(want, saved) {
			return false
		}
	}
	return true
}

// TestScenarioCallsEveryOperation holds that no operation that is built is left out.
func TestScenarioCallsEveryOperation(t *testing.T) {
	called := map[string]bool{}
	for _, s := range scenario() {
		if s.fails == "" && s.call != onThePage {
			called[s.call] = true
		}
	}
	for _, h := range (&awsapi.API{}).Handlers() {
		if !called[h.Op.Name] {
			t.Errorf("no step calls %s", h.Op.Name)
		}
		delete(called, h.Op.Name)
	}
	if len(called) > 0 {
		t.Errorf("called and not built: %v", slices.Sorted(maps.Keys(called)))
	}
}

// TestScenarioMeetsEveryException holds that every modelled exception is met, but for those that can't be.
func TestScenarioMeetsEveryException(t *testing.T) {
	met := map[string]bool{
		"DirectoryInUseException":                       true, // external directories come later
		"DirectoryServiceAuthenticationFailedException": true, // so do they
		"UnsupportedOperationException":                 true, // a read-only directory
		"InvalidCustomSesConfigurationException":        true, // there is no SES
	}
	for _, s := range scenario() {
		met[s.fails] = true
	}
	for _, h := range (&awsapi.API{}).Handlers() {
		for _, code := range h.Op.Errors {
			if !met[string(code)] {
				t.Errorf("no step meets %s of %s", code, h.Op.Name)
				met[string(code)] = true
			}
		}
	}
}

// TestDifference holds the comparison itself: a comparison that can't fail would make every client agree.
func TestDifference(t *testing.T) {
	second := float64(time.Now().Unix())
	for _, c := range []struct {
		want, got     any
		absentIsEmpty bool
		same          bool
	}{
		{object{"A": "x"}, object{"A": "x"}, false, true},
		{object{"A": "x"}, object{"A": "y"}, false, false},
		{object{"A": "x"}, object{}, true, false},
		{object{"A": "x"}, object{"A": "x", "B": "y"}, true, false},
		{object{"A": "x", "B": false}, object{"A": "x"}, false, false},
		{object{"A": "x", "B": false}, object{"A": "x"}, true, true},
		{object{"A": "x"}, object{"A": "x", "B": ""}, false, false},
		{object{"A": "x"}, object{"A": "x", "B": ""}, true, true},
		{object{"L": list{"a"}}, object{"L": list{"a", "b"}}, false, false},
		{object{"L": list{}}, object{"L": list{}}, false, true},
		{object{"L": list{}}, object{}, false, false},
		{object{"D": now}, object{"D": second}, false, true},
		{object{"D": now}, object{"D": second - 3600}, false, false},
		{object{"D": now}, object{}, true, false},
		{object{"N": 7}, object{"N": 7.0}, false, true},
		{object{"N": 7}, object{"N": 8.0}, false, false},
		{object{"U": uuid}, object{"U": "0e4a5b9c-1111-4222-8333-444455556666"}, false, true},
		{object{"U": uuid}, object{"U": "0e4a5b9c"}, false, false},
		{containing(object{"A": "x"}), list{object{"A": "y"}, object{"A": "x"}}, false, true},
		{containing(object{"A": "x"}), list{object{"A": "y"}}, false, false},
	} {
		if d := difference("value", c.want, c.got, c.absentIsEmpty); (d == "") != c.same {
			t.Errorf("%v and %v: %q", c.want, c.got, d)
		}
	}
}
