package harness

import (
	"encoding/json"
	"path/filepath"
	"testing"
)

// A Case is a message that a judge has something to do with.
type Case struct {
	// Do is verify, sign or seal.
	Do      string `json:"do"`
	Message []byte `json:"message"`

	// For verify: who hands the message in, for SPF and with it DMARC.
	Address string `json:"address,omitempty"`
	Hello   string `json:"hello,omitempty"`
	Sender  string `json:"sender,omitempty"`

	// For sign and seal.
	Domain           string `json:"domain,omitempty"`
	Selector         string `json:"selector,omitempty"`
	Algorithm        string `json:"algorithm,omitempty"`        // rsa-sha256, ed25519-sha256 (not for seal)
	Key              string `json:"key,omitempty"`              // PEM: RSA as PKCS#1, Ed25519 as PKCS#8
	Canonicalization string `json:"canonicalization,omitempty"` // relaxed/simple and the like; for sign
	Results          string `json:"results,omitempty"`          // the authserv-id and the results that are sealed
	Validation       string `json:"cv,omitempty"`               // none, pass, fail; for seal
}

// A Judgement is what a judge answers to a case.
type Judgement struct {
	DKIM  []Opinion `json:"dkim"` // from top to bottom
	ARC   Opinion   `json:"arc"`
	SPF   Opinion   `json:"spf"`
	DMARC Opinion   `json:"dmarc"` // of mailauth
	// Message is what was signed or sealed.
	Message []byte `json:"message"`
}

// An Opinion is one result of a Judgement.
type Opinion struct {
	Result   string `json:"result"`
	Reason   string `json:"reason"`
	Domain   string `json:"domain"`
	Selector string `json:"selector"`
	Policy   string `json:"policy"` // of DMARC: what is asked for
}

// Judges are the programs in other languages that sign, seal and verify messages: dkimpy with pyspf (DKIM, ARC, SPF) and mailauth (these and
// DMARC).
func Judges() []string { return []string{"dkimpy", "mailauth"} }

// Judge lets one of Judges decide cases, all in one process of a second or a few. It asks the DNS server at dns (host:port).
func Judge(t testing.TB, judge, dns string, cases ...Case) []Judgement {
	t.Helper()
	c := map[string]Command{
		"dkimpy":   {Name: "python", Args: []string{"signatures.py"}, Dir: "python", Env: []string{"PYTHONDONTWRITEBYTECODE=1"}},
		"mailauth": {Name: "node", Args: []string{"signatures.js"}, Dir: "js"},
	}[judge]
	stdin, err := json.Marshal(map[string]any{"dns": dns, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	c.Name, c.Dir, c.Stdin = Tool(t, c.Name), filepath.Join(Root(), "test", c.Dir), string(stdin)
	r := Run(t, c)
	var answers []Judgement
	if err := json.Unmarshal([]byte(r.Stdout), &answers); r.Status != 0 || err != nil || len(answers) != len(cases) {
		t.Fatalf("%s: %v: %s", judge, err, r)
	}
	return answers
}
