package cpu

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

const exactBits = 2400 // squares and products of any float64, and sums of them

func exactly(v float64) *big.Float { return new(big.Float).SetPrec(exactBits).SetFloat64(v) }

func exactDot(a, b []float64) *big.Float {
	total := new(big.Float).SetPrec(exactBits)
	for i, v := range a {
		total.Add(total, new(big.Float).SetPrec(exactBits).Mul(exactly(v), exactly(b[i])))
	}
	return total
}

// exactDistance returns 1 − cos.
func exactDistance(a, b []float64) float64 {
	root := new(big.Float).SetPrec(exactBits).Mul(exactDot(a, a), exactDot(b, b))
	root.Sqrt(root)
	cos := new(big.Float).SetPrec(exactBits).Quo(exactDot(a, b), root)
	d, _ := cos.Sub(exactly(1), cos).Float64()
	return d
}

// rotate1 compares two tensors.
func rotate1(t *testing.T, b *Backend, w0, wt []float64) (kernels.RotationValue, error) {
	t.Helper()
	dst := make([]kernels.RotationValue, 1)
	m0, mt := dense(t, w0, 1, len(w0)), dense(t, wt, 1, len(wt))
	err := b.Rotation(context.Background(), dst, []kernels.Matrix{m0}, []kernels.Matrix{mt}, kernels.Options{})
	return dst[0], err
}

// TestRotationRatios checks the distance of tensors whose norms are far apart.
func TestRotationRatios(t *testing.T) {
	b := open(t, Options{})
	for _, ratio := range []float64{1, 1.9, 2.1, 3, 1e2, 1e4, 1e5, 1e7, 1e12, 1e-3, 1e-7, 1e140} {
		for seed := range uint64(4) {
			r := rand.New(rand.NewPCG(seed, 9))
			w0, wt := make([]float64, 3000), make([]float64, 3000)
			for i := range w0 {
				w0[i] = r.NormFloat64()
				wt[i] = ratio * (w0[i] + 1e-3*r.NormFloat64())
			}
			got, err := rotate1(t, b, w0, wt)
			want := exactDistance(w0, wt)
			if off := math.Abs(got.Distance - want); err != nil || !(off <= 1e-13+1e-11*want) {
				t.Errorf("ratio %g, seed %d: distance %v, want %v: off by %v (%v)", ratio, seed, got.Distance, want, off, err)
			}
		}
	}
}

// TestRotationRange checks tensors whose squares leave float64's range.
func TestRotationRange(t *testing.T) {
	b := open(t, Options{})
	w, v, spike := make([]float64, 50), make([]float64, 50), make([]float64, 50)
	for i := range w {
		w[i], v[i] = float64(1+i), float64(100-i*i%7)
	}
	spike[3] = 1
	want, norm := exactDistance(w, v), math.Sqrt(42925)
	for _, scale := range []float64{1, 1e-150, 1e-165, 1e-170, 1e-306, 1e130, 1e160, 1e300} {
		scaled := func(v []float64, f float64) []float64 {
			out := slices.Clone(v)
			scaleVector(out, f)
			return out
		}
		a := scaled(w, scale)
		for _, c := range []struct {
			name         string
			wt           []float64
			want, within float64
		}{
			{"equal", a, 0, 0},
			{"opposite", scaled(a, -1), 2, 0},
			{"another", scaled(v, scale), want, 1e-14},
			{"another of usual size", v, want, 1e-14},
			{"one element", spike, 1 - 4/norm, 1e-14},
		} {
			got, err := rotate1(t, b, a, c.wt)
			if err != nil || !(math.Abs(got.Distance-c.want) <= c.within) || !(math.Abs(got.Norm0-norm*scale) <= 1e-15*norm*scale*4) {
				t.Errorf("scale %g, %s: %+v, %v; want a distance of %v and a norm of %v", scale, c.name, got, err, c.want, norm*scale)
			}
		}
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		if got, err := rotate1(t, b, []float64{1, bad}, []float64{1, 2}); err != nil || !math.IsNaN(got.Distance) {
			t.Errorf("%v: %+v, %v", bad, got, err)
		}
	}
	if got, err := rotate1(t, b, []float64{0, 0}, []float64{1e-200, 2}); !errors.Is(err, kernels.ErrDegenerate) || !math.IsNaN(got.Distance) || got.Norm0 != 0 || got.NormT != 2 {
		t.Errorf("a zero tensor: %+v, %v", got, err)
	}
}

