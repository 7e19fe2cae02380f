package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// adminKeyName is the file of the first administrator's access key, in the form of an AWS credentials file, so that it can
// also be named in AWS_SHARED_CREDENTIALS_FILE.
const adminKeyName = "admin.key"

// AccessKey is an access key with its secret.
type AccessKey struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// ReadAdminKey reads the first administrator's access key from a data directory.
func ReadAdminKey(dir string) (AccessKey, error) {
	path := filepath.Join(dir, adminKeyName)
	text, err := os.ReadFile(path)
	if err != nil {
		return AccessKey{}, err
	}
	var key AccessKey
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			key.ID = strings.TrimSpace(value)
		case "aws_secret_access_key":
			key.Secret = strings.TrimSpace(value)
		}
	}
	if key.ID == "" || key.Secret == "" {
		return AccessKey{}, fmt.Errorf("%s does not hold an access key", path)
	}
	return key, nil
}

// writeAdminKey puts the key into the data directory (0600) and returns when it is on disk.
func writeAdminKey(dir string, key AccessKey) error {
	path := filepath.Join(dir, adminKeyName)
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	_, err = fmt.Fprintf(f, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", key.ID, key.Secret)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("write the first administrator's access key: %w", err)
	}
	return nil
}
