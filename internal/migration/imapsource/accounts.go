package imapsource

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/pennypost/pennypost/internal/migration"
)

// Account is one mailbox at the source and the one here that it goes to.
type Account struct {
	Address  string // here: address, name or id of a user or resource
	User     string // at the source
	Password string
}

// The bounds of a file of accounts.
const (
	maxAccountsFile = 16 << 20
	maxAccounts     = 100_000
	maxField        = 1000
)

// header is the first line of a file of accounts.
var header = []string{"address", "user", "password"}

// ReadAccounts reads a file of accounts, which holds passwords: it must be readable by its owner alone.
func ReadAccounts(path string) ([]Account, error) {
	text, err := migration.ReadPrivate(path, maxAccountsFile)
	if err != nil {
		return nil, err
	}
	accounts, err := ParseAccounts(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return accounts, nil
}

// ParseAccounts reads accounts: CSV (RFC 4180) whose first line is address,user,password. Lines that begin with # are comments. No
// error repeats what a line holds.
func ParseAccounts(text []byte) ([]Account, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.Comment, r.FieldsPerRecord, r.ReuseRecord = '#', -1, true
	var accounts []Account
	seen := map[[2]string]bool{}
	for first := true; ; first = false {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
			return nil, fmt.Errorf("line %d: %w", wrong.Line, wrong.Err)
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		if len(record) != len(header) {
			return nil, fmt.Errorf("line %d: it has %d fields where address,user,password are wanted; quote fields that have a comma", line, len(record))
		}
		if first {
			for i, name := range header {
				if !strings.EqualFold(strings.TrimSpace(record[i]), name) {
					return nil, fmt.Errorf("line %d: the first line must be address,user,password", line)
				}
			}
			continue
		}
		for i, field := range record {
			if field == "" || len(field) > maxField || !utf8.ValidString(field) || strings.ContainsAny(field, "\x00\r\n") {
				return nil, fmt.Errorf("line %d: %s is empty, longer than %d bytes, or has characters that it can't have", line, header[i], maxField)
			}
		}
		a := Account{Address: strings.TrimSpace(record[0]), User: record[1], Password: record[2]}
		key := [2]string{strings.ToLower(a.Address), a.User}
		if seen[key] {
			return nil, fmt.Errorf("line %d: the same account stands in the file twice", line)
		}
		seen[key] = true
		if accounts = append(accounts, a); len(accounts) > maxAccounts {
			return nil, fmt.Errorf("it has more than %d accounts", maxAccounts)
		}
	}
	if len(accounts) == 0 {
		return nil, errors.New("it has no accounts")
	}
	return accounts, nil
}
