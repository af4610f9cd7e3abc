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
	for _, kind := range []kernels.KernelKind{kernels.Linear, kernels.Gaussian, kernels.Precomputed} {
		for _, e := range estimators {
			t.Run(fmt.Sprintf("kernel %d estimator %d", kind, e), func(t *testing.T) {
				r := s.rng(t)
				for i, n := range []int{5, 33, 100, 129} {
					for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
						widths := [][]int{{3, 40, 7}, {1, 200}, {6, 6, 6, 2}, {300}}[i]
						x := layerSet(t, r, dt, n, widths, kind)
						y := layerSet(t, r, dt, n, []int{5, 50}, kind)
						s.hsicMatrix(t, x, nil, kind, e)
						s.hsicMatrix(t, x, y, kind, e)
					}
				}
			})
		}
	}
	t.Run("degenerate", func(t *testing.T) { s.hsicMatrixDegenerate(t) })
	t.Run("many layers", func(t *testing.T) {
		r := s.rng(t)
		widths := make([]int, 101) // beyond a tile of layers
		for i := range widths {
			widths[i] = 1 + i%4
		}
		s.hsicMatrix(t, layerSet(t, r, kernels.Float32, 9, widths, kernels.Linear), nil, kernels.Linear, kernels.Unbiased)
	})
}

// layerSet returns feature matrices, or symmetric kernels far from centred.
func layerSet(t *testing.T, r *rand.Rand, dt kernels.DType, n int, widths []int, kind kernels.KernelKind) []*guarded {
	var out []*guarded
	for i, d := range widths {
		l := layouts[i%len(layouts)]
		g := random(t, dt, n, d, l, gaussian(r))
		if kind == kernels.Precomputed {
			rows := rowsOf(g)
			g = newGuarded(t, dt, n, n, n+l.pad, l.offset)
			for i := range n {
				for j := range n {
					sum, _ := dot(kernels.Float32, rows[i], rows[j])
					g.set(i, j, sum.hi+10)
				}
			}
		}
		out = append(out, g)
	}
	return out
}

// kernelOf returns the reference kernel of a layer, and its σ².
func kernelOf(g *guarded, kind kernels.KernelKind) (kernelRef, float64) {
	switch kind {
	case kernels.Precomputed:
		r := newKernelRef(g.m.Rows)
		for i := range r.k {
			for j := range r.k {
				v := g.at(max(i, j), min(i, j))
				r.k[i][j], r.g[i][j] = exact(v), math.Abs(v)
			}
		}
		return r, 0
	case kernels.Gaussian:
		d, norms := distancesOf(g)
		variance := medianOf(d)
		r := newKernelRef(g.m.Rows)
		for i := range r.k {
			for j := range r.k {
				r.k[i][j] = d[i][j].over(exact(-2 * variance)).exp()
				r.g[i][j] = 1 + d[i][j].hi/variance + (norms[i]+norms[j])/variance
			}
		}
		return r, variance
	default:
		return linearKernel(g), 0
	}
}

func (s *suite) hsicMatrix(t *testing.T, x, y []*guarded, kind kernels.KernelKind, e kernels.Estimator) {
	t.Helper()
	other := y
	if y == nil {
		other = x
	}
	table := kernels.HSICTable{XY: make([]float64, len(x)*len(other)), XX: make([]float64, len(x))}
	if y != nil {
		table.YY = make([]float64, len(y))
	}
	if kind == kernels.Gaussian {
		table.Variance = make([]float64, len(x)+len(y))
	}
	var my []kernels.Matrix
	if y != nil {
		my = matrices(y)
	}
	dt, n, most := x[0].m.DType, x[0].m.Rows, 0
	err := s.b.HSICMatrix(background(), table, matrices(x), my, kernels.Kernel{Kind: kind}, e, kernels.Options{})
	if !s.do(t, err, compute(dt)) {
		return
	}
	refs := make(map[*guarded]kernelRef)
	for i, g := range append(append([]*guarded{}, x...), y...) {
		ref, variance := kernelOf(g, kind)
		refs[g] = ref
		most = max(most, g.m.Cols)
		if kind == kernels.Gaussian && !(math.Abs(table.Variance[i]-variance) <= 1e-4*variance) {
			t.Fatalf("layer %d: σ² %v, want %v", i, table.Variance[i], variance)
		}
	}
	what := fmt.Sprintf("HSICMatrix %s n %d, %d x %d layers, kernel %d, estimator %d", dt, n, len(x), len(other), kind, e)
	j := s.judge(t, what, kernels.OpHSICMatrix, kernels.Problem{Terms: most, Rows: n, Compute: compute(dt), Out: kernels.Float64})
	for i, p := range x {
		for k, q := range other {
			j.check(table.XY[i*len(other)+k], hsicOf(e, refs[p], refs[q]), i, k)
			if y == nil && table.XY[i*len(other)+k] != table.XY[k*len(other)+i] {
				t.Fatalf("%s: not symmetric at (%d, %d)", what, i, k)
			}
		}
		j.check(table.XX[i], hsicOf(e, refs[p], refs[p]), i)
	}
	for k, q := range y {
		j.check(table.YY[k], hsicOf(e, refs[q], refs[q]), k)
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
