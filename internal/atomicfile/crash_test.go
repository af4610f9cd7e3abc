package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var target = filepath.Join("folder", "file")

// fill writes a version in several pieces.
func fill(content string) func(io.Writer) error {
	return func(w io.Writer) error {
		for len(content) > 0 {
			n := min(len(content), 40)
			if _, err := io.WriteString(w, content[:n]); err != nil {
				return err
			}
			content = content[n:]
		}
		return nil
	}
}

// starts are the states of the folder that a writer may find.
func starts() map[string]map[string]string {
	stray := filepath.Join("folder", prefix+"7-0123456789abcdef"+suffix)
	return map[string]map[string]string{
		"new file":          {},
		"old file":          {target: version("old")},
		"old file, a stray": {target: version("old"), stray: "half of"},
	}
}

// TestPowerFailure cuts the power after each call in turn, in three ways. The
// target is whole whatever happens, it is the new version once Commit has
// returned, and the next writer finds its way and leaves no stray.
func TestPowerFailure(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, start := range starts() {
		for _, closeFirst := range []bool{false, true} {
			d := newDisk(start)
			d.closeFirst = closeFirst
			before := d.content(target)
			crashes := 0
			check := func(when string, committed bool) {
				for try := range 34 {
					outcome := min(try, atRandom)
					found := d.crash(outcome, rng)
					got := found.content(target)
					if got != version("new") && (committed || got != before) {
						t.Fatalf("%s, close first %t, power failure %s, outcome %d, committed %t: the file holds %q", name, closeFirst, when, outcome, committed, got)
					}
					if err := write(found, target, 0o644, fill(version("next"))); err != nil {
						t.Fatalf("%s, after a power failure %s: %v", name, when, err)
					}
					if got := found.content(target); got != version("next") || found.strays() != 0 {
						t.Fatalf("%s, after a power failure %s and another write: %q, %d strays", name, when, got, found.strays())
					}
					crashes++
				}
			}
			d.after = func(call string) { check("after "+call, false) }
			if err := write(d, target, 0o644, fill(version("new"))); err != nil {
				t.Fatal(err)
			}
			check("at the end", true)
			if want := 34 * 8; crashes < want {
				t.Errorf("%s: %d power failures, %d wanted at least", name, crashes, want)
			}
		}
	}
}

// TestFaultAtEveryCall lets each call fail in turn, once or from then on. The
// old version stands unless the new one had its name already; the error names
// the file, the operation and the cause; a failed sync is not tried again.
func TestFaultAtEveryCall(t *testing.T) {
	operations := map[string]string{
		"lstat": "looking at it", "create": "creating", "write": "writing", "sync": "syncing",
		"close": "closing", "rename": "renaming", "sync folder": "syncing its folder",
	}
	for name, start := range starts() {
		for _, cause := range []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, fs.ErrPermission} {
			for _, forever := range []bool{false, true} {
				for _, closeFirst := range []bool{false, true} {
					for at := 1; ; at++ {
						d := newDisk(start)
						d.closeFirst = closeFirst
						before := d.content(target)
						failed := ""
						d.fault = func(number int, call string) (error, bool) {
							if number == at || forever && number > at {
								if failed == "" {
									failed = call
								}
								return cause, false
							}
							return nil, false
						}
						err := write(d, target, 0o644, fill(version("new")))
						if failed == "" {
							if err != nil {
								t.Fatal(err)
							}
							break
						}
						where := fmt.Sprintf("%s, %v at call %d (%s), forever %t, close first %t", name, cause, at, failed, forever, closeFirst)
						checkFault(t, where, d, err, failed, before, cause, forever, operations)
					}
				}
			}
		}
	}
}

func checkFault(t *testing.T, where string, d *disk, err error, failed, before string, cause error, forever bool, operations map[string]string) {
	t.Helper()
	// A folder that cannot be swept is written to all the same, and when a synced
	// file is closed behind its rename there is nothing left to go wrong.
	harmless := failed == "names" || failed == "remove stray" || failed == "close" && !d.closeFirst
	want := before
	if failed == "sync folder" || harmless && !forever {
		want = version("new")
	}
	if harmless && forever && failed == "close" {
		want = version("new") // and the folder's sync fails
	}
	switch {
	case harmless && !forever:
		if err != nil {
			t.Errorf("%s: %v, and it is harmless", where, err)
		}
	case err == nil:
		t.Errorf("%s: no error", where)
	case !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), target+": ") || !harmless && !strings.Contains(err.Error(), operations[failed]):
		t.Errorf("%s: the error is %q", where, err)
	}
	if got := d.content(target); got != want {
		t.Errorf("%s: the file holds %q, want %q", where, got, want)
	}
	if n := d.count("sync"); n > 1 {
		t.Errorf("%s: %d syncs", where, n)
	}
	if !forever && !harmless && d.strays() > 0 && failed != "lstat" {
		t.Errorf("%s: %d strays", where, d.strays())
	}
	for path, n := range d.names {
		if n.open {
			t.Errorf("%s: %s is still open", where, path)
		}
	}
}

