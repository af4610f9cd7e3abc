// Package kernels is the contract of Cambium's compute kernels: what each
// operation computes, how exact it is, what it refuses, and what a backend
// promises about determinism, residency and cancellation.
//
// The package holds no implementation. Package cpu implements [Backend] in Go.
// The contract is written for devices too; a backend for NVIDIA's is not there
// yet. Package kernels/kerneltest is the conformance suite that every backend
// must pass. Programs take a Backend and work with any.
//
// # Data
//
// A [Matrix] is a row-major view on host or device memory. It never owns the
// memory and is cheap to copy. [Of], [OfBits] and [Foreign] make one; a
// [Buffer] from [Backend.Alloc] owns its memory. Batches are slices of
// matrices; their shapes may differ from item to item.
//
// # Promises common to all operations
//
// Arguments are checked before anything is written: an operation that returns
// one of the argument errors ([ErrShape], [ErrDevice], [ErrAlias],
// [ErrUnsupported]) has not touched dst. After any later error the content of
// dst is undefined, and nothing outside dst has been written; [ErrDegenerate]
// alone comes with a complete dst. No input makes an operation panic.
//
// An operation takes matrices on its own device and on the host, mixed. It
// stages host operands itself and leaves the result where dst lives. Nothing
// on the device is downloaded unless dst is on the host.
//
// The same input gives the same bits on the same machine with the same
// backend fingerprint ([Info]), over runs, worker counts, batch order and
// memory alignment. Across backends and tiers results agree within the bounds
// of [BoundsOf], not to the bit.
//
// NaN and Inf propagate: an input NaN reaches every result that depends on it
// mathematically and no other, save where the operation says so. There is no skipping of zero factors. With
// alpha = 0 the sources are not read, with beta = 0 the old dst is not read.
//
// Every operation takes a context and looks at it between tiles. When it is
// cancelled, each worker finishes at most one further tile and the operation
// returns the context's error, wrapped. A nil context is [ErrShape].
//
// All methods may be called from several goroutines at once, as long as no
// call writes what another one reads or writes.
package kernels
