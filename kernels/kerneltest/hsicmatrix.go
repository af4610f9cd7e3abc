package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testHSICMatrix(s *suite, t *testing.T) {
	type problem struct {
		n      int
		widths []int
	}
	problems := []problem{{2, []int{1, 3}}, {5, []int{3, 40, 7}}, {33, []int{1, 200}}, {100, []int{6, 6, 6, 2}}, {129, []int{300}}, {beyondTwoTiles, []int{3, 70}}}
	if !s.short {
		problems = append(problems, problem{beyondTiles, []int{65, 2, 521}})
	}
	for _, kind := range []kernels.KernelKind{kernels.Linear, kernels.Gaussian, kernels.Precomputed} {
		for _, e := range estimators {
			t.Run(fmt.Sprintf("kernel %d estimator %d", kind, e), func(t *testing.T) {
				r := s.rng(t)
				for _, p := range problems {
					for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
						if p.n < e.MinRows() || dt == kernels.Float64 && p.n > 200 {
							continue // undefined, or a reference that takes long
						}
						x := layerSet(t, r, dt, p.n, p.widths, kind)
						y := layerSet(t, r, dt, p.n, []int{5, 50}, kind)
						s.hsicMatrix(t, x, nil, kernels.Kernel{Kind: kind}, e)
						s.hsicMatrix(t, x, y, kernels.Kernel{Kind: kind}, e)
					}
				}
			})
		}
	}
	t.Run("bandwidth", func(t *testing.T) {
		r := s.rng(t)
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
			x := layerSet(t, r, dt, 50, []int{3, 60}, kernels.Gaussian)
			y := layerSet(t, r, dt, 50, []int{9, 1, 30}, kernels.Gaussian)
			for _, bw := range []kernels.Bandwidth{{Fraction: 0.4}, {Fraction: 3}, {Sample: 20}, {Sample: 7, Fraction: 0.7}, {Variance: []float64{2, 90, 30, 0.5, 17}}} {
				k := kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: bw}
				s.hsicMatrix(t, x, y, k, kernels.Unbiased)
				if k.Bandwidth.Variance != nil {
					k.Bandwidth.Variance = bw.Variance[:2]
				}
				s.hsicMatrix(t, x, nil, k, kernels.Biased)
			}
		}
	})
	t.Run("degenerate", func(t *testing.T) { s.hsicMatrixDegenerate(t) })
	t.Run("many layers", func(t *testing.T) {
		r := s.rng(t)
		widths := make([]int, 101) // beyond a tile of layers
		for i := range widths {
			widths[i] = 1 + i%4
		}
		s.hsicMatrix(t, layerSet(t, r, kernels.Float32, 9, widths, kernels.Linear), nil, kernels.Kernel{}, kernels.Unbiased)
	})
}

// layerSet returns feature matrices, or the lower triangles of symmetric kernels
// far from centred; what lies above them is NaN.
func layerSet(t testing.TB, r *rand.Rand, dt kernels.DType, n int, widths []int, kind kernels.KernelKind) []*guarded {
	var out []*guarded
	for i, d := range widths {
		l := layouts[i%len(layouts)]
		g := random(t, dt, n, d, l, gaussian(r))
		if kind == kernels.Precomputed {
			rows := rowsOf(g)
			g = newGuarded(t, dt, n, n, n+l.pad, l.offset)
			for i := range n {
				for j := range i + 1 {
					sum, _ := dot(kernels.Float32, rows[i], rows[j])
					g.set(i, j, sum.hi+10)
				}
			}
		}
		out = append(out, g)
	}
	return out
}

// kernelOf returns the reference kernel of layer i, and its σ².
func kernelOf(g *guarded, k kernels.Kernel, layer int) (kernelRef, float64) {
	switch k.Kind {
	case kernels.Precomputed:
		return newKernelRef(g.m.Rows).fill(func(i, j int) (dd, float64) { return exact(g.at(i, j)), math.Abs(g.at(i, j)) }), 0
	case kernels.Gaussian:
		d := distancesOf(g)
		variance := d.variance(k.Bandwidth, layer)
		return newKernelRef(g.m.Rows).fill(func(i, j int) (dd, float64) {
			v := d.at(i, j)
			return v.over(exact(-2 * variance)).exp(), 1 + v.hi/variance + (d.norms[i]+d.norms[j])/variance
		}), variance
	default:
		return linearKernel(g), 0
	}
}

