//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// claim locks a new temporary file and makes sure that no sweep removed it in
// the instant before. A file system without locks is written to all the same:
// a sweep cannot lock there either and leaves everything.
func claim(f *os.File) error {
	switch err := flock(f); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fs.ErrExist // a sweep has it, and removes it
	case err != nil:
		return nil //nolint:nilerr // no locks here
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(f.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, now) {
		return fs.ErrExist
	}
	return err
}

// removeStray removes a file if it can be locked: its owner is gone.
func removeStray(path string) (bool, error) {
	// Not through a link, and without waiting for the other end of a pipe.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // a name of this package's form
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false, err
	}
	if err := flock(f); err != nil {
		return false, nil // in use, or no locks here
	}
	err = os.Remove(path) //nolint:gosec // as above
	return err == nil, err
}

// flock takes the exclusive lock without waiting for it. It is released when the
// file is closed, by whatever end.
func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
