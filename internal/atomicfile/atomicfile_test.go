package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// only fails if the folder holds anything but the names.
func only(t *testing.T, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("the folder holds %v, want %v", got, names)
	}
}

func TestWrite(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	for _, content := range []string{"first", "", "third, longer"} {
		err := Write(path, 0o640, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); got != content {
			t.Errorf("the file holds %q, want %q", got, content)
		}
		only(t, folder, "a")
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o640 {
			t.Errorf("mode %v, %v, want 0640", info.Mode(), err)
		}
	}
}

func TestFillFails(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	err := Write(path, 0o600, func(w io.Writer) error {
		_, _ = io.WriteString(w, "new")
		return mine
	})
	if err != mine {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { _ = recover() }()
		_ = Write(path, 0o600, func(io.Writer) error { panic("in fill") })
	}()
	if got := read(t, path); got != "old" {
		t.Errorf("the file holds %q", got)
	}
	only(t, folder, "a")
}

func TestEndedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, end := range []func(*File) error{
		(*File).Commit,
		func(f *File) error { f.Abort(); return nil },
	} {
		f, err := Create(path, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := f.Write([]byte("abc")); n != 3 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		if err := end(f); err != nil {
			t.Fatal(err)
		}
		if n, err := f.Write([]byte("x")); n != 0 || !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), path) {
			t.Errorf("Write after the end: %d, %v", n, err)
		}
		if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("Commit after the end: %v", err)
		}
		f.Abort()
		if got := read(t, path); got != "abc" {
			t.Errorf("the file holds %q", got)
		}
	}
}

func TestTargets(t *testing.T) {
	folder := t.TempDir()
	sub := filepath.Join(folder, "sub")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{sub: "a folder", os.DevNull: "a device"}
	link := filepath.Join(folder, "link")
	if os.Symlink("nowhere", link) == nil { // Windows may forbid it
		refused[link] = "a symbolic link"
	}
	for path, what := range refused {
		_, err := Create(path, 0o600)
		if !errors.Is(err, ErrTarget) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", path, err)
		}
	}
	none := filepath.Join(folder, "no", "such")
	_, err := Create(none, 0o600)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), none+": creating") {
		t.Errorf("no folder: %v", err)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("folders cannot be made read-only for this user; TestFaultAtEveryCall does it in memory")
	}
	folder := t.TempDir()
	path := filepath.Join(folder, "a")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(folder, 0o700)
	if _, err := Create(path, 0o600); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
	only(t, folder, "a")
}

func TestSyncFolder(t *testing.T) {
	if err := (system{}).SyncFolder(t.TempDir()); err != nil {
		t.Error(err)
	}
	err := system{}.SyncFolder(filepath.Join(t.TempDir(), "none"))
	if want := runtime.GOOS != "windows"; errors.Is(err, fs.ErrNotExist) != want {
		t.Errorf("no folder: %v", err)
	}
	for cause, dropped := range map[error]bool{syscall.EINVAL: true, errors.ErrUnsupported: true, fmt.Errorf("x: %w", errors.ErrUnsupported): true, syscall.EIO: false, nil: true} {
		if err := unlessUnsupported(cause); (err == nil) != dropped || !dropped && err != cause {
			t.Errorf("%v is %v", cause, err)
		}
	}
}

// sweptInTheMiddle has a sweep at the worst moment, right before the rename.
type sweptInTheMiddle struct {
	system
	t *testing.T
}

func (s sweptInTheMiddle) Rename(from, to string) error {
	if gone, err := s.RemoveStray(from); gone || err != nil {
		s.t.Errorf("the file was swept: %t, %v", gone, err)
	}
	return s.system.Rename(from, to)
}

func TestLockedUntilRenamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := write(sweptInTheMiddle{t: t}, path, 0o600, fill("new")); err != nil || read(t, path) != "new" {
		t.Error(err)
	}
}

func TestTemporary(t *testing.T) {
	name := system{}.TempName()
	if !temporary(name) || temporary(name[1:]) || temporary(name+"x") {
		t.Errorf("%q", name)
	}
	if other := (system{}).TempName(); other == name {
		t.Errorf("%q twice", name)
	}
	for name, want := range map[string]bool{
		".cambium-1-0123456789abcdef.tmp":   true,
		".cambium--0123456789abcdef.tmp":    false,
		".cambium-1-0123456789abcde.tmp":    false,
		".cambium-1-0123456789abcdeff.tmp":  false,
		".cambium-1-0123456789ABCDEF.tmp":   false,
		".cambium-x-0123456789abcdef.tmp":   false,
		".cambium-1-2-0123456789abcdef.tmp": false,
		".cambium-1.tmp":                    false,
		".cambium-.tmp":                     false,
		"cambium-1-0123456789abcdef.tmp":    false,
		".cambium-1-0123456789abcdef":       false,
	} {
		if temporary(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
}

// TestSweep: files of living writers, of others, and folders stay.
func TestSweep(t *testing.T) {
	folder := t.TempDir()
	f, err := Create(filepath.Join(folder, "target"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Abort()
	for _, name := range []string{".cambium-1-0000000000000000.tmp", ".cambium-2-00000000000000ff.tmp", ".cambium-x.tmp", "target"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(folder, ".cambium-3-0000000000000000.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := Sweep(folder)
	want := 2
	if runtime.GOOS == "windows" {
		want = 0 // they are not an hour old
	}
	if removed != want || err != nil {
		t.Errorf("%d removed, %v", removed, err)
	}
	if err := f.Commit(); err != nil {
		t.Errorf("the living writer: %v", err)
	}
	if runtime.GOOS != "windows" {
		only(t, folder, ".cambium-3-0000000000000000.tmp", ".cambium-x.tmp", "target")
	}
	if _, err := Sweep(filepath.Join(folder, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// TestSweepsBesideWriters: sweeps at full speed never take a living writer's file.
func TestSweepsBesideWriters(t *testing.T) {
	folder := t.TempDir()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = Sweep(folder)
			}
		}
	}()
	for i := range 100 {
		err := Write(filepath.Join(folder, "target"), 0o600, fill(version("new")))
		if err != nil {
			t.Fatalf("write %d: %v", i, err)
		}
	}
	close(stop)
	<-stopped
	only(t, folder, "target")
}
