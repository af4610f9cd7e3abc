//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestClaim: a file that a sweep has locked or removed in the meantime is not used.
func TestClaim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	sweeper, writer := open(), open()
	if err := flock(sweeper); err != nil {
		t.Skipf("no locks on this file system: %v", err)
	}
	if err := claim(writer); !errors.Is(err, fs.ErrExist) {
		t.Errorf("locked by another: %v", err)
	}
	sweeper.Close()
	if err := claim(writer); err != nil {
		t.Errorf("free: %v", err)
	}
	if gone, err := removeStray(path); gone || err != nil {
		t.Errorf("in use: %t, %v", gone, err)
	}
	os.Remove(path)
	if err := claim(writer); !errors.Is(err, fs.ErrExist) {
		t.Errorf("removed: %v", err)
	}
	again := open()
	if err := claim(writer); !errors.Is(err, fs.ErrExist) {
		t.Errorf("removed and made again: %v", err)
	}
	if err := claim(again); err != nil {
		t.Errorf("made again: %v", err)
	}
}

// TestStrayThatIsNoFile: not through a link, and no waiting at a pipe.
func TestStrayThatIsNoFile(t *testing.T) {
	folder := t.TempDir()
	file, link, pipe := filepath.Join(folder, "a"), filepath.Join(folder, "b"), filepath.Join(folder, "c")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", link); err != nil {
		t.Fatal(err)
	}
	if gone, err := removeStray(link); gone || err == nil {
		t.Errorf("link: %t, %v", gone, err)
	}
	if err := mkfifo(pipe); err != nil {
		t.Fatal(err)
	}
	if gone, err := removeStray(pipe); gone || err != nil {
		t.Errorf("pipe: %t, %v", gone, err)
	}
	only(t, folder, "a", "b", "c")
	if gone, err := removeStray(file); !gone || err != nil {
		t.Errorf("file: %t, %v", gone, err)
	}
	only(t, folder, "b", "c")
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }
