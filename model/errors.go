package model

import "errors"

// The sentinels. Errors of this package wrap one of them, or one of packages
// kernels and weights, with the place and the numbers; use [errors.Is].
var (
	// ErrUnsupported: a model, or something in its configuration, that would give
	// other numbers than those of the reference implementation if it were run.
	// [WayRound] says what to do.
	ErrUnsupported = errors.New("not supported")
	// ErrConfig: a configuration that contradicts itself or lacks something.
	ErrConfig = errors.New("bad configuration")
	// ErrTensors: a checkpoint whose tensors are not those of its configuration.
	ErrTensors = errors.New("tensors do not fit the model")
	// ErrInput: tokens, masks or options that do not fit the model.
	ErrInput = errors.New("bad input")
	// ErrNotFound: no model of that name on this machine.
	ErrNotFound = errors.New("no such model")
)

// WayRound is what to do about a model that is refused.
const WayRound = "dump its states in Python with model/dump.py and give the file with --dump"
