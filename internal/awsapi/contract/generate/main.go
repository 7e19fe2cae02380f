// Command generate writes the contract's tables and types from service models in the format of botocore's service-2.json.
// It takes names, shapes and constraints and leaves the documentation where it is.
//
//	generate -out DIR MODEL.json[.gz] …
//
// The models are those of WorkMail, of message flow and our own, in this order. A later model may have shapes of an earlier one, word
// for word, and names of errors.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
)

// services are the models' services by their Go names.
var services = []string{"WorkMail", "MessageFlow", "Pennypost"}

func main() {
	out := flag.String("out", ".", "directory of package contract")
	flag.Parse()
	if err := run(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string, paths []string) error {
	if len(paths) == 0 || len(paths) > len(services) {
		return fmt.Errorf("name the service models of %q, or the first of them", services)
	}
	var models []*model
	for _, path := range paths {
		m, err := load(path)
		if err != nil {
			return err
		}
		models = append(models, m)
	}
	if err := share(models); err != nil {
		return err
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

// share leaves each shape to the first model that has it. The same name for two things is an error.
func share(models []*model) error {
	type owned struct {
		by    *model
		shape shape
	}
	owners := map[string]owned{} // by Go name
	var err error
	for _, m := range models {
		m.Shapes.names = slices.DeleteFunc(m.Shapes.names, func(name string) bool {
			s := m.Shapes.values[name]
			if s.Exception {
				return false
			}
			first, taken := owners[m.goName(name)]
			if !taken {
				owners[m.goName(name)] = owned{m, s}
				return false
			}
			if !reflect.DeepEqual(first.shape, s) {
				err = fmt.Errorf("%s has a shape %s, which is another one in %s", m.Metadata.ServiceID, name, first.by.Metadata.ServiceID)
			}
			return true
		})
	}
	return err
}
