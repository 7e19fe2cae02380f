package dbtest

import "flag"

// PlayModels plays models (package rapid) as often as runs says, unless the command line says how often: make soak asks for many. It is for
// a TestMain, and parses the flags.
func PlayModels(runs string) error {
	flag.Parse()
	checks, given := flag.Lookup("rapid.checks"), false
	flag.Visit(func(f *flag.Flag) { given = given || f == checks })
	if given {
		return nil
	}
	return flag.Set(checks.Name, runs)
}
