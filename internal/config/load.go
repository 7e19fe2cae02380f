package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// Sources are the places where settings are looked for. A nil function has none.
type Sources struct {
	// Flag returns the value of a flag by its name and whether it was given on the command line.
	Flag func(name string) (string, bool)
	// Env is os.LookupEnv, or a table in tests.
	Env func(name string) (string, bool)
	// File is the path that --config gave, or empty.
	File string
	// Values are settings by key that win over all others, for a server that is started by a program. Unknown keys are
	// refused.
	Values map[string]string
}

// Settings lists every setting in the order of Config.
func Settings() []Setting {
	all := make([]Setting, 0, reflect.TypeFor[Config]().NumField())
	for field := range fields() {
		all = append(all, setting(field))
	}
	return all
}

// Load collects the settings from the sources, checks each, and checks them together. The error names the setting as it
// was given, the value, and what is allowed; several faults come joined, one a line.
func Load(s Sources) (*Config, error) {
	c := &Config{Origin: map[string]string{}}
	file, err := readFile(s.File, c)
	if err != nil {
		return nil, err
	}
	if err := known("the program", s.Values); err != nil {
		return nil, err
	}
	v := reflect.ValueOf(c).Elem()
	var faults []error
	for field := range fields() {
		def := setting(field)
		value, origin := s.lookup(def, file)
		c.Origin[def.Key] = origin
		if err := set(v.FieldByIndex(field.Index), value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", origin, err))
		}
	}
	if err := c.findCollector(s.Env); err != nil {
		faults = append(faults, err)
	}
	if err := errors.Join(append(faults, c.complete()...)...); err != nil {
		return nil, err
	}
	return c, nil
}

func fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		t := reflect.TypeFor[Config]()
		for i := range t.NumField() {
			if t.Field(i).Tag.Get("key") != "-" && !yield(t.Field(i)) {
				return
			}
		}
	}
}

func setting(field reflect.StructField) Setting {
	key := field.Tag.Get("key")
	return Setting{
		Key:     key,
		Flag:    strings.ReplaceAll(key, "_", "-"),
		Env:     "PENNYPOST_" + strings.ToUpper(key),
		Default: field.Tag.Get("default"),
		Help:    field.Tag.Get("help"),
	}
}

// lookup returns a setting's value and where it came from.
func (s Sources) lookup(def Setting, file map[string]string) (value, origin string) {
	if value, ok := s.Values[def.Key]; ok {
		return value, def.Key
	}
	if s.Flag != nil {
		if value, ok := s.Flag(def.Flag); ok {
			return value, "--" + def.Flag
		}
	}
	if s.Env != nil {
		if value, ok := s.Env(def.Env); ok {
			return value, def.Env
		}
	}
	if value, ok := file[def.Key]; ok {
		return value, def.Key + " in " + s.File
	}
	return def.Default, "the default"
}

// readFile returns the settings of a TOML file as text, puts its tables into c, and refuses keys that are neither.
func readFile(path string, c *Config) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	var raw map[string]any
	if _, err := toml.Decode(string(text), &raw); err != nil {
		return nil, fmt.Errorf("--config: %s: %w", path, err)
	}
	if err := readTables(path, string(text), raw, c); err != nil {
		return nil, err
	}
	if err := known("--config: "+path, raw); err != nil {
		return nil, err
	}
	values := map[string]string{}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		value, err := asText(raw[key])
		if err != nil {
			faults = append(faults, fmt.Errorf("--config: %s: %s: %w", path, key, err))
			continue
		}
		values[key] = value
	}
	return values, errors.Join(faults...)
}

