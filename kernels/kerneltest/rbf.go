package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// distancesOf returns all squared distances of rows, and the squared norms of
// the centred rows.
func distancesOf(g *guarded) ([][]dd, []float64) {
	rows := centeredRows(g)
	out := make([][]dd, len(rows))
	norms := make([]float64, len(rows))
	raw := rowsOf(g)
	for i := range rows {
		out[i] = make([]dd, len(rows))
		for _, v := range rows[i] {
			norms[i] += v.hi * v.hi
		}
		for j := range i {
			var sum dd
			for k, v := range raw[i] {
				d := exact(v).minus(exact(raw[j][k]))
				sum = sum.plus(d.times(d))
			}
			out[i][j], out[j][i] = sum, sum
		}
	}
	return out, norms
}

// medianOf returns the median of all entries, numpy's way.
func medianOf(d [][]dd) float64 {
	var all []float64
	for _, row := range d {
		for _, v := range row {
			all = append(all, v.hi)
		}
	}
	slices.Sort(all)
	n := len(all)
	if n == 0 {
		return math.NaN()
	}
	return (all[(n-1)/2] + all[n/2]) / 2
}

func testRBF(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, shape := range [][2]int{{2, 1}, {3, 2}, {9, 500}, {31, 8}, {64, 33}, {97, 17}, {130, 65}, {200, 3}} {
			for _, dt := range dtypes {
				x := random(t, dt, shape[0], shape[1], layouts[i%len(layouts)], gaussian(r))
				for _, out := range outputs(compute(dt)) {
					s.rbf(t, x, out, kernels.Bandwidth{})
					s.rbf(t, x, out, kernels.Bandwidth{Fraction: 0.5})
					s.rbf(t, x, out, kernels.Bandwidth{Variance: []float64{float64(shape[1])}})
				}
			}
		}
	})
	t.Run("duplicates", func(t *testing.T) { s.rbfDuplicates(t) })
	t.Run("bandwidth alone", func(t *testing.T) { s.rbfBandwidth(t) })
	t.Run("degenerate", func(t *testing.T) {
		x := newGuarded(t, kernels.Float32, 10, 2, 2, 0).fill(func() float64 { return 7 })
		y := random(t, kernels.Float32, 10, 2, layouts[0], gaussian(s.rng(t)))
		a, b := newGuarded(t, kernels.Float32, 10, 10, 10, 0), newGuarded(t, kernels.Float32, 10, 10, 10, 0)
		err := s.b.RBF(background(), matrices([]*guarded{a, b}), matrices([]*guarded{x, y}), kernels.Bandwidth{}, nil, kernels.Options{})
		var d *kernels.DegenerateError
		if !errors.As(err, &d) || !slices.Equal(d.Indices, []int{0}) {
			t.Fatalf("got %v, want matrix 0", err)
		}
		for i, v := range a.floats() {
			if w := b.floats()[i]; !math.IsNaN(v) || math.IsNaN(w) {
				t.Fatalf("element %d: %v and %v", i, v, w)
			}
		}
	})
}

func (s *suite) rbf(t *testing.T, x *guarded, out kernels.DType, bw kernels.Bandwidth) {
	t.Helper()
	n := x.m.Rows
	dst := newGuarded(t, out, n, n, n+3, 1)
	used := make([]float64, 1)
	if !s.do(t, s.b.RBF(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, bw, used, kernels.Options{}), compute(x.m.DType)) {
		return
	}
	d, norms := distancesOf(x)
	fraction, variance := bw.Fraction, 0.0
	if fraction == 0 {
		fraction = 1
	}
	slope := 0.0 // how far an error of σ² moves the result
	if bw.Variance != nil {
		variance = bw.Variance[0]
	} else {
		variance = fraction * fraction * medianOf(d)
		slope = 2 * slices.Max(norms) / variance
	}
	what := fmt.Sprintf("RBF %s->%s %dx%d %+v", x.m.DType, out, n, x.m.Cols, bw)
	j := s.judge(t, what, kernels.OpRBF, kernels.Problem{Terms: x.m.Cols, Rows: n, Compute: compute(x.m.DType), Out: out})
	if limit := j.bounds.Bound.Gauge * (1 + 2*slices.Max(norms)/variance); !(math.Abs(used[0]-variance) <= limit*variance) {
		t.Fatalf("%s: σ² %v, want %v", what, used[0], variance)
	}
	j.matrix(dst, func(i, k int) reference {
		v := d[i][k].over(exact(-2 * variance)).exp()
		return reference{v, v.hi * (1 + (norms[i]+norms[k])/variance + d[i][k].hi/variance*slope)}
	})
	j.done()
	for i := range n {
		for k := range n {
			if dst.bits(dst.index(i, k)) != dst.bits(dst.index(k, i)) || dst.at(i, i) != 1 {
				t.Fatalf("%s: not symmetric with a unit diagonal at (%d, %d)", what, i, k)
			}
		}
	}
}

// rbfDuplicates checks that equal rows are at distance exactly zero, far from
// the origin too.
func (s *suite) rbfDuplicates(t *testing.T) {
	r := s.rng(t)
	const n, d = 120, 300
	x := random(t, kernels.Float32, n, d, layouts[1], func() float64 { return 50 + r.NormFloat64() })
	for k := range d {
		x.set(110, k, x.at(3, k))
		x.set(111, k, x.at(3, k))
	}
	dst := newGuarded(t, kernels.Float32, n, n, n, 0)
	s.must(t, s.b.RBF(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, kernels.Bandwidth{}, nil, kernels.Options{}), kernels.Float32)
	for _, p := range [][2]int{{110, 3}, {3, 111}, {111, 110}} {
		if v := dst.at(p[0], p[1]); v != 1 {
			t.Errorf("equal rows %v: %v", p, v)
		}
	}
}

// rbfBandwidth checks the rule without a destination: odd and even counts,
// samples, given variances.
func (s *suite) rbfBandwidth(t *testing.T) {
	r := s.rng(t)
	for _, n := range []int{2, 3, 4, 7, 50, 51} {
		x := random(t, kernels.Float64, n, 3, layouts[1], gaussian(r))
		for _, sample := range []int{0, 3, 5, n, n + 1} {
			used := make([]float64, 1)
			if !s.do(t, s.b.RBF(background(), nil, []kernels.Matrix{x.m}, kernels.Bandwidth{Sample: sample}, used, kernels.Options{}), kernels.Float64) {
				return
			}
			rows := x
			if sample > 0 && sample < n {
				rows = newGuarded(t, kernels.Float64, sample, 3, 3, 0)
				for i := range sample {
					for k := range 3 {
						rows.set(i, k, x.at(i*n/sample, k))
					}
				}
			}
			d, _ := distancesOf(rows)
			if want := medianOf(d); !(math.Abs(used[0]-want) <= 1e-12*want) {
				t.Errorf("n %d, sample %d: σ² %v, want %v", n, sample, used[0], want)
			}
		}
	}
}
