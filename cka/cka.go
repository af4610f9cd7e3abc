package cka

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

// Options say what is computed. The zero value is biased CKA with the linear
// kernel.
type Options struct {
	Estimator kernels.Estimator  // Biased, or Unbiased for debiased CKA
	Kernel    kernels.KernelKind // Linear, Gaussian, or Precomputed: the matrices are the kernels themselves
	Bandwidth kernels.Bandwidth  // of the Gaussian kernel
	Compute   kernels.Options
}

// A Result holds the comparison of l layers x with m layers y, or of l layers
// among themselves (m = l).
type Result struct {
	Rows int // examples n
	L, M int

	CKA       []float64 // l x m, row-major: XY / √(XX·YY); NaN where undefined
	XY        []float64 // l x m: HSIC(x_i, y_j)
	XX        []float64 // l: HSIC(x_i, x_i)
	YY        []float64 // m: HSIC(y_j, y_j); XX itself within one set
	Variance  []float64 // l (+ m): the σ² of the Gaussian kernel; nil for others
	Undefined []Undefined
}

// At returns CKA(x_i, y_j).
func (r *Result) At(i, j int) float64 { return r.CKA[i*r.M+j] }

// Undefined says why a layer has no CKA: every entry of its row (x) or its
// column (y) is NaN. Within one set a layer is listed once, as one of x.
type Undefined struct {
	Y      bool // the layer is one of y
	Layer  int
	Reason string
}

// Compare computes HSIC and CKA for all pairs within x (y nil) or between x and
// y. All matrices have the same number of rows. A pair that is undefined is NaN
// and no error; see [Result.Undefined].
//
// Error bound for float32 input: 1e-7 absolute for 16 rows and more, 1e-6 for
// fewer and for debiased values; for float64 input 1e-12. It holds as long as
// HSIC with itself is not near zero, and for debiased values as long as no row
// outweighs the others by far: they subtract what a row has in common with
// itself, and a row 10⁴ times as long as the others costs four digits. Errors: those of [kernels.Backend.HSICMatrix].
//
// Sources: Gretton et al. 2005 (HSIC); Kornblith et al. 2019 (CKA, RBF rule);
// Song et al. 2012, equation 5, and Nguyen et al. 2021, equation 3 (debiased).
func Compare(ctx context.Context, b kernels.Backend, x, y []kernels.Matrix, o Options) (*Result, error) {
	l, m := len(x), len(y)
	if y == nil {
		m = l
	}
	if l > 0 && m > math.MaxInt/8/l {
		return nil, fmt.Errorf("cka: Compare: %d x %d pairs: %w", l, m, kernels.ErrShape)
	}
	r := &Result{L: l, M: m, XY: make([]float64, l*m), XX: make([]float64, l)}
	layers := join(x, y)
	if len(layers) > 0 {
		r.Rows = layers[0].Rows
	}
	table := kernels.HSICTable{XY: r.XY, XX: r.XX}
	if y != nil {
		r.YY = make([]float64, m)
		table.YY = r.YY
	}
	if o.Kernel == kernels.Gaussian {
		r.Variance = make([]float64, len(layers))
		table.Variance = r.Variance
	}
	kernel := kernels.Kernel{Kind: o.Kernel, Bandwidth: o.Bandwidth}
	err := b.HSICMatrix(ctx, table, x, y, kernel, o.Estimator, o.Compute)
	if err != nil && !errors.Is(err, kernels.ErrDegenerate) {
		return nil, fmt.Errorf("cka: Compare: %w", err)
	}
	noise, err := noiseFloors(ctx, b, layers, o)
	if err != nil {
		return nil, fmt.Errorf("cka: Compare: %w", err)
	}
	r.divide(y != nil, o.Estimator, noise, func(k int, self float64) string {
		return undefinedReason(layers[k], r.variance(k), self, o)
	})
	return r, nil
}

// smallestHSIC is the least HSIC with itself that has all its digits: products of
// four features, each then about 2⁻²⁴².
const smallestHSIC = 0x1p-968

// noiseFloors returns for each layer the debiased HSIC with itself that rounding
// alone may leave where it is 0 in exact arithmetic. That is so when the kernel
// is a_i + a_j beside its diagonal: rows all equally far apart, one-hot rows
// among them. The estimate is then a sum of n² squares of rounding errors, each
// some u times the trace of the kernel matrix at most.
func noiseFloors(ctx context.Context, b kernels.Backend, layers []kernels.Matrix, o Options) ([]float64, error) {
	// Below it squares of features, which HSIC is made of, have lost digits to
	// underflow.
	floors := make([]float64, len(layers))
	for k := range floors {
		floors[k] = smallestHSIC
	}
	if o.Estimator != kernels.Unbiased || o.Kernel == kernels.Precomputed {
		return floors, nil
	}
	for k, m := range layers {
		n := float64(m.Rows)
		if n < 4 {
			continue
		}
		trace := n
		if o.Kernel == kernels.Linear {
			rows, _, err := squares(ctx, b, m, o.Compute)
			if err != nil {
				return nil, err
			}
			trace = sum(rows)
		}
		u := kernels.Float32.UnitRoundoff()
		if m.DType == kernels.Float64 || o.Kernel == kernels.Gaussian { // whose entries are near 0 or 1, to the last digit
			u = kernels.Float64.UnitRoundoff()
		}
		floors[k] = max(floors[k], 32*u*trace/n*(32*u*trace/(n-3)))
	}
	return floors, nil
}

func (r *Result) variance(k int) float64 {
	if r.Variance == nil {
		return 1
	}
	return r.Variance[k]
}

// divide fills CKA from the HSIC values, and Undefined by asking reason for each
// layer whose HSIC with itself is not finite or not above its floor; layers of y
// count after x's.
func (r *Result) divide(two bool, e kernels.Estimator, floor []float64, reason func(layer int, self float64) string) {
	if !two {
		r.YY = r.XX
	}
	root := func(self []float64, first int, y bool) []float64 {
		out := make([]float64, len(self))
		for i, v := range self {
			out[i] = math.Sqrt(v)
			if !(v > floor[first+i]) || math.IsInf(v, 1) {
				out[i] = math.NaN()
				r.Undefined = append(r.Undefined, Undefined{Y: y, Layer: i, Reason: reason(first+i, v)})
			}
		}
		return out
	}
	rx := root(r.XX, 0, false)
	ry := rx
	if two {
		ry = root(r.YY, r.L, true)
	}
	r.CKA = make([]float64, r.L*r.M)
	for i := range r.L {
		for j := range r.M {
			// The larger root first: their product could underflow, and the order
			// must not depend on which layer is x.
			v := r.XY[i*r.M+j] / max(rx[i], ry[j]) / min(rx[i], ry[j])
			if e == kernels.Biased {
				v = min(v, 1) // Cauchy-Schwarz: more is rounding; NaN stays
			}
			if !two && i == j && !math.IsNaN(v) {
				v = 1 // by definition
			}
			r.CKA[i*r.M+j] = v
		}
	}
}

func join(x, y []kernels.Matrix) []kernels.Matrix {
	return append(append(make([]kernels.Matrix, 0, len(x)+len(y)), x...), y...)
}
