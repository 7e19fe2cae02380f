// Command drift compares the contract with the service models of a botocore, operation by operation, member by member and
// constraint by constraint, and exits with 1 when they differ. It walks the models as plain JSON and shares no code with
// the generator.
//
//	drift DIR
//
// DIR is the "data" directory of a botocore.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pennypost/pennypost/internal/awsapi/contract"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: drift DIR (the data directory of a botocore)")
		os.Exit(2)
	}
	differences, err := compareWith(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "drift:", err)
		os.Exit(2)
	}
	for _, d := range differences {
		fmt.Println(d)
	}
	if len(differences) > 0 {
		os.Exit(1)
	}
	fmt.Println("the contract is the model in", os.Args[1])
}

// modelPaths are where the models stand inside botocore's data directory.
var modelPaths = map[contract.Service]string{
	contract.WorkMail:    "workmail/2017-10-01/service-2.json",
	contract.MessageFlow: "workmailmessageflow/2019-05-01/service-2.json",
}

// compareWith compares both services with the models in a data directory.
func compareWith(dir string) ([]string, error) {
	var differences []string
	for _, service := range []contract.Service{contract.WorkMail, contract.MessageFlow} {
		model, err := read(filepath.Join(dir, modelPaths[service]))
		if err != nil {
			return nil, err
		}
		differences = append(differences, compare(service, model)...)
	}
	return differences, nil
}

// read returns a model, which stands there plain or compressed.
func read(path string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = unzip(path + ".gz")
	}
	if err != nil {
		return nil, err
	}
	var model map[string]any
	if err := json.Unmarshal(data, &model); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return model, nil
}

func unzip(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return io.ReadAll(r)
}
