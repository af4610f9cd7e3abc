package weights

import "errors"

// The sentinels. Errors of this package wrap one of them, or the error of the
// system call that failed, with the file, the place in it and the numbers; use
// [errors.Is].
var (
	// ErrFormat: the file is not what its format allows, or it is truncated.
	ErrFormat = errors.New("malformed file")
	// ErrUnsupported: the file is of a format or has an element type that this
	// package does not read on purpose, pickle among them.
	ErrUnsupported = errors.New("not supported")
	// ErrMissing: no tensor of that name.
	ErrMissing = errors.New("no such tensor")
	// ErrShape: a request that does not fit the tensor, or a tensor to be written
	// that contradicts itself.
	ErrShape = errors.New("shape mismatch")
	// ErrClosed: the file was closed.
	ErrClosed = errors.New("closed")
)
