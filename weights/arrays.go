package weights

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// Arrays are the tensors of an open file, whatever its format.
type Arrays interface {
	// Len returns the number of tensors.
	Len() int
	// Names returns the names, each once, in the order of the file.
	Names() []string
	// Tensor returns the tensor of a name. Errors: [ErrMissing].
	Tensor(name string) (*Tensor, error)
	// Tensors yields the tensors in the order of Names.
	Tensors() iter.Seq[*Tensor]
	// Metadata returns what the file says of itself; it may be empty.
	Metadata() map[string]string
	// Close closes the file. Its tensors return [ErrClosed] from then on.
	Close() error
}

var (
	_ Arrays = (*File)(nil)
	_ Arrays = (*NPY)(nil)
	_ Arrays = (*NPZ)(nil)
)

// OpenArrays opens a file by what it begins with, not by its name: npy, npz, or
// what [Open] takes. Errors: those of [OpenNPY], [OpenNPZ] and [Open].
func OpenArrays(path string) (Arrays, error) {
	head, err := beginning(path)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	switch sniff(head) {
	case contentNPY:
		return opened(OpenNPY(path))
	case contentZip:
		return opened(OpenNPZ(path))
	default:
		return opened(Open(path))
	}
}

// opened returns nil, and not a nil file in an interface, where there is an error.
func opened[T Arrays](file T, err error) (Arrays, error) {
	if err != nil {
		return nil, err
	}
	return file, nil
}

// beginning returns the first bytes of a regular file; none of anything else.
func beginning(path string) (head []byte, err error) {
	info, err := os.Stat(path) // first: opening a pipe waits for its writer
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	f, err := os.Open(path) //nolint:gosec // the file that the caller names
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head = make([]byte, sniffBytes)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}
