package sieve

import (
	"context"
	"slices"
	"sync"
)

// kind is what an argument must be.
type kind uint8

const (
	nothing kind = iota
	number
	oneString
	stringList
)

func (k kind) String() string {
	return [...]string{"nothing", "a number", "a string", "a string or a list of strings"}[k]
}

// testsKind says which tests a statement has.
type testsKind uint8

const (
	noTests testsKind = iota
	oneTest
	testList
)

// optional says which of the arguments that have a place may be left out.
type optional uint8

const (
	noneOptional optional = iota
	firstOptional
	lastOptional
)

// tag is a tag that a command or test may have.
type tag struct {
	name      string
	argument  kind
	group     string // of this group only one may stand
	extension string // that must be required
}

// signature is the form of a command or of a test, and what it does.
type signature struct {
	extension string
	tags      []tag
	args      []kind
	optional  optional
	tests     testsKind
	block     bool
	check     func(*compiler, *node) error // what can be known before a run
	run       func(*run, context.Context, *node) error
	test      func(*run, context.Context, *node) (bool, error)
}

func tags(lists ...[]tag) []tag { return slices.Concat(lists...) }

var (
	matchTags = []tag{
		{name: "comparator", argument: oneString},
		{name: "is", group: "match"},
		{name: "contains", group: "match"},
		{name: "matches", group: "match"},
		{name: "value", argument: oneString, group: "match", extension: "relational"},
		{name: "count", argument: oneString, group: "match", extension: "relational"},
	}
	partTags = []tag{
		{name: "all", group: "part"},
		{name: "localpart", group: "part"},
		{name: "domain", group: "part"},
		{name: "user", group: "part", extension: "subaddress"},
		{name: "detail", group: "part", extension: "subaddress"},
	}
	indexTags = []tag{
		{name: "index", argument: number, extension: "index"},
		{name: "last", extension: "index"},
	}
	zoneTags     = []tag{{name: "zone", argument: oneString, group: "zone"}}
	flagTags     = []tag{{name: "flags", argument: stringList, extension: "imap4flags"}}
	copyTags     = []tag{{name: "copy", extension: "copy"}}
	fileintoTags = []tag{
		{name: "create", extension: "mailbox"},
		{name: "specialuse", argument: oneString, extension: "special-use"},
	}
)

// vocabulary is all commands but require, and all tests. It is made when the first script is compiled.
var vocabulary struct {
	once            sync.Once
	commands, tests map[string]*signature
}

func commands() map[string]*signature {
	vocabulary.once.Do(fillVocabulary)
	return vocabulary.commands
}

func tests() map[string]*signature {
	vocabulary.once.Do(fillVocabulary)
	return vocabulary.tests
}

