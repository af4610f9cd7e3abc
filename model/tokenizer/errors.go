package tokenizer

import "errors"

// The sentinels. Errors of this package wrap one of them, or the error of the
// system call that failed; use [errors.Is].
var (
	// ErrFormat: the description of the tokenizer contradicts itself or is cut short.
	ErrFormat = errors.New("malformed tokenizer")
	// ErrUnsupported: a part that this package does not implement on purpose.
	ErrUnsupported = errors.New("not supported")
	// ErrToken: an id that no token has.
	ErrToken = errors.New("no such token")
)
