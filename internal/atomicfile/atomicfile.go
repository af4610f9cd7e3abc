// Package atomicfile is the one way in which this module writes files: at every
// instant a name holds the whole old content or the whole new one.
//
// A file is written under a temporary name in the same folder, synced, renamed
// over its target, and the folder is synced. When [File.Commit] has returned
// nil, the new content also survives a power failure, as far as the device keeps
// what it has confirmed. Windows has no sync of folders: there a rename that was
// confirmed may be lost with the power, to the old content.
//
// A writer that is killed leaves its temporary file behind. [Create] and [Write]
// remove such strays from the folder they write to, and [Sweep] does it on its
// own. A stray is a file with a name of this package's form whose owner is gone.
// On Unix that is certain: a writer holds a lock (flock) on its temporary file
// for as long as it lives, and the system releases it with the process, also if
// that ran on another machine that shares the folder. On Windows it is a file
// that nobody has open and that is an hour old. Elsewhere, and on file systems
// without locks, nothing is removed.
//
// Errors begin with the file and the operation; a caller puts its own package's
// name in front.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
)

// ErrTarget is the error for a path that names something that a file must not
// replace: a folder, a device, a pipe, a symbolic link.
var ErrTarget = errors.New("not a regular file")

// Temporary names are prefix, process number, a dash, 16 hexadecimal digits,
// suffix. They do not contain the target's name, which may already be as long
// as the file system allows.
const (
	prefix = ".cambium-"
	suffix = ".tmp"
)

// attempts is how many temporary names are tried; one collides if the random
// numbers do, or if a sweep saw the file in the instant before it was locked.
const attempts = 16

// Write puts what fill writes into the file at path, or leaves path as it was
// and returns an error. mode is that of the file, before the process's umask;
// the mode of a file that is replaced does not carry over.
//
// The errors are those of fill, as they are, and those of [Create] and
// [File.Commit].
func Write(path string, mode fs.FileMode, fill func(w io.Writer) error) error {
	return write(system{}, path, mode, fill)
}

func write(on fileSystem, path string, mode fs.FileMode, fill func(w io.Writer) error) error {
	f, err := create(on, path, mode)
	if err != nil {
		return err
	}
	defer f.Abort()
	if err := fill(f); err != nil {
		return err
	}
	return f.Commit()
}

// A File is the new content of a file on its way. It belongs to one goroutine,
// and ends with [File.Commit] or [File.Abort].
type File struct {
	on   fileSystem
	path string // the target
	temp string
	file file
	err  error // the first failure, or that it has ended
}

// Create begins a new version of the file at path, and sweeps the folder. mode
// is as for [Write]. The folder exists; path is free or a regular file, else the
// error is [ErrTarget]. The other errors are the system's, with the file and
// the operation.
func Create(path string, mode fs.FileMode) (*File, error) {
	return create(system{}, path, mode)
}

func create(on fileSystem, path string, mode fs.FileMode) (*File, error) {
	switch info, err := on.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, failure(path, "looking at it", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w but %s: name another file", path, ErrTarget, kind(info.Mode()))
	}
	folder := filepath.Dir(path)
	// A folder that cannot be swept is no reason not to write.
	_, _ = sweep(on, folder)
	var err error
	for range attempts {
		var f file
		temp := filepath.Join(folder, on.TempName())
		if f, err = on.Create(temp, mode.Perm()); err == nil {
			return &File{on: on, path: path, temp: temp, file: f}, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return nil, failure(path, "creating a temporary file beside it", err)
}

// Write adds to the new content. After an error every further call and
// [File.Commit] return that error.
func (f *File) Write(b []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.file.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		f.err = failure(f.path, "writing", err)
	}
	return n, f.err
}

// Commit makes the new content the file's. If it returns an error before the
// rename, the old content stands and the temporary file is gone; the error
// tells a failure after the rename apart: the new content then stands, but might
// not survive a power failure. A failed sync is never tried again: the kernel
// may have dropped the data that it could not write and report success next
// time.
func (f *File) Commit() error {
	if f.err != nil {
		err := f.err
		f.Abort()
		return err
	}
	if err := f.file.Sync(); err != nil {
		return f.fail("syncing", err)
	}
	if f.on.CloseBeforeRename() {
		err := f.file.Close()
		f.file = nil
		if err != nil {
			return f.fail("closing", err)
		}
	}
	if err := f.on.Rename(f.temp, f.path); err != nil {
		return f.fail("renaming the temporary file to it", err)
	}
	f.temp = ""
	f.Abort() // nothing is left but to close, after a sync that has reported all there was
	if err := f.on.SyncFolder(filepath.Dir(f.path)); err != nil {
		return failure(f.path, "it is in place, but may not survive a power failure: syncing its folder", err)
	}
	return nil
}

func (f *File) fail(operation string, err error) error {
	f.Abort()
	return failure(f.path, operation, err)
}

// Abort gives the new content up and removes the temporary file. After
// [File.Commit] it does nothing, so that it can be deferred.
func (f *File) Abort() {
	f.err = fmt.Errorf("%s: committed or aborted before: %w", f.path, fs.ErrClosed)
	// Removed first and closed then, so that the lock outlives the name. Windows
	// refuses to remove an open file, so it is tried again. What stays behind
	// all the same is a stray for the next sweep.
	removed := f.temp == "" || f.on.Remove(f.temp) == nil
	if f.file != nil {
		_ = f.file.Close()
		f.file = nil
	}
	if !removed {
		_ = f.on.Remove(f.temp)
	}
	f.temp = ""
}

// Sweep removes the strays of killed writers from a folder and returns how many
// there were. Files of writers that live, in this process or another, stay.
func Sweep(folder string) (removed int, err error) {
	return sweep(system{}, folder)
}

func sweep(on fileSystem, folder string) (removed int, err error) {
	names, err := on.Names(folder)
	if err != nil {
		return 0, failure(folder, "listing it", err)
	}
	var failed []error
	for _, name := range names {
		if !temporary(name) {
			continue
		}
		gone, err := on.RemoveStray(filepath.Join(folder, name))
		switch {
		case errors.Is(err, fs.ErrNotExist): // its owner or another sweep was faster
		case err != nil:
			failed = append(failed, failure(filepath.Join(folder, name), "removing a stray", err))
		case gone:
			removed++
		}
	}
	return removed, errors.Join(failed...)
}

// temporary reports whether name has the form of this package's temporary files.
func temporary(name string) bool {
	middle, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return false
	}
	if middle, ok = strings.CutSuffix(middle, suffix); !ok {
		return false
	}
	process, random, ok := strings.Cut(middle, "-")
	return ok && process != "" && strings.Trim(process, "0123456789") == "" &&
		len(random) == 16 && strings.Trim(random, "0123456789abcdef") == ""
}

func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	default:
		return "a device, pipe or socket"
	}
}

func failure(path, operation string, err error) error {
	return fmt.Errorf("%s: %s: %w", path, operation, err)
}
