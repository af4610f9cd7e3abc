package kernels

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The sentinels. Errors of this package and of every backend wrap one of them,
// with the operation, the index of the offending argument and the numbers; use
// [errors.Is].
var (
	// ErrShape: sizes, strides, indices or parameters that do not fit together,
	// or a view larger than its memory.
	ErrShape = errors.New("shape mismatch")
	// ErrDevice: a matrix lives on a device the backend does not serve.
	ErrDevice = errors.New("wrong device")
	// ErrAlias: a destination overlaps another destination, or a source where
	// the operation does not allow it.
	ErrAlias = errors.New("overlapping memory")
	// ErrUnsupported: a combination of types or options that this backend does
	// not compute. Another backend may.
	ErrUnsupported = errors.New("not supported")
	// ErrMemory: not enough memory, or the configured limit reached.
	ErrMemory = errors.New("out of memory")
	// ErrLost: the device failed and cannot be used any more in this process.
	ErrLost = errors.New("device lost")
	// ErrDegenerate: the result is mathematically undefined for some items; dst
	// is complete and holds NaN there. See [DegenerateError].
	ErrDegenerate = errors.New("undefined result")
	// ErrClosed: the backend or buffer was closed.
	ErrClosed = errors.New("closed")
)

// DegenerateError lists the items whose result is undefined. It wraps
// [ErrDegenerate].
type DegenerateError struct {
	Op      Op
	Indices []int  // ascending; what an index counts is said by the operation
	Reason  string // why the value is undefined
}

// Error names the operation, the reason and up to eight of the indices.
func (e *DegenerateError) Error() string {
	const shown = 8
	var b strings.Builder
	fmt.Fprintf(&b, "kernels: %s: %s at index ", e.Op, e.Reason)
	for i, ix := range e.Indices {
		if i == shown {
			fmt.Fprintf(&b, " and %d more", len(e.Indices)-shown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(ix))
	}
	b.WriteString(": " + ErrDegenerate.Error())
	return b.String()
}

// Unwrap returns [ErrDegenerate].
func (e *DegenerateError) Unwrap() error { return ErrDegenerate }

// Degenerate returns a *[DegenerateError], or nil when there are no indices.
func Degenerate(op Op, reason string, indices []int) error {
	if len(indices) == 0 {
		return nil
	}
	return &DegenerateError{Op: op, Indices: indices, Reason: reason}
}

// opError wraps a sentinel with the operation and a formatted reason.
func opError(op Op, sentinel error, format string, args ...any) error {
	return fmt.Errorf("kernels: %s: %s: %w", op, fmt.Sprintf(format, args...), sentinel)
}