func fillVocabulary() {
	vocabulary.commands = map[string]*signature{
		"if":    {tests: oneTest, block: true, run: (*run).condition},
		"elsif": {tests: oneTest, block: true, run: (*run).condition},
		"else":  {block: true, run: (*run).condition},
		"stop":  {run: (*run).stop},

		"keep":    {tags: flagTags, run: (*run).keep},
		"discard": {run: (*run).discard},
		"fileinto": {
			extension: "fileinto", tags: tags(flagTags, copyTags, fileintoTags), args: []kind{oneString},
			check: checkFileInto, run: (*run).fileInto,
		},
		"redirect": {tags: copyTags, args: []kind{oneString}, check: checkRedirect, run: (*run).redirect},
		"reject":   {extension: "reject", args: []kind{oneString}, run: (*run).reject},
		"ereject":  {extension: "ereject", args: []kind{oneString}, run: (*run).reject},
		"vacation": {
			extension: "vacation", args: []kind{oneString}, check: checkVacation, run: (*run).vacation,
			tags: []tag{
				{name: "days", argument: number, group: "time"},
				{name: "seconds", argument: number, group: "time", extension: "vacation-seconds"},
				{name: "subject", argument: oneString},
				{name: "from", argument: oneString},
				{name: "addresses", argument: stringList},
				{name: "mime"},
				{name: "handle", argument: oneString},
			},
		},

		"set": {
			extension: "variables", args: []kind{oneString, oneString}, check: checkSet, run: (*run).set,
			tags: []tag{
				{name: "lower", group: "case"},
				{name: "upper", group: "case"},
				{name: "lowerfirst", group: "first"},
				{name: "upperfirst", group: "first"},
				{name: "quotewildcard"},
				{name: "length"},
			},
		},
		"setflag":    {extension: "imap4flags", args: []kind{oneString, stringList}, optional: firstOptional, check: checkFlags, run: (*run).setFlag},
		"addflag":    {extension: "imap4flags", args: []kind{oneString, stringList}, optional: firstOptional, check: checkFlags, run: (*run).addFlag},
		"removeflag": {extension: "imap4flags", args: []kind{oneString, stringList}, optional: firstOptional, check: checkFlags, run: (*run).removeFlag},

		"addheader": {
			extension: "editheader", args: []kind{oneString, oneString}, check: checkFieldName, run: (*run).addHeader,
			tags: []tag{{name: "last"}},
		},
		"deleteheader": {
			extension: "editheader", args: []kind{oneString, stringList}, optional: lastOptional, check: checkDeleteHeader, run: (*run).deleteHeader,
			tags: tags(matchTags, []tag{{name: "index", argument: number}, {name: "last"}}),
		},
	}

	vocabulary.tests = map[string]*signature{
		"true":  {test: (*run).always},
		"false": {test: (*run).never},
		"not":   {tests: oneTest, test: (*run).not},
		"allof": {tests: testList, test: (*run).allOf},
		"anyof": {tests: testList, test: (*run).anyOf},

		"header":  {tags: tags(matchTags, indexTags), args: []kind{stringList, stringList}, check: checkIndex, test: (*run).header},
		"exists":  {args: []kind{stringList}, test: (*run).exists},
		"address": {tags: tags(matchTags, partTags, indexTags), args: []kind{stringList, stringList}, check: checkAddress, test: (*run).address},
		"envelope": {
			extension: "envelope", tags: tags(matchTags, partTags), args: []kind{stringList, stringList},
			check: checkEnvelope, test: (*run).envelope,
		},
		"size": {
			tags: []tag{{name: "over", group: "size"}, {name: "under", group: "size"}}, args: []kind{number},
			check: checkSize, test: (*run).size,
		},
		"body": {
			extension: "body", args: []kind{stringList}, test: (*run).body,
			tags: tags(matchTags, []tag{
				{name: "raw", group: "transform"},
				{name: "text", group: "transform"},
				{name: "content", argument: stringList, group: "transform"},
			}),
		},
		"date": {
			extension: "date", tags: tags(matchTags, zoneTags, []tag{{name: "originalzone", group: "zone"}}, indexTags),
			args: []kind{oneString, oneString, stringList}, check: checkDate, test: (*run).date,
		},
		"currentdate": {
			extension: "date", tags: tags(matchTags, zoneTags), args: []kind{oneString, stringList}, check: checkDate, test: (*run).currentDate,
		},
		"string":  {extension: "variables", tags: matchTags, args: []kind{stringList, stringList}, test: (*run).stringTest},
		"hasflag": {extension: "imap4flags", tags: matchTags, args: []kind{stringList, stringList}, optional: firstOptional, check: checkHasFlag, test: (*run).hasFlag},

		"mailboxexists": {extension: "mailbox", args: []kind{stringList}, test: (*run).mailboxExists},
		"specialuse_exists": {
			extension: "special-use", args: []kind{oneString, stringList}, optional: firstOptional, check: checkUses, test: (*run).specialUseExists,
		},
		"duplicate": {
			extension: "duplicate", test: (*run).duplicate,
			tags: []tag{
				{name: "handle", argument: oneString},
				{name: "header", argument: oneString, group: "id"},
				{name: "uniqueid", argument: oneString, group: "id"},
				{name: "seconds", argument: number},
				{name: "last"},
			},
		},
		"environment": {extension: "environment", tags: matchTags, args: []kind{oneString, stringList}, test: (*run).environmentTest},
	}
}