func (s *suite) hsicMatrix(t *testing.T, x, y []*guarded, kernel kernels.Kernel, e kernels.Estimator) {
	t.Helper()
	other := y
	if y == nil {
		other = x
	}
	table := kernels.HSICTable{XY: make([]float64, len(x)*len(other)), XX: make([]float64, len(x))}
	if y != nil {
		table.YY = make([]float64, len(y))
	}
	if kernel.Kind == kernels.Gaussian {
		table.Variance = make([]float64, len(x)+len(y))
	}
	var my []kernels.Matrix
	if y != nil {
		my = matrices(y)
	}
	dt, n, most := x[0].m.DType, x[0].m.Rows, 0
	err := s.b.HSICMatrix(background(), table, matrices(x), my, kernel, e, kernels.Options{})
	if !s.do(t, err, compute(dt)) {
		return
	}
	refs := make(map[*guarded]estimated)
	for i, g := range append(append([]*guarded{}, x...), y...) {
		ref, variance := kernelOf(g, kernel, i)
		refs[g] = estimate(e, ref)
		most = max(most, g.m.Cols)
		if kernel.Kind == kernels.Gaussian && !(math.Abs(table.Variance[i]-variance) <= 1e-4*variance) {
			t.Fatalf("layer %d, kernel %+v: σ² %v, want %v, seed %d", i, kernel, table.Variance[i], variance, s.seed)
		}
	}
	what := fmt.Sprintf("HSICMatrix %s n %d, %d x %d layers, kernel %+v, estimator %d", dt, n, len(x), len(other), kernel, e)
	j := s.judge(t, what, kernels.OpHSICMatrix, kernels.Problem{Terms: most, Rows: n, Compute: compute(dt), Out: kernels.Float64})
	for i, p := range x {
		for k, q := range other {
			j.check(table.XY[i*len(other)+k], refs[p].with(refs[q]), i, k)
			if y == nil && table.XY[i*len(other)+k] != table.XY[k*len(other)+i] {
				t.Fatalf("%s: not symmetric at (%d, %d), seed %d", what, i, k, s.seed)
			}
		}
		j.check(table.XX[i], refs[p].with(refs[p]), i)
	}
	for k, q := range y {
		j.check(table.YY[k], refs[q].with(refs[q]), k)
	}
	j.done()
}

// hsicMatrixDegenerate checks which values an undefined layer makes NaN.
func (s *suite) hsicMatrixDegenerate(t *testing.T) {
	r := s.rng(t)
	flat := newGuarded(t, kernels.Float32, 20, 2, 2, 0).fill(func() float64 { return 3 })
	good := []*guarded{random(t, kernels.Float32, 20, 3, layouts[0], gaussian(r)), random(t, kernels.Float32, 20, 4, layouts[1], gaussian(r))}
	table := kernels.HSICTable{XY: make([]float64, 4), XX: make([]float64, 2), YY: make([]float64, 2)}
	err := s.b.HSICMatrix(background(), table, matrices([]*guarded{good[0], flat}), matrices([]*guarded{flat, good[1]}),
		kernels.Kernel{Kind: kernels.Gaussian}, kernels.Biased, kernels.Options{})
	var d *kernels.DegenerateError
	if !errors.As(err, &d) || !slices.Equal(d.Indices, []int{1, 2}) {
		t.Fatalf("got %v, want layers 1 and 2", err)
	}
	for i, undefined := range []bool{true, false, true, true} {
		if math.IsNaN(table.XY[i]) != undefined {
			t.Errorf("XY[%d] = %v", i, table.XY[i])
		}
	}
	if math.IsNaN(table.XX[0]) || !math.IsNaN(table.XX[1]) || !math.IsNaN(table.YY[0]) || math.IsNaN(table.YY[1]) {
		t.Errorf("XX %v, YY %v", table.XX, table.YY)
	}
	few := matrices([]*guarded{random(t, kernels.Float32, 3, 3, layouts[0], gaussian(r))})
	one := kernels.HSICTable{XY: make([]float64, 1)}
	err = s.b.HSICMatrix(background(), one, few, nil, kernels.Kernel{}, kernels.Unbiased, kernels.Options{})
	if !errors.Is(err, kernels.ErrDegenerate) || !math.IsNaN(one.XY[0]) {
		t.Errorf("three rows: %v, %v", one.XY, err)
	}
}
