package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// model is what the generator takes from a service model. Maps keep the file's order, which becomes the order of fields,
// of JSON members and of reported breaches.
type model struct {
	Metadata struct {
		ServiceID string `json:"serviceId"`
	} `json:"metadata"`
	Operations ordered[operation] `json:"operations"`
	Shapes     ordered[shape]     `json:"shapes"`
}

type operation struct {
	HTTP struct {
		Method string `json:"method"`
		URI    string `json:"requestUri"`
	} `json:"http"`
	Input, Output ref
	Errors        []ref
	Idempotent    bool
}

type ref struct {
	Shape            string `json:"shape"`
	Location         string `json:"location"`
	IdempotencyToken bool   `json:"idempotencyToken"`
}

type shape struct {
	Type      string
	Required  []string
	Members   ordered[ref]
	Member    *ref
	Min, Max  *int64
	Pattern   string
	Enum      []string
	Sensitive bool
	Box       bool
	Exception bool
	Error     struct {
		Status int `json:"httpStatusCode"`
	}
}

// load reads a model, compressed or not.
func load(path string) (*model, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(path, ".gz") {
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if data, err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	var m model
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &m, nil
}

// ordered is a JSON object whose members keep their order.
type ordered[T any] struct {
	names  []string
	values map[string]T
}

// UnmarshalJSON reads an object.
func (o *ordered[T]) UnmarshalJSON(data []byte) error {
	o.values = map[string]T{}
	d := json.NewDecoder(bytes.NewReader(data))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value T
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("%v: %w", name, err)
		}
		o.names = append(o.names, name.(string))
		o.values[name.(string)] = value
	}
	return nil
}