// TestSVDRange checks that a power of two changes singular values alone, also
// where squares leave float64's range.
func TestSVDRange(t *testing.T) {
	b := open(t, Options{})
	for _, p := range []struct{ m, n, r, oversample int }{{2, 2, 2, 0}, {9, 5, 5, 0}, {5, 9, 3, 9}, {40, 30, 3, 4}, {30, 40, 2, 5}} {
		r := rand.New(rand.NewPCG(3, uint64(p.m)))
		w := make([]float64, p.m*p.n)
		for i := range w {
			w[i] = r.NormFloat64()
		}
		run := func(exponent int) (u, s, v []float64) {
			x := slices.Clone(w)
			for i := range x {
				x[i] = math.Ldexp(x[i], exponent)
			}
			u, s, v = make([]float64, p.m*p.r), make([]float64, p.r), make([]float64, p.n*p.r)
			err := b.SVD(context.Background(), []kernels.Matrix{dense(t, u, p.m, p.r)}, []kernels.Matrix{dense(t, s, 1, p.r)}, []kernels.Matrix{dense(t, v, p.n, p.r)},
				[]kernels.Matrix{dense(t, x, p.m, p.n)}, kernels.SVDParams{Oversample: p.oversample, Iterations: 3, Seed: 4}, kernels.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return u, s, v
		}
		u0, s0, v0 := run(0)
		for _, e := range []int{-960, -560, -401, -201, -198, 198, 201, 401, 530, 1010} {
			u, s, v := run(e)
			for i := range s {
				s[i] = math.Ldexp(s[i], -e)
			}
			if !slices.Equal(u, u0) || !slices.Equal(s, s0) || !slices.Equal(v, v0) {
				t.Errorf("%+v times 2^%d: s = %v·2^%d, want %v; u equal: %v", p, e, s, e, s0, slices.Equal(u, u0))
			}
		}
	}
}

// TestCenterOutlier checks columns whose first element, or another, is far away
// from the rest: an attention sink.
func TestCenterOutlier(t *testing.T) {
	b := open(t, Options{})
	const n = 10_000
	bounds := kernels.BoundsOf(kernels.OpCenter, kernels.Problem{Terms: n, Rows: n, Compute: kernels.Float64, Out: kernels.Float64})
	for _, at := range []int{0, 1, n / 2, n - 1} {
		for _, size := range []float64{3e5, -1e15} {
			r := rand.New(rand.NewPCG(1, 2))
			x := make([]float64, n)
			total, magnitude := new(big.Float).SetPrec(exactBits), 0.0
			for i := range x {
				if x[i] = r.NormFloat64(); i == at {
					x[i] = size / 3
				}
				total.Add(total, exactly(x[i]))
				magnitude += math.Abs(x[i]) / n
			}
			mean := total.Quo(total, exactly(n))
			dst, st := make([]float64, n), []kernels.RowStats{{Mean: make([]float64, 1)}}
			if err := b.Center(context.Background(), []kernels.Matrix{dense(t, dst, n, 1)}, []kernels.Matrix{dense(t, x, n, 1)}, st, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			if want, _ := mean.Float64(); st[0].Mean[0] != want {
				t.Errorf("%g in row %d: mean %v, want %v, rounded once", size, at, st[0].Mean[0], want)
			}
			for i, v := range x {
				want, _ := new(big.Float).Sub(exactly(v), mean).Float64()
				if off := math.Abs(dst[i] - want); !(off <= bounds.Typical.Limit(want, math.Abs(v)+magnitude)) {
					t.Fatalf("%g in row %d: row %d is off by %v, allowed %v", size, at, i, off, bounds.Typical.Limit(want, math.Abs(v)+magnitude))
				}
			}
		}
	}
}

// TestConstantColumns checks that they become exactly zero, whatever their size.
func TestConstantColumns(t *testing.T) {
	b := open(t, Options{})
	for _, c := range []float64{0.1, 1e308, -math.MaxFloat64, 5e-324, 1. / 3} {
		for _, n := range []int{1, 2, 77, 1000} {
			x := make([]float64, 2*n)
			fill(x, c)
			dst := make([]float64, 2*n)
			if err := b.Center(context.Background(), []kernels.Matrix{dense(t, dst, n, 2)}, []kernels.Matrix{dense(t, x, n, 2)}, nil, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(dst, func(v float64) bool { return v != 0 }); i >= 0 {
				t.Errorf("%d rows of %v: %v", n, c, dst[i])
			}
			if m := meanOf(x); m != c {
				t.Errorf("mean of %d times %v: %v", 2*n, c, m)
			}
		}
	}
}

// TestLayerNormOutlier checks a row whose first element is far away.
func TestLayerNormOutlier(t *testing.T) {
	b := open(t, Options{})
	const n, epsilon = 4096, 1e-5
	for _, at := range []int{0, n - 1} {
		r := rand.New(rand.NewPCG(1, 2))
		x := make([]float64, n)
		total, magnitude := new(big.Float).SetPrec(exactBits), 0.0
		for i := range x {
			if x[i] = r.NormFloat64(); i == at {
				x[i] = 25000. / 3
			}
			total.Add(total, exactly(x[i]))
			magnitude += math.Abs(x[i]) / n
		}
		mean := total.Quo(total, exactly(n))
		square := new(big.Float).SetPrec(exactBits)
		for _, v := range x {
			d := new(big.Float).Sub(exactly(v), mean)
			square.Add(square, d.Mul(d, d))
		}
		square.Add(square.Quo(square, exactly(n)), exactly(epsilon))
		root := square.Sqrt(square)
		deviation, _ := root.Float64()
		dst := make([]float64, n)
		if err := b.Norm(context.Background(), dense(t, dst, 1, n), dense(t, x, 1, n), kernels.NormParams{Kind: kernels.LayerNorm, Epsilon: epsilon}, 1, 0, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		bounds := kernels.BoundsOf(kernels.OpNorm, kernels.Problem{Terms: n, Compute: kernels.Float64, Out: kernels.Float64})
		for i, v := range x {
			d := new(big.Float).Sub(exactly(v), mean)
			want, _ := d.Quo(d, root).Float64()
			if off := math.Abs(dst[i] - want); !(off <= bounds.Typical.Limit(want, (math.Abs(v)+magnitude)/deviation)) {
				t.Fatalf("outlier at %d: element %d is off by %v, allowed %v", at, i, off, bounds.Typical.Limit(want, (math.Abs(v)+magnitude)/deviation))
			}
		}
	}
}

// TestVarianceRange checks σ² that leaves float64's range by the data.
func TestVarianceRange(t *testing.T) {
	b := open(t, Options{})
	for _, c := range []struct{ scale, fraction float64 }{{1e-120, 1e-100}, {1e120, 1e100}} {
		x := []float64{1, 2, 5, 11}
		scaleVector(x, c.scale)
		dst, used := make([]float64, 16), make([]float64, 1)
		err := b.RBF(context.Background(), []kernels.Matrix{dense(t, dst, 4, 4)}, []kernels.Matrix{dense(t, x, 4, 1)}, kernels.Bandwidth{Fraction: c.fraction}, used, kernels.Options{})
		if !errors.Is(err, kernels.ErrDegenerate) || !math.IsNaN(dst[1]) {
			t.Errorf("%+v: σ² %v, %v, %v", c, used, dst[:4], err)
		}
	}
}

// TestOrderOfLayers checks that a pair has the same bits whichever layer comes
// first, and wherever in a batch the two are.
func TestOrderOfLayers(t *testing.T) {
	b := open(t, Options{})
	for _, p := range []struct{ rows, d, q int }{{400, 64, 100}, {300, 5, 7}, {500, 200, 120}, {300, 130, 130}, {50, 300, 200}, {400, 96, 250}} {
		r := rand.New(rand.NewPCG(1, 2))
		var all []kernels.Matrix
		for _, cols := range []int{p.d, p.q, p.d, 11} {
			x := make([]float64, p.rows*cols)
			for i := range x {
				x[i] = r.NormFloat64()
			}
			all = append(all, dense(t, x, p.rows, cols))
		}
		for _, e := range []kernels.Estimator{kernels.Biased, kernels.Unbiased} {
			what := fmt.Sprintf("%+v, estimator %d", p, e)
			pair := make([]kernels.HSICValue, 2)
			if err := b.HSIC(context.Background(), pair, []kernels.Matrix{all[0], all[1]}, []kernels.Matrix{all[1], all[0]}, e, kernels.Options{}); err != nil {
				t.Fatal(err)
			}
			if pair[0] != (kernels.HSICValue{XY: pair[1].XY, XX: pair[1].YY, YY: pair[1].XX}) {
				t.Errorf("%s: HSIC(x, y) %+v, HSIC(y, x) %+v", what, pair[0], pair[1])
			}
			for _, kind := range []kernels.KernelKind{kernels.Linear, kernels.Gaussian} {
				table := func(order []int) []float64 {
					var x []kernels.Matrix
					for _, i := range order {
						x = append(x, all[i])
					}
					dst := kernels.HSICTable{XY: make([]float64, len(x)*len(x))}
					if err := b.HSICMatrix(context.Background(), dst, x, nil, kernels.Kernel{Kind: kind}, e, kernels.Options{}); err != nil {
						t.Fatal(err)
					}
					return dst.XY
				}
				want := table([]int{0, 1, 2, 3})
				for _, order := range [][]int{{1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1}} {
					got := table(order)
					for i, a := range order {
						for j, c := range order {
							if got[i*4+j] != want[a*4+c] {
								t.Errorf("%s, kernel %d, order %v: layers %d and %d have %v, else %v", what, kind, order, a, c, got[i*4+j], want[a*4+c])
							}
						}
					}
				}
			}
		}
	}
}

// TestEquallyFarRows checks that the unbiased estimator gives 0, and not rounding
// errors of either sign, for rows that are all equally far apart.
func TestEquallyFarRows(t *testing.T) {
	b := open(t, Options{})
	for _, n := range []int{4, 7, 50, 51, 300, 700} {
		x := make([]float64, n*n)
		for i := range n {
			x[i*n+i] = 1
		}
		dst := kernels.HSICTable{XY: make([]float64, 1)} // alone, the layer takes the feature form
		if err := b.HSICMatrix(context.Background(), dst, []kernels.Matrix{dense(t, x, n, n)}, nil, kernels.Kernel{}, kernels.Unbiased, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		if dst.XY[0] != 0 {
			t.Errorf("%d rows: %v", n, dst.XY[0])
		}
		x[1] = 0.01 // no longer
		if err := b.HSICMatrix(context.Background(), dst, []kernels.Matrix{dense(t, x, n, n)}, nil, kernels.Kernel{}, kernels.Unbiased, kernels.Options{}); err != nil {
			t.Fatal(err)
		}
		if !(dst.XY[0] > 0) {
			t.Errorf("%d rows, one of them apart: %v", n, dst.XY[0])
		}
	}
}
