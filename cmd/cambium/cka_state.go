package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cambium-kernels/cambium/cka"
	"github.com/cambium-kernels/cambium/internal/atomicfile"
)

// maxState is the size beyond which a file is no state: that of 4,000 layers.
const maxState = 1 << 32

// readState reads a state file.
func readState(path string) (*cka.State, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxState {
		return nil, fmt.Errorf("no file of a state: %w", cka.ErrFormat)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return cka.Decode(data)
}

// openState returns the state in a file, if there is one of the same plan, or an
// empty one.
func openState(path string, plan cka.Plan) (*cka.State, error) {
	empty, err := cka.NewState(plan)
	if err != nil || path == "" {
		return empty, err
	}
	kept, err := readState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w (name another file, or remove this one)", path, err)
	}
	if err := empty.Merge(kept); err != nil {
		return nil, fmt.Errorf("%s is of another comparison: %w (name another file, or remove this one)", path, err)
	}
	return empty, nil
}

// unsavedError says that an interrupted run could not keep what it had done.
type unsavedError struct{ err error }

func (e *unsavedError) Error() string { return e.err.Error() }

func (e *unsavedError) Unwrap() error { return e.err }

// writeState replaces a state file.
func writeState(path string, s *cka.State) error {
	data, err := s.MarshalBinary()
	if err != nil {
		return err
	}
	return atomicfile.Write(path, 0o666, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}
