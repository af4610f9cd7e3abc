package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// distances holds the squared distances of the rows of a matrix, the lower
// triangle row by row, and the squared norms of the centred rows.
type distances struct {
	n     int
	d     []dd
	norms []float64
}

func (d distances) at(i, j int) dd {
	i, j = max(i, j), min(i, j)
	return d.d[i*(i+1)/2+j]
}

// largest returns the largest squared norm.
func (d distances) largest() float64 { return slices.Max(append([]float64{0}, d.norms...)) }

func distancesOf(g *guarded) distances {
	raw := rowsOf(g)
	out := distances{n: len(raw), norms: make([]float64, len(raw))}
	for i, row := range centeredRows(g) {
		for _, v := range row {
			out.norms[i] += v.hi * v.hi
		}
	}
	for i := range raw {
		for j := range i + 1 {
			var sum dd
			if g.m.DType == kernels.Float64 {
				for k, v := range raw[i] {
					d := exact(v).minus(exact(raw[j][k]))
					sum = sum.plus(d.times(d))
				}
			} else {
				sum = squaredDistance(raw[i], raw[j])
			}
			out.d = append(out.d, sum)
		}
	}
	return out
}

// squaredDistance serves float32 and narrower values, whose differences have one
// rounding in float64 and whose squares another; the sum has none.
func squaredDistance(a, b []float64) dd {
	var sum compensated
	for k, v := range a {
		d := v - b[k]
		sum.add(d * d)
	}
	return sum.dd()
}

// median returns the median of all entries, numpy's way, over evenly spaced rows
// if sample is positive.
func (d distances) median(sample int) float64 {
	rows := make([]int, d.n)
	for i := range rows {
		rows[i] = i
	}
	if sample > 0 && sample < d.n {
		rows = rows[:sample]
		for i := range rows {
			rows[i] = i * d.n / sample
		}
	}
	var all []float64
	for _, i := range rows {
		for _, j := range rows {
			all = append(all, d.at(i, j).hi)
		}
	}
	slices.Sort(all)
	n := len(all)
	if n == 0 {
		return math.NaN()
	}
	return (all[(n-1)/2] + all[n/2]) / 2
}

// variance returns σ² for the matrix of that index.
func (d distances) variance(bw kernels.Bandwidth, index int) float64 {
	if bw.Variance != nil {
		return bw.Variance[index]
	}
	fraction := bw.Fraction
	if fraction == 0 {
		fraction = 1
	}
	return fraction * fraction * d.median(bw.Sample)
}

func testRBF(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(s.costly()) {
			x := random(t, kernels.Float32, p[0], p[1], layouts[i%len(layouts)], gaussian(r))
			bw := []kernels.Bandwidth{{}, {Fraction: 0.5}, {Variance: []float64{float64(p[1]) + 1}}}[i%3]
			s.rbf(t, x, distancesOf(x), kernels.Float32, bw)
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for i, shape := range [][2]int{{0, 3}, {1, 3}, {2, 1}, {3, 2}, {9, 200}, {31, 8}, {64, 33}, {130, 65}} {
			for _, dt := range dtypes {
				x := random(t, dt, shape[0], shape[1], layouts[i%len(layouts)], gaussian(r))
				d := distancesOf(x)
				for _, out := range outputs(compute(dt)) {
					s.rbf(t, x, d, out, kernels.Bandwidth{})
					s.rbf(t, x, d, out, kernels.Bandwidth{Fraction: 0.5})
					s.rbf(t, x, d, out, kernels.Bandwidth{Variance: []float64{float64(shape[1])}})
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
		s.rbfUndefined(t, "RBF of equal rows", a, err, []int{0})
		for i, v := range b.floats() {
			if math.IsNaN(v) {
				t.Fatalf("the matrix beside an undefined one: element %d is NaN", i)
			}
		}
	})
}

func (s *suite) rbf(t *testing.T, x *guarded, d distances, out kernels.DType, bw kernels.Bandwidth) {
	t.Helper()
	n := x.m.Rows
	dst := newGuarded(t, out, n, n, n+layouts[n%len(layouts)].pad, 1)
	used := []float64{math.Inf(1)}
	err := s.b.RBF(background(), ms(dst.m), ms(x.m), bw, used, kernels.Options{})
	variance := d.variance(bw, 0)
	what := fmt.Sprintf("RBF %s->%s %dx%d %+v", x.m.DType, out, n, x.m.Cols, bw)
	if variance == 0 { // a single row, rows without features
		if !s.unsupported(t, err, compute(x.m.DType)) {
			s.rbfUndefined(t, what, dst, err, []int{0})
		}
		return
	}
	if !s.do(t, err, compute(x.m.DType)) {
		return
	}
	slope := 0.0 // how far an error of σ² moves the result
	if bw.Variance == nil {
		slope = 2 * d.largest() / variance
	}
	j := s.judge(t, what, kernels.OpRBF, kernels.Problem{Terms: x.m.Cols, Rows: n, Compute: compute(x.m.DType), Out: out})
	limit := j.bounds.Bound.Gauge * (1 + 2*d.largest()/variance) * variance
	if bw.Variance != nil {
		limit = 0
	}
	if !(math.Abs(used[0]-variance) <= limit) && !same(used[0], variance) {
		t.Fatalf("%s: σ² %v, want %v, seed %d", what, used[0], variance, s.seed)
	}
	dst.intact(t, what)
	for i := range n {
		for k := range i + 1 {
			v := d.at(i, k)
			e := v.over(exact(-2 * variance)).exp()
			j.check(dst.at(i, k), reference{e, e.hi * (1 + (d.norms[i]+d.norms[k])/variance + v.hi/variance*slope)}, i, k)
			if dst.bits(dst.index(i, k)) != dst.bits(dst.index(k, i)) || dst.at(i, i) != 1 {
				t.Fatalf("%s: not symmetric with a unit diagonal at (%d, %d), seed %d", what, i, k, s.seed)
			}
		}
	}
	j.done()
}

// rbfUndefined checks the answer to a median of zero.
func (s *suite) rbfUndefined(t *testing.T, what string, dst *guarded, err error, indices []int) {
	t.Helper()
	var d *kernels.DegenerateError
	if !errors.As(err, &d) || !slices.Equal(d.Indices, indices) {
		t.Fatalf("%s: got %v, want matrices %v undefined, seed %d", what, err, indices, s.seed)
	}
	dst.intact(t, what)
	for i, v := range dst.floats() {
		if !math.IsNaN(v) {
			t.Fatalf("%s: first bad index %d: %v, want NaN, seed %d", what, i, v, s.seed)
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
			if want := distancesOf(x).median(sample); !(math.Abs(used[0]-want) <= 1e-12*want) {
				t.Errorf("n %d, sample %d: σ² %v, want %v, seed %d", n, sample, used[0], want, s.seed)
			}
		}
	}
}
