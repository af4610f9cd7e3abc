package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/cambium-kernels/cambium/cpu"
	"github.com/cambium-kernels/cambium/kernels"
)

// shape is rows x terms of a benchmark.
type shape struct{ n, d int }

func (s shape) String() string { return fmt.Sprintf("%dx%d", s.n, s.d) }

var shapes = []shape{{256, 768}, {2048, 4096}}

// random returns a matrix of uniform values in [-1/2, 1/2) and its data.
func random(b *testing.B, rows, cols int) (kernels.Matrix, []float32) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, uint64(rows*cols)))
	data := make([]float32, rows*cols)
	for i := range data {
		data[i] = r.Float32() - 0.5
	}
	m, err := kernels.Of(data, rows, cols, cols)
	if err != nil {
		b.Fatal(err)
	}
	return m, data
}

// rate runs f and reports useful GFLOP/s.
func rate(b *testing.B, flops float64, f func() error) {
	b.Helper()
	if err := f(); err != nil { // warm up, and the result to compare
		b.Fatal(err)
	}
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

// agree fails unless two results differ by float32 rounding only.
func agree(b *testing.B, got, want []float32, terms int) {
	b.Helper()
	limit := 24 * 0x1p-24 * float64(terms) / 4 // |x| <= 1/2: every product is at most 1/4
	for i, v := range got {
		if d := math.Abs(float64(v) - float64(want[i])); !(d <= limit) {
			b.Fatalf("element %d: %v and %v", i, v, want[i])
		}
	}
}

// each runs a benchmark on every usable CPU tier.
func each(b *testing.B, run func(b *testing.B, be kernels.Backend)) {
	b.Helper()
	for _, tier := range cpu.Tiers() {
		if !tier.Usable {
			continue
		}
		b.Run("f32/cpu/"+tier.Name, func(b *testing.B) {
			be, err := cpu.New(cpu.Options{Tier: tier.Name})
			if err != nil {
				b.Fatal(err)
			}
			run(b, be)
			if err := be.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func general(data []float32, rows, cols int) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: cols, Data: data}
}

func BenchmarkGram(b *testing.B) {
	for _, s := range shapes {
		x, xd := random(b, s.n, s.d)
		dst, dd := random(b, s.n, s.n)
		flops := float64(s.n) * float64(s.n+1) * float64(s.d)
		b.Run(s.String(), func(b *testing.B) {
			each(b, func(b *testing.B, be kernels.Backend) {
				rate(b, flops, func() error {
					return be.Gram(context.Background(), []kernels.Matrix{dst}, []kernels.Matrix{x}, 1, 0, kernels.Full, kernels.Options{})
				})
			})
		})
		out := make([]float32, s.n*s.n)
		b.Run(s.String()+"/f32/gonum/gemm", func(b *testing.B) {
			rate(b, flops, func() error {
				blas32.Gemm(blas.NoTrans, blas.Trans, 1, general(xd, s.n, s.d), general(xd, s.n, s.d), 0, general(out, s.n, s.n))
				return nil
			})
			agree(b, dd, out, s.d)
		})
	}
}

func BenchmarkMatmul(b *testing.B) {
	for _, s := range shapes {
		flops := 2 * float64(s.n) * float64(s.n) * float64(s.d)
		for _, form := range []kernels.Form{kernels.NT, kernels.TN, kernels.NN} {
			b.Run(s.String()+"-"+form.String(), func(b *testing.B) {
				ar, ac, br, bc := s.n, s.d, s.n, s.d
				ta, tb := blas.NoTrans, blas.Trans
				switch form {
				case kernels.TN:
					ar, ac, br, bc, ta, tb = s.d, s.n, s.d, s.n, blas.Trans, blas.NoTrans
				case kernels.NN:
					br, bc, tb = s.d, s.n, blas.NoTrans
				default:
				}
				x, xd := random(b, ar, ac)
				y, yd := random(b, br, bc)
				dst, dd := random(b, s.n, s.n)
				each(b, func(b *testing.B, be kernels.Backend) {
					rate(b, flops, func() error {
						return be.Matmul(context.Background(), []kernels.Matrix{dst}, []kernels.Matrix{x}, []kernels.Matrix{y}, form, 1, 0, kernels.Options{})
					})
				})
				out := make([]float32, s.n*s.n)
				b.Run("f32/gonum/gemm", func(b *testing.B) {
					rate(b, flops, func() error {
						blas32.Gemm(ta, tb, 1, general(xd, ar, ac), general(yd, br, bc), 0, general(out, s.n, s.n))
						return nil
					})
					agree(b, dd, out, s.d)
				})
			})
		}
	}
}