// readTables takes the tables of a TOML file out of raw and puts each into its field of c. A key that the field's type has not is
// refused.
func readTables(path, text string, raw map[string]any, c *Config) error {
	var primitives map[string]toml.Primitive
	meta, err := toml.Decode(text, &primitives)
	if err != nil {
		return fmt.Errorf("--config: %s: %w", path, err)
	}
	var faults []error
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		table := v.Type().Field(i).Tag.Get("table")
		if _, there := raw[table]; table == "" || !there {
			continue
		}
		if _, is := raw[table].(map[string]any); !is {
			faults = append(faults, fmt.Errorf("--config: %s: %s is a table, [%s.\"…\"]", path, table, table))
		}
		delete(raw, table)
		if err := meta.PrimitiveDecode(primitives[table], v.Field(i).Addr().Interface()); err != nil {
			faults = append(faults, fmt.Errorf("--config: %s: %s: %w", path, table, err))
		}
		for _, key := range meta.Undecoded() {
			if key[0] == table {
				faults = append(faults, fmt.Errorf("--config: %s: there is no setting %s", path, key))
			}
		}
	}
	return errors.Join(faults...)
}

// known refuses keys that are no settings.
func known[V any](where string, values map[string]V) error {
	if len(values) == 0 {
		return nil
	}
	settings := map[string]bool{}
	for _, s := range Settings() {
		settings[s.Key] = true
	}
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !settings[key] {
			faults = append(faults, fmt.Errorf("%s: there is no setting %q", where, key))
		}
	}
	return errors.Join(faults...)
}

// asText turns a value of a TOML file to the text that a flag would have had.
func asText(value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case bool:
		return strconv.FormatBool(value), nil
	case []any:
		parts := make([]string, 0, len(value))
		for _, part := range value {
			s, ok := part.(string)
			if !ok {
				return "", fmt.Errorf("%v is not a text in quotes", part)
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, ","), nil
	default:
		return "", fmt.Errorf("%v is not a text, a whole number, true, false or a list of texts", value)
	}
}

// set parses text into a field by the field's type.
func set(field reflect.Value, text string) error {
	switch p := field.Addr().Interface().(type) {
	case *string:
		*p = text
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a whole number of 0 or more", text)
		}
		*p = n
	case *bool:
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		*p = yes
	case *[]netip.Prefix:
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			prefix, err := parsePrefix(part)
			if err != nil {
				return err
			}
			*p = append(*p, prefix)
		}
	case *[]string:
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.ToLower(strings.TrimSpace(part)); part != "" {
				*p = append(*p, part)
			}
		}
	default:
		panic(fmt.Sprintf("config: no parser for a field of type %s", field.Type()))
	}
	return nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address (192.0.2.1) nor a network (192.0.2.0/24)", text)
	}
	return prefix.Masked(), nil
}

// complete fills in what depends on the machine and checks the settings.
func (c *Config) complete() []error {
	if c.Hostname == "" {
		c.Hostname = machineName()
	}
	switch {
	case slices.Equal(c.ACME, []string{"on"}):
		c.ACME = []string{c.Hostname}
	case slices.Equal(c.ACME, []string{"off"}):
		c.ACME = nil
	}
	var names []string
	for _, name := range c.ACME {
		if name = strings.ToLower(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	c.ACME = names
	var faults []error
	if c.Data == "" {
		faults = append(faults, fmt.Errorf("%s: a data directory is needed", c.Origin["data"]))
	} else if abs, err := filepath.Abs(c.Data); err != nil {
		faults = append(faults, fmt.Errorf("%s: %w", c.Origin["data"], err))
	} else {
		c.Data = abs
	}
	for _, address := range []*string{&c.HTTP, &c.HTTPS, &c.SMTP, &c.Submission, &c.Submissions, &c.IMAP, &c.IMAPS, &c.ManageSieve, &c.Metrics, &c.ACMEHTTP} {
		if strings.HasPrefix(*address, ":") {
			*address = "127.0.0.1" + *address
		}
	}
	return append(faults, c.check()...)
}

// machineName is the machine's name, or localhost where it has none that fits a greeting.
func machineName() string {
	name, err := os.Hostname()
	if err != nil || !isHostname(name) {
		return "localhost"
	}
	return strings.ToLower(name)
}
