// Package cuda is the CUDA backend of the contract in package kernels, for
// NVIDIA devices of compute capability 8.0 and later.
//
// It exists in programs built with tag cuda and cgo on Linux; elsewhere [Open]
// returns an error that says so. Such a program starts on machines without an
// NVIDIA driver: the driver is loaded by the first call of [Open] or [Devices].
//
// Driver calls for devices, contexts, modules, memory, streams, events and
// launches go through gorgonia.org/cu; driver.go has what that package lacks.
// docs/cuda.md lists them, and says how to build.
//
// A backend makes all its driver calls on one OS thread. Host operands pass
// through pinned buffers, so that copies overlap with kernels. When device
// memory does not suffice, the work is halved down to one tile before
// [kernels.ErrMemory] is returned. Any other failure of the driver means that
// the device is lost: the call returns [kernels.ErrLost], as do all later ones,
// without another driver call; [kernels.WithFallback] goes on elsewhere.
package cuda

import (
	"fmt"
	"slices"

	"github.com/cambium-kernels/cambium/kernels"
)

// DriverVariable names the environment variable with the path of the driver
// library, in place of libcuda.so.1.
const DriverVariable = "CUDA_DRIVER_LIB"

// OldestMajor is the lowest major compute capability that the kernels are
// compiled for.
const OldestMajor = 8

// Options configure a backend. The zero value is device 0 with all its memory.
type Options struct {
	Device      int    // index of the device, as in Devices
	MemoryLimit uint64 // bytes of device memory that the backend may hold; 0: what the device has
}

// A Device describes a CUDA device.
type Device struct {
	Index        int
	Name         string
	Major, Minor int    // compute capability
	Memory       uint64 // bytes
}

// String returns, for example, "cuda:0 NVIDIA H100 80GB HBM3 (sm_90)".
func (d Device) String() string {
	return fmt.Sprintf("%s %s (sm_%d%d)", kernels.Device{Kind: kernels.CUDA, Index: d.Index}, d.Name, d.Major, d.Minor)
}

// computed are the operations that the backend has.
var computed = []kernels.Op{
	kernels.OpAlloc, kernels.OpCopy, kernels.OpConvert, kernels.OpGram, kernels.OpMatmul, kernels.OpCenter, kernels.OpRotation,
}

// Missing returns the operations of the contract that the backend answers with
// [kernels.ErrUnsupported], in the order of the contract.
func Missing() []kernels.Op {
	return slices.DeleteFunc(kernels.Ops(), func(op kernels.Op) bool { return slices.Contains(computed, op) })
}

// notComputed is the answer of a missing operation.
func notComputed(op kernels.Op) error {
	return fmt.Errorf("cuda: %s: there is no CUDA kernel for it yet (open backend cpu): %w", op, kernels.ErrUnsupported)
}
