package sdk

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/pennypost/pennypost/internal/awsapi"
	"github.com/pennypost/pennypost/internal/awsapi/contract"
	"github.com/pennypost/pennypost/internal/awsapi/contract/schema"
	"github.com/pennypost/pennypost/internal/directory/ldap/ldaptest"
	"github.com/pennypost/pennypost/test/harness"
)

// patience is how long a state may take to come.
const patience = time.Minute

// TestSDKs plays the scenario with every client, against one server.
func TestSDKs(t *testing.T) {
	provider, slapd, dir := harness.StartOpenID(t), ldaptest.Slapd(t, false), t.TempDir()
	secret, own := filepath.Join(dir, "secret"), filepath.Join(dir, "own")
	for _, file := range []string{secret, own} {
		write(t, file, slapd.Password)
	}
	forbidding := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer forbidding.Close()
	write(t, filepath.Join(dir, "key"), "key")
	config, function := provider.Config(instance), newFunction(t)
	text := fmt.Sprintf("\n[export_bucket.forbidden]\nurl = 's3://forbidden?endpoint=%s&path_style=true'\naccess_key_id = 'x'\n"+
		"secret_access_key_file = '%s/key'\n", forbidding.URL, dir) +
		fmt.Sprintf("\n[export_bucket.%s]\nurl = 'file://%s'\n[export_bucket.unmounted]\nurl = 'file://%s/unmounted'\n", bucket, dir, dir) +
		fmt.Sprintf("[log_group.%q]\nkind = \"file\"\npath = %q\n", logGroup, filepath.Join(dir, "events.log"))
	harness.Append(t, config, text+function.config(t, dir)+mapped(slapd, secret, own))
	s := harness.Start(t, harness.Options{Flags: []string{"--config", config}})
	organizations := organizationsOn(t, s)
	s.Stop()
	write(t, own, "another password")
	s.Start()
	provider.Register(s, map[string]map[string]any{annsIdentity: {"preferred_username": "ann"}})
	python, classes := filepath.Join("python", "caller.py"), filepath.Join(harness.Root(), ".cache", "java")
	for _, c := range []client{
		goSDK(s),
		process(t, s, "boto3", false, harness.Tool(t, "python"), python),
		process(t, s, "cli", false, harness.Tool(t, "python"), python, "--cli"),
		process(t, s, "java", true, harness.Tool(t, "java"), "-cp", filepath.Join(classes, "lib", "*")+":"+filepath.Join(classes, "classes"), "Caller"),
		process(t, s, "javascript", true, harness.Tool(t, "node"), filepath.Join("js", "caller.js")),
	} {
		t.Run(c.name, func(t *testing.T) { play(t, &world{s, function}, c, organizations) })
	}
}

func play(t *testing.T, w *world, c client, organizations map[string]string) {
	saved := maps.Clone(organizations)
	saved["alias"] = "sdk-" + c.name
	for i, s := range scenario() {
		if s.do != nil {
			s.do(t, w, saved)
			continue
		}
		in := filled(s.in, saved).(object)
		a := c.call(t, s.call, in)
		for end := time.Now().Add(patience); s.until != nil && !reached(a, s.until, saved) && time.Now().Before(end); {
			a = c.call(t, s.call, in)
		}
		switch {
		case s.fails != "":
			// Java's types all end alike.
			if a.Error != s.fails || a.Type != s.fails && a.Type != s.fails+"Exception" {
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

// ofAWS are the operations that AWS's SDKs know; our own are tested with a model that is loaded (test/python).
func ofAWS() []contract.Handler {
	return slices.DeleteFunc((&awsapi.API{}).Handlers(), func(h contract.Handler) bool {
		return h.Op.Service != contract.WorkMail && h.Op.Service != contract.MessageFlow
	})
}

// TestScenarioCallsEveryOperation holds that no operation that is built is left out.
func TestScenarioCallsEveryOperation(t *testing.T) {
	called := map[string]bool{}
	for _, s := range scenario() {
		if s.fails == "" && s.do == nil {
			called[s.call] = true
		}
	}
	for _, h := range ofAWS() {
		if !called[h.Op.Name] {
			t.Errorf("no step calls %s", h.Op.Name)
		}
		delete(called, h.Op.Name)
	}
	if len(called) > 0 {
		t.Errorf("called and not built: %v", slices.Sorted(maps.Keys(called)))
	}
}

// TestScenarioComparesEveryMember holds that each member of each output is there once in what the steps want.
func TestScenarioComparesEveryMember(t *testing.T) {
	compared := map[string]bool{
		"DescribeOrganization.MigrationAdmin": true, // nothing sets it
		// What could make the creation of an organisation fail is refused at once.
		"DescribeOrganization.ErrorMessage": true, "ListOrganizations.OrganizationSummaries.ErrorMessage": true,
	}
	for _, s := range scenario() {
		if s.fails == "" && s.do == nil {
			compare(compared, s.call, any(s.out))
		}
	}
	var walk func(path string, shape *schema.Shape)
	walk = func(path string, shape *schema.Shape) {
		switch shape.Type {
		case schema.Structure:
			for _, m := range shape.Members {
				walk(path+"."+m.Name, m.Shape)
			}
		case schema.List:
			walk(path, shape.Element)
		default:
			if !compared[path] {
				t.Errorf("no step compares %s", path)
			}
		}
	}
	for _, h := range ofAWS() {
		walk(h.Op.Name, h.Op.Output)
	}
}

// compare notes the members that a wanted output says something about.
func compare(compared map[string]bool, path string, want any) {
	switch want := want.(type) {
	case object:
		if item, ok := want["~containing"]; ok {
			compare(compared, path, item)
		}
		for name, value := range want {
			if compare(compared, path+"."+name, value); value == anything {
				compared[path+"."+name] = true // that it is there
			}
		}
	case list:
		for _, item := range want {
			compare(compared, path, item)
		}
	default:
		compared[path] = compared[path] || want != anything
	}
}

// TestScenarioMeetsEveryException holds that every modelled exception is met, but for those that can't be.
func TestScenarioMeetsEveryException(t *testing.T) {
	met := map[string]bool{"InvalidCustomSesConfigurationException": true} // there is no SES
	for _, s := range scenario() {
		met[s.fails] = true
	}
	for _, h := range ofAWS() {
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
