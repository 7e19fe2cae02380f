package verdicts

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pennypost/pennypost/internal/clock"
	"github.com/pennypost/pennypost/internal/dns"
	"github.com/pennypost/pennypost/internal/message"
	"github.com/pennypost/pennypost/internal/transport/mailauth"
	"github.com/pennypost/pennypost/test/harness"
)

// A finding is what became of one check of a letter.
type finding struct {
	check string // dkim, spf, arc, dmarc
	about string // of dkim the selector
}

// TestVerdictsElsewhere holds that what we make of mail that arrives is what others make of it: mailauth (all checks), OpenDKIM, dkimpy (DKIM,
// ARC), pyspf (SPF) and OpenDMARC. Where they differ differences says why.
func TestVerdictsElsewhere(t *testing.T) {
	t.Parallel()
	p := newPost(t, 4)
	var letters []*letter
	for i := range 3 * max(len(keyRows), len(stampRows), len(changeRows)) {
		letters = append(letters, p.signedLetter(i))
	}
	for i := range 2 * len(spfRows) {
		letters = append(letters, p.sentLetter(i))
	}
	for i := range 6 * len(dmarcRows) {
		letters = append(letters, p.judgedLetter(i))
	}
	letters = append(letters, p.sealedLetters(6*len(sealRows))...)

	resolver := dns.New(p.names.Address)
	k := mailauth.New(mailauth.Options{Resolver: resolver, Clock: clock.System{}})
	verdicts := make([]*mailauth.Verdict, len(letters))
	ours := make([]map[finding]string, len(letters))
	cases := make([]harness.Case, len(letters))
	for i, l := range letters {
		c := mailauth.Client{Address: netip.MustParseAddr(l.Address), Hello: l.Hello}
		if l.Sender != "" {
			from, err := message.ParseAddress(l.Sender)
			if err != nil {
				t.Fatal(err)
			}
			c.From = from
		}
		verdicts[i], cases[i] = k.Check(t.Context(), c, l.Message), l.Case
		ours[i] = found(verdicts[i])
	}

	c := &comparison{T: t, letters: letters, ours: ours, used: map[int]bool{}}
	for _, judge := range harness.Judges() {
		for i, j := range harness.Judge(t, judge, p.names.Address, cases...) {
			theirs := map[finding]string{{"spf", ""}: j.SPF.Result, {"arc", ""}: j.ARC.Result}
			for _, o := range j.DKIM {
				theirs[finding{"dkim", o.Selector}] = o.Result
			}
			// What DMARC makes of other results than ours is another question.
			if judge == "mailauth" && c.agree(i, theirs) {
				theirs[finding{"dmarc", ""}] = asked(j.DMARC.Result, j.DMARC.Policy)
			}
			c.compare(judge, i, theirs)
		}
	}

	openDKIM := harness.StartOpenDKIM(t, p.names.Address)
	c.ask("OpenDKIM", func(i int) (map[finding]string, error) {
		theirs := map[finding]string{}
		fields, err := openDKIM.Results(cases[i])
		for _, r := range openDKIMResult.FindAllStringSubmatch(strings.Join(fields, " "), -1) {
			theirs[finding{"dkim", r[2]}] = r[1]
		}
		return theirs, err
	})

	openDMARC := harness.StartOpenDMARC(t, p.policies(resolver))
	c.ask("OpenDMARC", func(i int) (map[finding]string, error) {
		if letters[i].sealed { // an instance of 0 ends it: "Assertion `instance > 0' failed"
			return nil, nil
		}
		told := cases[i]
		told.Message = append([]byte("Authentication-Results: "+results(verdicts[i])+"\r\n"), told.Message...)
		theirs := map[finding]string{}
		fields, err := openDMARC.Results(told)
		for _, r := range openDMARCResult.FindAllStringSubmatch(strings.Join(fields, " "), -1) {
			theirs[finding{"dmarc", ""}] = asked(r[1], r[2])
		}
		return theirs, err
	})

	c.end()
}

var (
	openDKIMResult  = regexp.MustCompile(`dkim=(\w+)[^=]*(?:="[^"]*")?[^=]* header\.d=\S+(?: header\.i=\S+)?(?: header\.a=\S+)? header\.s=([^ ;]+)`)
	openDMARCResult = regexp.MustCompile(`dmarc=(\w+)(?: \(p=(\w+) dis=\w+\))? header\.from=`)
)

// results are those of a verdict that OpenDMARC reads, of SPF and DKIM, in its words.
func results(v *mailauth.Verdict) string {
	lines := []string{harness.JudgeID, fmt.Sprintf("spf=%s smtp.mailfrom=%s", v.SPF.Result, v.SPF.Domain)}
	for _, s := range v.DKIM {
		lines = append(lines, fmt.Sprintf("dkim=%s header.d=%s header.s=%s", s.Result, s.Domain, s.Selector))
	}
	return strings.Join(lines, "; ")
}

