package text

import "errors"

// The sentinels. Errors of this package wrap one of them, or that of the system
// call or of package weights that failed; use [errors.Is].
var (
	// ErrFormat: the input is not what it should be.
	ErrFormat = errors.New("malformed input")
	// ErrTemplate: a template that cannot be filled with these fields.
	ErrTemplate = errors.New("template does not fit")
	// ErrShort: fewer tokens than the sequences need.
	ErrShort = errors.New("too little text")
)
