package secret

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSealedValuesOpenOnlyInTheirPlace(t *testing.T) {
	k := Ephemeral()
	sealed := k.Seal("access key", "AKIA1", []byte("hunter2"))
	if got, err := k.Open("access key", "AKIA1", sealed); err != nil || string(got) != "hunter2" {
		t.Fatalf("Open = %q, %v", got, err)
	}
	if bytes.Contains(sealed, []byte("hunter2")) {
		t.Error("the secret stands in the sealed value")
	}
	if _, err := k.Open("access key", "AKIA2", sealed); err == nil {
		t.Error("opened in another row")
	}
	if _, err := k.Open("dkim", "AKIA1", sealed); err == nil {
		t.Error("opened for another purpose")
	}
	if _, err := Ephemeral().Open("access key", "AKIA1", sealed); !errors.Is(err, ErrWrongKey) {
		t.Errorf("another key: %v, want ErrWrongKey", err)
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := k.Open("access key", "AKIA1", bad); err == nil {
			t.Errorf("opened with byte %d changed", i)
		}
		if _, err := k.Open("access key", "AKIA1", sealed[:i]); err == nil {
			t.Errorf("opened when cut to %d bytes", i)
		}
	}
	if bytes.Equal(sealed, k.Seal("access key", "AKIA1", []byte("hunter2"))) {
		t.Error("sealing twice gave the same bytes: the nonce repeats")
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	if _, err := LoadOrCreate(path, false); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a missing key that may not be made: %v, want fs.ErrNotExist", err)
	}
	made, err := LoadOrCreate(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	read, err := LoadOrCreate(path, true)
	if err != nil || read.ID() != made.ID() || !bytes.Equal(read.Derive("x"), made.Derive("x")) {
		t.Fatalf("the key that was read is not the key that was made: %v, %v", read, err)
	}
	if bytes.Equal(read.Derive("x"), read.Derive("y")) {
		t.Error("two purposes derive the same bytes")
	}
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a key: %v, want fs.ErrExist", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("beside the key file there is more: %v", left)
	}
	text, _ := os.ReadFile(path)
	if printed := fmt.Sprintf("%v %s", read, read); strings.Contains(string(text), strings.Fields(printed)[2]+"\n") {
		t.Error("printing a key reveals it")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.WriteFile(path, []byte("short"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that holds no key: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := Ephemeral()
	sealed := k.Seal("p", "r", []byte("hunter2"))
	f.Add(sealed)
	f.Add([]byte{})
	f.Add(sealed[:20])
	f.Fuzz(func(t *testing.T, value []byte) {
		plain, err := k.Open("p", "r", value)
		if (err == nil) != bytes.Equal(value, sealed) {
			t.Errorf("Open(%x) = %q, %v", value, plain, err)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add("pennypost-secret-key-1:" + strings.Repeat("0a", 32) + "\n")
	f.Add("pennypost-secret-key-1:" + strings.Repeat("0a", 31))
	f.Add("")
	path := filepath.Join(f.TempDir(), "secret.key")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := Load(path)
		if err == nil && !strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", k.root)) {
			t.Errorf("Load(%q) gave a key that is not in it", text)
		}
	})
}
