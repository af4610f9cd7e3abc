package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// A fileSystem is what this package needs of one; the tests put others in the
// system's place that fail or crash at a chosen call.
type fileSystem interface {
	Lstat(path string) (fs.FileInfo, error)
	Names(folder string) ([]string, error)
	TempName() string
	// Create makes a new file, never opens an old one, and marks it as in use for
	// as long as it is open. fs.ErrExist: another name is to be tried.
	Create(path string, mode fs.FileMode) (file, error)
	Rename(from, to string) error
	Remove(path string) error
	// RemoveStray removes a file unless it is in use, and reports whether it did.
	RemoveStray(path string) (bool, error)
	SyncFolder(path string) error
	CloseBeforeRename() bool
}

type file interface {
	io.WriteCloser
	Sync() error
}

// system is the operating system's.
type system struct{}

func (system) Lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }
func (system) Rename(from, to string) error           { return os.Rename(from, to) } //nolint:gosec // the caller's path
func (system) Remove(path string) error               { return os.Remove(path) }

// CloseBeforeRename: Windows does not rename an open file. Elsewhere the file,
// and with it the lock that keeps sweeps off, stays open until it has its name.
func (system) CloseBeforeRename() bool { return runtime.GOOS == "windows" }

func (system) Names(folder string) ([]string, error) {
	d, err := os.Open(folder) //nolint:gosec // the folder that the caller writes to
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

func (system) TempName() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return prefix + strconv.Itoa(os.Getpid()) + "-" + hex.EncodeToString(random[:]) + suffix
}

func (system) Create(path string, mode fs.FileMode) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode) //nolint:gosec // the caller's path
	if err != nil {
		return nil, err
	}
	if err := claim(f); err != nil {
		_ = os.Remove(path)
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (system) RemoveStray(path string) (bool, error) { return removeStray(path) }

// SyncFolder makes the names in a folder durable.
func (system) SyncFolder(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path) //nolint:gosec // the caller's folder
	if err != nil {
		return err
	}
	return errors.Join(unlessUnsupported(d.Sync()), d.Close())
}

// unlessUnsupported drops what file systems answer that cannot sync a folder:
// they have done their best.
func unlessUnsupported(err error) error {
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}
