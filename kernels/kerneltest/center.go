package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// columnMean returns the mean of a column and of its magnitudes.
func columnMean(column []float64) (mean dd, magnitude float64) {
	for _, v := range column {
		mean = mean.plus(exact(v))
		magnitude += math.Abs(v)
	}
	n := float64(len(column))
	return mean.over(exact(n)), magnitude / n
}

func testCenter(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			s.center(t, kernels.Float32, kernels.Float32, p[0], p[1], layouts[i%len(layouts)], i%2 == 0, i%5 == 0, gaussian(r))
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for i, in := range dtypes {
			for k, out := range dtypes {
				s.center(t, in, out, 50, 130, layouts[(i+k)%len(layouts)], true, in == out, positive(r))
			}
		}
	})
	t.Run("offset", func(t *testing.T) { // a thousand standard deviations
		r := s.rng(t)
		far := func() float64 { return 1000 + r.NormFloat64() }
		s.center(t, kernels.Float32, kernels.Float32, 333, 70, layouts[1], true, false, far)
		s.center(t, kernels.Float64, kernels.Float64, 333, 70, layouts[1], true, false, far)
	})
	t.Run("outlier", func(t *testing.T) { // the attention sink: one row a hundred thousand times the others
		s.weak(t, "Center/outlier")
		r := s.rng(t)
		const n = 10007
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64} {
			for _, at := range []int{0, 1, n / 2, n - 1} {
				i := 0
				s.center(t, dt, dt, n, 2, layouts[1], true, false, func() float64 {
					if i++; (i-1)/2 == at {
						return 1e6 / 3
					}
					return r.NormFloat64()
				})
			}
		}
	})
	t.Run("constant", func(t *testing.T) {
		for _, dt := range dtypes {
			x := newGuarded(t, dt, 77, 3, 5, 1).fill(func() float64 { return 0.1 })
			dst := newGuarded(t, dt, 77, 3, 4, 2)
			if !s.do(t, s.b.Center(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, nil, kernels.Options{}), compute(dt)) {
				continue
			}
			for i, v := range dst.floats() {
				if v != 0 {
					t.Fatalf("%s: a constant column is not exactly zero: element %d is %v", dt, i, v)
				}
			}
		}
	})
}

func (s *suite) center(t *testing.T, in, out kernels.DType, n, d int, l layout, withStats, inPlace bool, next func() float64) {
	t.Helper()
	x := random(t, in, n, d, l, next)
	cols := colsOf(x)
	before := x.floats()
	dst := x
	if !inPlace {
		dst = newGuarded(t, out, n, d, d+l.pad+1, l.offset)
	}
	var stats []kernels.RowStats
	if withStats {
		stats = []kernels.RowStats{{Mean: make([]float64, d), SquaredNorm: make([]float64, n), ColumnSquares: make([]float64, d)}}
		fillWith(stats[0].Mean, math.NaN())
		fillWith(stats[0].SquaredNorm, math.NaN())
		fillWith(stats[0].ColumnSquares, math.NaN())
	}
	if !s.do(t, s.b.Center(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, stats, kernels.Options{}), compute(in)) {
		return
	}
	what := fmt.Sprintf("Center %s->%s %dx%d %s in place %v", in, out, n, d, l, inPlace)
	j := s.judge(t, what, kernels.OpCenter, kernels.Problem{Terms: n, Rows: n, Compute: compute(in), Out: out})
	mean, magnitude := make([]dd, d), make([]float64, d)
	for k := range d {
		mean[k], magnitude[k] = columnMean(cols[k])
	}
	j.matrix(dst, func(i, k int) reference {
		v := before[i*d+k]
		return reference{exact(v).minus(mean[k]), math.Abs(v) + magnitude[k]}
	})
	if n > 1 && d > 0 {
		j.done()
	}
	if withStats {
		s.centerStats(t, what, stats[0], dst, mean, magnitude)
	}
}

// centerStats checks norms and squares against dst as stored.
func (s *suite) centerStats(t *testing.T, what string, st kernels.RowStats, dst *guarded, mean []dd, magnitude []float64) {
	t.Helper()
	n := dst.m.Rows
	for k := range mean {
		if n == 0 {
			continue
		}
		if err := math.Abs((st.Mean[k] - mean[k].hi) - mean[k].lo); !(err <= float64(n+4)*0x1p-53*magnitude[k]) {
			t.Fatalf("%s: mean %d is %.17g, want %.17g, seed %d", what, k, st.Mean[k], mean[k].hi, s.seed)
		}
	}
	compare := func(name string, got float64, values []float64, i int) {
		want, gauge := dot(kernels.Float64, values, values)
		if !(math.Abs(got-want.hi) <= 24*0x1p-53*gauge) {
			t.Fatalf("%s: %s %d is %.17g, want %.17g, seed %d", what, name, i, got, want.hi, s.seed)
		}
	}
	for i, row := range rowsOf(dst) {
		compare("squared norm", st.SquaredNorm[i], row, i)
	}
	for k, col := range colsOf(dst) {
		compare("column squares", st.ColumnSquares[k], col, k)
	}
}

func fillWith(s []float64, v float64) {
	for i := range s {
		s[i] = v
	}
}
