package verdicts

// differences are what others find otherwise of letters with an oddity (none: of any), each with who is right by the documents, or that
// they leave a choice. Names and results are patterns of path.Match.
var differences = []struct {
	judge, check, odd string
	ours, theirs      string
	why               string
}{
	// Choices of ours.
	{"*", "dkim", "stamp l *", "policy", "pass", "RFC 6376 section 8.2: what l= leaves unsigned can be replaced, so that such a signature proves nothing here"},
	{"*", "dkim", "From twice", "policy", "pass", "RFC 6376 section 8.15: one From is not signed, and may be the one that is shown"},
	{"dkimpy", "dkim", "From twice", "policy", "no", "the same: it refuses such a message"},
	{"mailauth", "dkim", "stamp from the future", "no", "pass", "RFC 6376 section 3.5, t=: verifiers may ignore signatures from the future"},
	{"*", "dkim", "key beside text", "pass", "no", "RFC 6376 section 3.6.2.2 leaves open what several records are: we try each"},
	{"OpenDKIM", "dkim", "key beside text", "pass", "temperror", "the same"},
	{"*", "arc", "seal key beside text", "pass", "fail", "the same"},
	{"dkimpy", "dkim", "stamp a in capitals", "pass", "no", "RFC 6376 section 3.2 has values case-sensitive, its grammar has not: capitals are let pass"},
	{"dkimpy", "dkim", "key kind in capitals", "pass", "no", "the same"},
	{"mailauth", "dmarc", "dmarc tags in capitals", "*", "none", "the same, of tags, in RFC 9989 section 4.7"},
	{"mailauth", "dmarc", "dmarc p twice", "*", "none", "RFC 9989 section 4.8: errors behind the version are ignored; by RFC 6376 section 3.2 they would void the record"},
	{"OpenDMARC", "dmarc", "dmarc p twice", "fail reject", "fail none", "the same: it takes the last, we the first"},
	{"mailauth", "dmarc", "dmarc pct zero", "fail quarantine", "fail reject", "RFC 9989 appendix A.6: pct=0 of RFC 7489 was what t=y is, and is still published"},
	{"mailauth", "spf", "spf exists sender", "*", "permerror", "RFC 7208 section 4.8 lets names that no host has be no match, or an error"},
	{"mailauth", "spf", "sender quoted", "fail", "permerror", "the same"},
	{"*", "spf", "spf mapped", "pass", "neutral", "RFC 7208 section 5.6 does not speak of IPv4 in IPv6: it is the client's address, and let match"},
	{"mailauth", "spf", "spf percents", "*", "permerror", "the same"},
	{"*", "spf", "spf macro p", "fail", "pass", "RFC 7208 section 7.2 says of p not to use it: it is unknown here, so that no name that a client gives itself decides"},
	{"mailauth", "arc", "seal key fails", "temperror", "fail", "RFC 8617 section 5.2.1 calls it a failure; we wait, so that no chain is ended by a resolver of ours"},
	{"*", "dmarc", "from an address", "permerror", "none", "RFC 9989 section 5.3.1 says that there is no check, and no word for it"},

	// Theirs.
	{"dkimpy", "dkim", "key for another and mail", "pass", "no", "RFC 6376 section 3.6.1, s=: a list with colons"},
	{"dkimpy", "dkim", "stamp q of several", "pass", "no", "RFC 6376 section 3.5, q=: a list with colons; unknown ones are ignored"},
	{"dkimpy", "dkim", "subject in capitals", "pass", "no", "RFC 5322 section 4.5: a space before the colon is to be read"},
	{"dkimpy", "dkim", "stamp l more", "no", "pass", "RFC 6376 section 3.5, l=: not more than the body has"},
	{"mailauth", "dkim", "stamp l more", "no", "pass", "the same"},
	{"dkimpy", "dkim", "key for SHA-1", "no", "pass", "RFC 6376 section 6.1.2, step 6: h= is to be kept"},
	{"dkimpy", "dkim", "key for an unknown hash", "no", "pass", "the same"},
	{"*", "dkim", "stamp rsa-sha1", "no", "pass", "RFC 8301 section 3.1: SHA-1 must not be used"},
	{"dkimpy", "dkim", "stamp without From", "no", "pass", "RFC 6376 section 6.1.1: From must be signed"},
	{"*", "dkim", "key version last", "no", "pass", "RFC 6376 section 3.6.1, v=: it must be the first tag"},
	{"OpenDKIM", "dkim", "key bare", "pass", "no", "RFC 6376 section 3.6.1 has an RSAPublicKey; its examples, and most keys, a SubjectPublicKeyInfo"},
	{"OpenDKIM", "dkim", "key fails", "temperror", "no", "it puts the message off without a word"},
	{"OpenDKIM", "dkim", "key *", "no", "temperror", "RFC 6376 section 6.1.2, step 4: a record that can't be read is for good"},
	{"OpenDKIM", "dkim", "beside stamp *", "pass", "no", "RFC 6376 section 6.1: each signature is for itself; it judges none where it can't read one"},
	{"OpenDKIM", "dkim", "from nobody", "pass", "no", "it judges no message of which it can't read From"},
	{"dkimpy", "spf", "spf macro open", "permerror", "fail", "RFC 7208 section 7.1: this is no macro"},
	{"dkimpy", "spf", "spf macro zero", "permerror", "fail", "RFC 7208 section 7.3: a number of labels is not zero"},
	{"dkimpy", "spf", "spf macros of explanations", "pass", "permerror", "RFC 7208 section 12 has c, r and t in what unknown modifiers say, which section 6 has ignored"},
	{"dkimpy", "spf", "spf ptr fails", "neutral", "temperror", "RFC 7208 section 5.5: a failure of the look-up is no match"},
	{"dkimpy", "arc", "chain turned round", "pass", "fail", "RFC 8617 section 4.2: the order is that of instances, not of fields"},
	{"mailauth", "dmarc", "", "temperror", "fail *", "RFC 9989 section 5.3.6: where a look-up failed that could have proven it there is no failure"},

	// OpenDMARC, which is of RFC 7489 and before RFC 9989.
	{"OpenDMARC", "dmarc", "", "temperror", "*", "it knows no temporary errors"},
	{"OpenDMARC", "dmarc", "no sender", "pass", "fail *", "RFC 7208 section 2.4: without a reverse-path it is postmaster of what the client calls itself; it believes no such result"},
	{"OpenDMARC", "dmarc", "dmarc np *", "*", "*", "RFC 9989 section 4.7: np is new"},
	{"OpenDMARC", "dmarc", "dmarc *tested", "fail *", "fail *", "RFC 9989 section 4.7: t is new"},
	{"OpenDMARC", "dmarc", "dmarc pct zero", "fail quarantine", "fail reject", "it names the policy as it is published"},
	{"OpenDMARC", "dmarc", "dmarc *suffix*", "*", "*", "RFC 9989 section 4.10: psd, and the walk up the tree in place of the list of public suffixes, are new"},
	{"OpenDMARC", "dmarc", "dmarc only below", "fail reject", "pass", "the same"},
	{"OpenDMARC", "dmarc", "dmarc twice", "none", "*", "RFC 7489 section 6.6.3: several records are none"},
	{"OpenDMARC", "dmarc", "dmarc version *", "none", "*", "RFC 7489 section 6.6.3: what does not begin with v=DMARC1 is no record"},
	{"OpenDMARC", "dmarc", "dmarc no p*", "*", "permerror", "RFC 9989 section 4.10.1: without p it is p=none where somebody gets reports, else nothing"},
	{"OpenDMARC", "dmarc", "dmarc unknown *", "*", "permerror", "the same, and section 4.8: what can't be read is ignored"},
	{"OpenDMARC", "dmarc", "dmarc strictly", "fail reject", "pass", "RFC 7489 section 3.1.1: strictly aligned is the same domain, in whatever case adkim=s is written; it lets others below it pass"},
	{"OpenDMARC", "dmarc", "from in capitals", "*", "none", "RFC 4343: names are of either case; it finds no record of the domain above"},
	{"OpenDMARC", "dmarc", "from tw*", "*", "*", "RFC 9989 section 11.5 leaves open what is done with several authors: we judge by the worst"},
	{"OpenDMARC", "dmarc", "From twice", "fail *", "none", "the same"},
}