// found is our verdict.
func found(v *mailauth.Verdict) map[finding]string {
	ours := map[finding]string{{"spf", ""}: string(v.SPF.Result), {"arc", ""}: string(v.ARC.Result)}
	for _, s := range v.DKIM {
		ours[finding{"dkim", s.Selector}] = string(s.Result)
	}
	policy, _ := v.Asked()
	ours[finding{"dmarc", ""}] = asked(string(v.DMARC.Result), string(policy))
	return ours
}

// asked is a result of DMARC, and where it is a failure what is to be done.
func asked(result, policy string) string {
	if result == "fail" {
		return result + " " + policy
	}
	return result
}

// policies are the DMARC records, as OpenDMARC is told them.
func (p *post) policies(r *dns.Resolver) map[string]string {
	records := map[string]string{}
	for _, name := range p.dmarc {
		texts, err := r.LookupTXT(p.t.Context(), name)
		if err != nil {
			continue // there is none
		}
		records[name] = texts[0]
		if i := slices.IndexFunc(texts, func(s string) bool { return strings.Contains(s, "DMARC") }); i > 0 {
			records[name] = texts[i]
		}
	}
	return records
}

// comparison finds differences.
type comparison struct {
	*testing.T
	letters  []*letter
	ours     []map[finding]string
	used     map[int]bool // of differences
	compared int
}

// ask compares what a judge finds of each letter.
func (c *comparison) ask(judge string, look func(i int) (map[finding]string, error)) {
	c.Helper()
	for i, l := range c.letters {
		theirs, err := look(i)
		if err != nil {
			c.Fatalf("%s: %v\n%.1500s", judge, err, l.Message)
		}
		c.compare(judge, i, theirs)
	}
}

// agree reports whether somebody found of SPF and DKIM what we did, as far as DMARC asks.
func (c *comparison) agree(i int, theirs map[finding]string) bool {
	for f, ours := range c.ours[i] {
		if (f.check == "spf" || f.check == "dkim") && passing(ours) != passing(theirs[f]) {
			return false
		}
	}
	return true
}

func passing(result string) string {
	if result == "pass" || result == "temperror" {
		return result
	}
	return "no"
}

// compare compares what a judge found of the i-th letter.
func (c *comparison) compare(judge string, i int, theirs map[finding]string) {
	l := c.letters[i]
	for _, f := range slices.SortedFunc(maps.Keys(c.ours[i]), func(a, b finding) int { return strings.Compare(a.check+a.about, b.check+b.about) }) {
		ours, their := c.ours[i][f], theirs[f]
		odd := l.odd
		if judge == "OpenDMARC" && f.check != "dmarc" {
			continue
		}
		switch f.check {
		case "dkim": // in which ways a signature can be wrong is said in many words
			if ours, their = passing(ours), passing(their); c.ours[i][f] == "policy" {
				ours = "policy"
			}
			odd = l.signatures[f.about]
		case "spf", "arc", "dmarc":
			if their == "" {
				continue
			}
		}
		c.compared++
		if ours == their || c.known(judge, f.check, odd, ours, their) {
			continue
		}
		c.Errorf("%s: %s %s is %q, and to us %q (%q): %q\n from %s %s <%s>\n%.1500s", judge, f.check, f.about, their, ours, c.ours[i][f], odd, l.Address, l.Hello, l.Sender, l.Message)
	}
}

func (c *comparison) known(judge, check string, odd []string, ours, theirs string) bool {
	for i, d := range differences {
		if like(d.judge, judge) && d.check == check && (d.odd == "" || slices.ContainsFunc(odd, func(s string) bool { return like(d.odd, s) })) && like(d.ours, ours) && like(d.theirs, theirs) {
			c.used[i] = true
			return true
		}
	}
	return false
}

// like matches a result with a pattern: "fail *" is any failure.
func like(pattern, result string) bool {
	matched, err := path.Match(pattern, result)
	return matched && err == nil
}

// end holds that what is said to differ does.
func (c *comparison) end() {
	for i, d := range differences {
		if !c.used[i] {
			c.Errorf("%+v: they don't differ any more", d)
		}
	}
	results := map[string]int{}
	for _, ours := range c.ours {
		for f, result := range ours {
			results[f.check+" "+result]++
		}
	}
	c.Logf("%d letters, %d findings compared, %d ways to differ; to us they are %v", len(c.letters), c.compared, len(differences), results)
}
