package cka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// centredKernel returns the n x n kernel matrix of a layer in float64, centred
// for the estimator; nil if the layer has no HSIC. Layers of y count after x's.
func (t *permutationTest) centredKernel(m kernels.Matrix, layer int) ([]float64, error) {
	n := t.n
	if n < t.options.Estimator.MinRows() {
		return nil, nil
	}
	if n > math.MaxInt/8/n {
		return nil, fmt.Errorf("a kernel matrix of %d rows: %w", n, kernels.ErrMemory)
	}
	square := make([]float64, n*n)
	defined, err := t.kernel(square, m, layer)
	if err != nil || !defined {
		return nil, err
	}
	if t.options.Estimator == kernels.Unbiased {
		uCenter(square, n)
	} else {
		center(square, n)
	}
	for _, v := range square {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, nil
		}
	}
	return square, nil
}

// kernel fills square with the layer's kernel matrix. It is not defined if the
// bandwidth rule finds 0.
func (t *permutationTest) kernel(square []float64, m kernels.Matrix, layer int) (defined bool, err error) {
	n, o := t.n, t.options
	x, err := float64Copy(t.ctx, t.backend, m, o.Kernel == kernels.Linear)
	if err != nil {
		return false, err
	}
	dst, err := kernels.Of(square, n, n, n)
	if err != nil {
		return false, err
	}
	out, in := []kernels.Matrix{dst}, []kernels.Matrix{x}
	compute := o.Compute
	compute.Progress = nil // its steps are permutations
	switch o.Kernel {
	case kernels.Linear:
		return true, t.backend.Gram(t.ctx, out, in, 1, 0, kernels.Full, compute)
	case kernels.Gaussian:
		bandwidth := o.Bandwidth
		if bandwidth.Variance != nil {
			if layer >= len(bandwidth.Variance) {
				return false, fmt.Errorf("%d bandwidths for layer %d: %w", len(bandwidth.Variance), layer, kernels.ErrShape)
			}
			bandwidth.Variance = bandwidth.Variance[layer : layer+1]
		}
		err := t.backend.RBF(t.ctx, out, in, bandwidth, nil, compute)
		if errors.Is(err, kernels.ErrDegenerate) {
			return false, nil
		}
		return true, err
	case kernels.Precomputed:
		if m.Cols != n {
			return false, fmt.Errorf("kernel matrix is %d x %d: %w", n, m.Cols, kernels.ErrShape)
		}
		return true, t.backend.Copy(t.ctx, dst, x)
	default:
		return false, fmt.Errorf("kernel %d: %w", o.Kernel, kernels.ErrUnsupported)
	}
}

// float64Copy widens a matrix, and centres its columns if asked.
func float64Copy(ctx context.Context, b kernels.Backend, m kernels.Matrix, centred bool) (kernels.Matrix, error) {
	if m.Rows > 0 && m.Cols > math.MaxInt/8/m.Rows {
		return kernels.Matrix{}, fmt.Errorf("%d x %d values: %w", m.Rows, m.Cols, kernels.ErrMemory)
	}
	x, err := kernels.Of(make([]float64, m.Rows*m.Cols), m.Rows, m.Cols, m.Cols)
	if err != nil {
		return kernels.Matrix{}, err
	}
	if centred {
		return x, b.Center(ctx, []kernels.Matrix{x}, []kernels.Matrix{m}, nil, kernels.Options{})
	}
	return x, b.Convert(ctx, x, m)
}

// center subtracts row and column means: H·K·H.
func center(k []float64, n int) {
	shift := make([]float64, n)
	grand := 0.0
	for i := range n {
		shift[i] = sum(k[i*n:(i+1)*n]) / float64(n)
		grand += shift[i] / float64(n)
	}
	for i := range shift {
		shift[i] -= grand / 2
	}
	subtract(k, shift)
}

// uCenter is the centring that makes the inner product unbiased, with a diagonal
// of zeros (Székely & Rizzo 2014).
func uCenter(k []float64, n int) {
	for i := range n {
		k[i*n+i] = 0
	}
	shift := make([]float64, n)
	for i := range n {
		shift[i] = sum(k[i*n:(i+1)*n]) / float64(n-2)
	}
	rest := sum(shift) / float64(2*(n-1))
	for i := range shift {
		shift[i] -= rest
	}
	subtract(k, shift)
	for i := range n {
		k[i*n+i] = 0
	}
}

func sum(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

// subtract makes K_ij − shift_i − shift_j of K_ij.
func subtract(k, shift []float64) {
	n := len(shift)
	for i, own := range shift {
		line := k[i*n : (i+1)*n]
		for j, v := range shift {
			line[j] -= own + v
		}
	}
}
