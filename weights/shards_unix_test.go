//go:build unix

package weights

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipe: nobody writes to it, and opening does not wait for that.
func TestPipe(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	index := put(t, folder, "x.index.json", []byte(`{"weight_map":{"a":"pipe"}}`))
	for _, path := range []string{pipe, index, "/dev/zero"} {
		if _, err := Open(path); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "regular file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
