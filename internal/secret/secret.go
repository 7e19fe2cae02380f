// Package secret seals what the database must hold but must not reveal: access keys' secrets, DKIM keys, later mailbox keys.
// The root key lives in a file of its own (setting secret_key_file), so that a stolen database alone opens nothing.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	rootSize    = 32
	idSize      = 8
	versionGCM  = 1
	filePrefix  = "pennypost-secret-key-1:"
	maxFileSize = 4096
)

// ErrWrongKey says that a value was sealed under another root key.
var ErrWrongKey = errors.New("the value was sealed under another secret key")

// Key is the root key. It is safe for concurrent use and prints as its id.
type Key struct {
	id   [idSize]byte
	root [rootSize]byte
}

// Ephemeral returns a key that lives as long as the process, for a server that keeps nothing.
func Ephemeral() *Key {
	var root [rootSize]byte
	_, _ = rand.Read(root[:]) // documented never to fail
	return newKey(root)
}

func newKey(root [rootSize]byte) *Key {
	k := &Key{root: root}
	sum := sha256.Sum256(append([]byte("pennypost secret key id\x00"), root[:]...))
	copy(k.id[:], sum[:])
	return k
}

// Load reads the key file at path. The file must be readable by its owner alone. A missing file gives fs.ErrNotExist.
func Load(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("secret key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secret key file %s may be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	if info.Size() > maxFileSize {
		return nil, fmt.Errorf("secret key file %s is %d bytes long: that is not a key file", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret key file: %w", err)
	}
	digits, ok := strings.CutPrefix(strings.TrimSpace(string(text)), filePrefix)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != rootSize {
		return nil, fmt.Errorf("secret key file %s does not hold a key: it must be one line, %q and %d hexadecimal digits",
			path, filePrefix, rootSize*2)
	}
	return newKey([rootSize]byte(raw)), nil
}

// Create makes a new key and writes it to path (mode 0600, synced), which must not exist. A crash in the middle leaves no key
// file that is half written.
func Create(path string) (*Key, error) {
	k := Ephemeral()
	if err := createWhole(path, filePrefix+hex.EncodeToString(k.root[:])+"\n"); err != nil {
		return nil, fmt.Errorf("create the secret key file %s: %w", path, err)
	}
	return k, nil
}

// createWhole writes a file beside path and links it there: linking refuses a name that is taken, which renaming does not.
func createWhole(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-") // mode 0600
	if err != nil {
		return err
	}
	_, werr := f.WriteString(text)
	err = errors.Join(werr, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// LoadOrCreate reads the key at path, or makes one where there is none and mayCreate is true. The caller says false when
// the database holds sealed values already: a new key could never open them.
func LoadOrCreate(path string, mayCreate bool) (*Key, error) {
	k, err := Load(path)
	if errors.Is(err, fs.ErrNotExist) && mayCreate {
		return Create(path)
	}
	return k, err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ID names the key without revealing it. The database remembers it, to tell a wrong key file from a damaged value.
func (k *Key) ID() string { return hex.EncodeToString(k.id[:]) }

// String is the key's id, so that a key that reaches a log reveals nothing.
func (k *Key) String() string { return "secret key " + k.ID() }

// Derive returns 32 bytes that depend on the root key and the purpose alone, for HMACs (page tokens, the sign-in cache).
func (k *Key) Derive(purpose string) []byte {
	out, err := hkdf.Key(sha256.New, k.root[:], nil, "pennypost/derive/"+purpose, 32)
	if err != nil {
		panic("secret: HKDF refused 32 bytes: " + err.Error()) // only lengths beyond 8160 can fail
	}
	return out
}

func (k *Key) aead(purpose string) cipher.AEAD {
	sub, err := hkdf.Key(sha256.New, k.root[:], nil, "pennypost/seal/"+purpose, 32)
	if err != nil {
		panic("secret: HKDF refused 32 bytes: " + err.Error())
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		panic("secret: AES refused a 32-byte key: " + err.Error())
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic("secret: GCM refused AES: " + err.Error())
	}
	return gcm
}

// Seal encrypts plaintext with AES-256-GCM under a subkey for purpose. The result opens only for the same purpose and row,
// so that a sealed value moved to another row is refused.
func (k *Key) Seal(purpose, row string, plaintext []byte) []byte {
	gcm := k.aead(purpose)
	out := make([]byte, 1+idSize+gcm.NonceSize(), 1+idSize+gcm.NonceSize()+len(plaintext)+gcm.Overhead())
	out[0] = versionGCM
	copy(out[1:], k.id[:])
	nonce := out[1+idSize:]
	_, _ = rand.Read(nonce) // documented never to fail
	return gcm.Seal(out, nonce, plaintext, []byte(row))
}

// Open reverses Seal. A value sealed under another root key gives ErrWrongKey.
func (k *Key) Open(purpose, row string, sealed []byte) ([]byte, error) {
	gcm := k.aead(purpose)
	head := 1 + idSize + gcm.NonceSize()
	if len(sealed) < head+gcm.Overhead() || sealed[0] != versionGCM {
		return nil, fmt.Errorf("a sealed value for %s is damaged: %d bytes of unknown form", purpose, len(sealed))
	}
	if [idSize]byte(sealed[1:1+idSize]) != k.id {
		return nil, fmt.Errorf("%s: %w (the value names %x, the key file holds %s)", purpose, ErrWrongKey, sealed[1:1+idSize], k.ID())
	}
	plain, err := gcm.Open(nil, sealed[1+idSize:head], sealed[head:], []byte(row))
	if err != nil {
		return nil, fmt.Errorf("a sealed value for %s is damaged or belongs to another row: %w", purpose, err)
	}
	return plain, nil
}
