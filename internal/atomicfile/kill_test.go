package atomicfile

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// With this variable set, the test binary is a writer of that file.
const (
	writerPath  = "CAMBIUM_ATOMICFILE_PATH"
	writerFirst = "CAMBIUM_ATOMICFILE_FIRST" // version
)

const killedSize = 1 << 20 // bytes

func TestMain(m *testing.M) {
	if path := os.Getenv(writerPath); path != "" {
		first, err := strconv.ParseUint(os.Getenv(writerFirst), 10, 64)
		if err == nil {
			err = writeForever(path, first)
		}
		os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForever writes one version after the other, and says so before the first
// and after each.
func writeForever(path string, v uint64) error {
	os.Stdout.WriteString("ready\n")
	for ; ; v++ {
		if err := writeVersion(path, v); err != nil {
			return err
		}
		os.Stdout.WriteString("written\n")
	}
}

// writeVersion writes a file that is v over and over.
func writeVersion(path string, v uint64) error {
	piece := make([]byte, killedSize/16)
	for i := 0; i < len(piece); i += 8 {
		binary.LittleEndian.PutUint64(piece[i:], v)
	}
	return Write(path, 0o600, func(w io.Writer) error {
		for range 16 {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestKill kills writers at random moments, without notice, and looks at what
// they leave: one whole version, not older than one that was confirmed.
func TestKill(t *testing.T) {
	kills := 100
	if testing.Short() {
		kills = 10
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	folder := t.TempDir()
	path := filepath.Join(folder, "target")
	// The first version is written in peace, and shows how long one takes here.
	begun := time.Now()
	if err := writeVersion(path, 0); err != nil {
		t.Fatal(err)
	}
	longest := max(40*time.Millisecond, 2*time.Since(begun))
	next, strays := uint64(1), 0
	for i := range kills {
		confirmed := next + killWriter(t, path, next, time.Duration(rng.Int64N(int64(longest))))
		b, err := os.ReadFile(path)
		if err != nil || len(b) != killedSize {
			t.Fatalf("seed %d, kill %d: %d bytes, %v", seed, i, len(b), err)
		}
		v := binary.LittleEndian.Uint64(b)
		for at := 0; at < len(b); at += 8 {
			if w := binary.LittleEndian.Uint64(b[at:]); w != v {
				t.Fatalf("seed %d, kill %d: torn: version %d at the beginning, %d at byte %d", seed, i, v, w, at)
			}
		}
		if v+1 < confirmed {
			t.Fatalf("seed %d, kill %d: version %d, and %d was confirmed", seed, i, v, confirmed-1)
		}
		next = v + 1
		entries, err := os.ReadDir(folder)
		if err != nil {
			t.Fatal(err)
		}
		strays += len(entries) - 1
		if len(entries) > 2 && runtime.GOOS != "windows" {
			t.Fatalf("seed %d, kill %d: %d files: a writer did not sweep", seed, i, len(entries))
		}
	}
	t.Logf("%d kills, %d versions, %d strays, all whole", kills, next-1, strays)
	if runtime.GOOS == "windows" {
		return // strays are swept after an hour
	}
	if _, err := Sweep(folder); err != nil {
		t.Fatal(err)
	}
	only(t, folder, "target")
}

// killWriter runs a writer, kills it a while after it is ready and returns how
// many versions it confirmed.
func killWriter(t *testing.T, path string, first uint64, after time.Duration) (confirmed uint64) {
	t.Helper()
	writer := exec.Command(os.Args[0])
	writer.Env = append(os.Environ(), writerPath+"="+path, writerFirst+"="+strconv.FormatUint(first, 10))
	out, err := writer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := writer.Start(); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skipf("no processes here: %v", err)
		}
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch lines.Text() {
		case "ready":
			time.AfterFunc(after, func() { _ = writer.Process.Kill() })
		case "written":
			confirmed++
		default:
			_ = writer.Process.Kill()
			t.Errorf("the writer says %s", lines.Text())
		}
	}
	_ = writer.Wait() // it was killed
	return confirmed
}
