// Command generate writes the contract's tables and types from service models in the format of botocore's service-2.json.
// It takes names, shapes and constraints and leaves the documentation where it is.
//
//	generate -out DIR MODEL.json[.gz] …
//
// The first model is the one whose types keep their names; a later model may share names of errors with it, nothing else.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", ".", "directory of package contract")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string, paths []string) error {
	if len(paths) == 0 {
		return fmt.Errorf("name at least one service model")
	}
	var models []*model
	for _, path := range paths {
		m, err := load(path)
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	for name, write := range map[string]func([]*model) ([]byte, error){
		"types_gen.go":      writeTypes,
		"shapes_gen.go":     writeShapes,
		"operations_gen.go": writeOperations,
	} {
		source, err := write(models)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(out, name), source, 0o644); err != nil {
			return err
		}
	}
	return nil
}
