package weights

import (
	"fmt"
	"io"
)

// OpenReader opens a safetensors file that is not on the disk, such as an
// embedded one: size bytes of r. name stands for its path in errors. Close
// closes r if it can be closed. Errors: as [Open].
func OpenReader(r io.ReaderAt, size int64, name string) (*File, error) {
	file, ok := r.(readCloser)
	if !ok {
		file = unclosed{r}
	}
	s, err := readShard(&source{file: file, path: name, size: size})
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	f, err := newFile([]shard{s})
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	return f, nil
}

type readCloser interface {
	io.ReaderAt
	io.Closer
}

// unclosed is a reader with nothing to close.
type unclosed struct{ io.ReaderAt }

// Close implements io.Closer.
func (unclosed) Close() error { return nil }
