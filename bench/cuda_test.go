//go:build cuda && cgo && linux

package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/cuda"
	"github.com/cambium-kernels/cambium/kernels"
)

// onCUDA opens device 0, or skips the benchmark.
func onCUDA(b *testing.B) kernels.Backend {
	b.Helper()
	be, err := cuda.Open(context.Background(), cuda.Options{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() {
		if err := be.Close(); err != nil {
			b.Error(err)
		}
	})
	return be
}

// normal returns a device matrix of Gaussian values: power, and so the clock,
// depends on the data.
func normal(b *testing.B, be kernels.Backend, dt kernels.DType, rows, cols int) (kernels.Matrix, []float32) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, uint64(rows*cols)))
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = float32(r.NormFloat64())
	}
	m, err := kernels.Of(data, rows, cols, cols)
	if err != nil {
		b.Fatal(err)
	}
	return allocated(b, be, dt, rows, cols, &m), data
}

// allocated returns a device matrix, converted from a host matrix if there is one.
func allocated(b *testing.B, be kernels.Backend, dt kernels.DType, rows, cols int, from *kernels.Matrix) kernels.Matrix {
	b.Helper()
	buf, err := be.Alloc(context.Background(), dt, rows, cols)
	if err == nil && from != nil {
		err = be.Convert(context.Background(), buf.Matrix(), *from)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := buf.Free(); err != nil {
			b.Error(err)
		}
	})
	return buf.Matrix()
}

// relativeError compares 64 rows' first elements of a product x·yᵀ with float64:
// the largest error over Σ|x||y|.
func relativeError(b *testing.B, be kernels.Backend, dst, x, y kernels.Matrix) float64 {
	b.Helper()
	n, k := min(64, dst.Rows, dst.Cols), x.Cols
	fetch := func(m kernels.Matrix, rows, cols int) []float64 {
		v, err := m.View(0, 0, rows, cols)
		if err != nil {
			b.Fatal(err)
		}
		out := make([]float64, rows*cols)
		host, err := kernels.Of(out, rows, cols, cols)
		if err == nil {
			err = be.Convert(context.Background(), host, v)
		}
		if err != nil {
			b.Fatal(err)
		}
		return out
	}
	got, p, q := fetch(dst, n, n), fetch(x, n, k), fetch(y, n, k)
	worst := 0.0
	for i := range n {
		for j := range n {
			sum, gauge := 0.0, 0.0
			for t := range k {
				v := p[i*k+t] * q[j*k+t]
				sum += v
				gauge += math.Abs(v)
			}
			worst = max(worst, math.Abs(got[i*n+j]-sum)/gauge)
		}
	}
	return worst
}

var cudaSizes = []shape{{1024, 1024}, {4096, 4096}, {8192, 4096}}

func BenchmarkCUDAMatmul(b *testing.B) {
	for _, s := range cudaSizes {
		for _, dt := range []kernels.DType{kernels.BFloat16, kernels.Float16, kernels.Float32} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s/cuda", s.n, s.n, s.d, dt), func(b *testing.B) {
				be := onCUDA(b)
				x, _ := normal(b, be, dt, s.n, s.d)
				y, _ := normal(b, be, dt, s.n, s.d)
				d := allocated(b, be, kernels.Float32, s.n, s.n, nil)
				rate(b, 2*float64(s.n)*float64(s.n)*float64(s.d), func() error {
					return be.Matmul(context.Background(), []kernels.Matrix{d}, []kernels.Matrix{x}, []kernels.Matrix{y}, kernels.NT, 1, 0, kernels.Options{})
				})
				b.ReportMetric(relativeError(b, be, d, x, y), "error")
			})
		}
	}
}

func BenchmarkCUDAGram(b *testing.B) {
	for _, s := range cudaSizes {
		for _, dt := range []kernels.DType{kernels.BFloat16, kernels.Float32} {
			b.Run(fmt.Sprintf("%s/%s/cuda", s, dt), func(b *testing.B) {
				be := onCUDA(b)
				x, _ := normal(b, be, dt, s.n, s.d)
				d := allocated(b, be, kernels.Float32, s.n, s.n, nil)
				rate(b, float64(s.n)*float64(s.n+1)*float64(s.d), func() error {
					return be.Gram(context.Background(), []kernels.Matrix{d}, []kernels.Matrix{x}, 1, 0, kernels.Full, kernels.Options{})
				})
				b.ReportMetric(relativeError(b, be, d, x, x), "error")
			})
		}
	}
}

// BenchmarkCUDARotation reads 32 pairs of bfloat16 tensors, 2 GiB in all.
func BenchmarkCUDARotation(b *testing.B) {
	const pairs, rows, cols = 32, 4096, 4096
	b.Run(fmt.Sprintf("%dx%dx%d/bf16/cuda", pairs, rows, cols), func(b *testing.B) {
		be := onCUDA(b)
		var w0, wt []kernels.Matrix
		first, _ := normal(b, be, kernels.BFloat16, rows, cols)
		for range pairs {
			for _, list := range []*[]kernels.Matrix{&w0, &wt} {
				m := allocated(b, be, kernels.BFloat16, rows, cols, nil)
				if err := be.Copy(context.Background(), m, first); err != nil {
					b.Fatal(err)
				}
				*list = append(*list, m)
			}
		}
		values := make([]kernels.RotationValue, pairs)
		b.SetBytes(2 * 2 * pairs * rows * cols)
		for b.Loop() {
			if err := be.Rotation(context.Background(), values, w0, wt, kernels.Options{}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(math.Abs(values[0].Distance), "error") // of equal tensors: exactly 0
	})
}