func TestShortWrite(t *testing.T) {
	for at := 1; at <= 4; at++ {
		d := newDisk(map[string]string{target: version("old")})
		writes := 0
		d.fault = func(_ int, call string) (error, bool) {
			if call == "write" {
				writes++
			}
			return nil, call == "write" && writes == at
		}
		err := write(d, target, 0o644, fill(version("new")))
		if !errors.Is(err, io.ErrShortWrite) || !strings.Contains(err.Error(), target+": writing") {
			t.Errorf("write %d is short: %v", at, err)
		}
		if got := d.content(target); got != version("old") || d.strays() > 0 {
			t.Errorf("write %d is short: the file holds %q, %d strays", at, got, d.strays())
		}
	}
}

// TestWriteErrorStays: a caller who overlooks the error of Write meets it again.
func TestWriteErrorStays(t *testing.T) {
	d := newDisk(nil)
	failed := false
	d.fault = func(_ int, call string) (error, bool) {
		if call == "write" && !failed {
			failed = true
			return syscall.ENOSPC, false
		}
		return nil, false
	}
	f, err := create(d, target, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Write([]byte("x")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("writing: %v", err)
		}
	}
	if err := f.Commit(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Commit: %v", err)
	}
	if len(d.names) > 0 || d.count("write") != 1 || d.count("rename") != 0 {
		t.Errorf("left are %v after %v", d.names, d.calls)
	}
}

// TestCommitCleansUp: a Commit that fails needs no Abort.
func TestCommitCleansUp(t *testing.T) {
	for _, failing := range []string{"sync", "close", "rename"} {
		d := newDisk(nil)
		d.closeFirst = true
		f, err := create(d, target, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		d.fault = func(_ int, call string) (error, bool) {
			if call == failing {
				return syscall.EIO, false
			}
			return nil, false
		}
		if err := f.Commit(); !errors.Is(err, syscall.EIO) || len(d.names) > 0 {
			t.Errorf("%s fails: %v; left are %v", failing, err, d.names)
		}
	}
}

// TestNameTaken: a temporary name that is in use is no failure, a folder where
// all of them are is.
func TestNameTaken(t *testing.T) {
	for _, taken := range []int{1, attempts - 1, attempts} {
		d := newDisk(nil)
		d.fault = func(_ int, call string) (error, bool) {
			if call == "create" && d.count("create") <= taken {
				return fs.ErrExist, false
			}
			return nil, false
		}
		err := write(d, target, 0o644, fill(version("new")))
		if taken < attempts && err != nil || taken == attempts && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%d names taken: %v", taken, err)
		}
		if n := d.count("create"); n != min(taken+1, attempts) {
			t.Errorf("%d names taken: %d tries", taken, n)
		}
	}
}

// TestAbortTriesTwice: where an open file cannot be removed, it is after closing.
func TestAbortTriesTwice(t *testing.T) {
	d := newDisk(nil)
	d.closeFirst = true
	f, err := create(d, target, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	f.Abort()
	if len(d.names) > 0 || d.count("remove") != 2 {
		t.Errorf("left are %v after %v", d.names, d.calls)
	}
}

func TestSweepReportsWhatItCannotRemove(t *testing.T) {
	strays := map[string]string{"folder/keep": "x"}
	for i := range 3 {
		strays[filepath.Join("folder", fmt.Sprintf("%s%d-%016x%s", prefix, i, i, suffix))] = ""
	}
	d := newDisk(strays)
	d.fault = func(number int, call string) (error, bool) {
		switch number {
		case 2:
			return syscall.EIO, false
		case 3:
			return fs.ErrNotExist, false // another sweep was faster
		}
		return nil, false
	}
	removed, err := sweep(d, "folder")
	if removed != 1 || !errors.Is(err, syscall.EIO) || errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), filepath.Join("folder", prefix+"0-0000000000000000"+suffix)+": removing a stray: ") {
		t.Errorf("%d removed, %v", removed, err)
	}
	d.fault = func(int, string) (error, bool) { return syscall.EACCES, false }
	if removed, err := sweep(d, "folder"); removed != 0 || !errors.Is(err, syscall.EACCES) || !strings.HasPrefix(err.Error(), "folder: listing it: ") {
		t.Errorf("unreadable folder: %d removed, %v", removed, err)
	}
}
