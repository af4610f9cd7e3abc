//go:build !cuda || !cgo || !linux

package cuda

import (
	"context"
	"fmt"

	"github.com/cambium-kernels/cambium/kernels"
)

var errNotBuilt = fmt.Errorf("built without CUDA (tag cuda): %w", kernels.ErrUnsupported)

// Open returns a backend on a CUDA device. In this build it returns an error
// that wraps kernels.ErrUnsupported.
func Open(context.Context, Options) (kernels.Backend, error) {
	return nil, fmt.Errorf("cuda: %w", errNotBuilt)
}

// Devices lists the CUDA devices. In this build it returns an error that wraps
// kernels.ErrUnsupported.
func Devices() ([]Device, error) {
	return nil, fmt.Errorf("cuda: %w", errNotBuilt)
}
