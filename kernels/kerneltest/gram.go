package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// scalings are values of alpha and beta, as in the level-3 BLAS tests.
var scalings = [][2]float64{{1, 0}, {1, 1}, {0.7, 1.3}, {-1.3, 0}, {0, 1}, {0, 0}, {0, 1.3}}

// outputs are the types a result may have for a compute type.
func outputs(compute kernels.DType) []kernels.DType {
	if compute == kernels.Float64 {
		return []kernels.DType{kernels.Float64}
	}
	return []kernels.DType{kernels.Float32, kernels.Float16, kernels.BFloat16}
}

// combine returns alpha·sum + beta·old with its gauge.
func combine(alpha, beta float64, sum dd, gauge, old float64) reference {
	r := reference{}
	if alpha != 0 {
		r.want = exact(alpha).times(sum)
		r.gauge = math.Abs(alpha) * gauge
	}
	if beta != 0 {
		r.want = r.want.plus(exact(beta).times(exact(old)))
		r.gauge += math.Abs(beta * old)
	}
	return r
}

func testGram(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			l := layouts[i%len(layouts)]
			s.gram(t, kernels.Float32, kernels.Float32, p[0], p[1], l, kernels.Storage(i%2), 1, 0, gaussian(r))
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, dt := range dtypes {
			for _, out := range outputs(compute(dt)) {
				for i, p := range [][2]int{{1, 1}, {9, 17}, {33, 500}, {129, 63}, {200, 300}} {
					for _, storage := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
						s.gram(t, dt, out, p[0], p[1], layouts[i%len(layouts)], storage, 1, 0, positive(r))
						s.gram(t, dt, out, p[0], p[1], layouts[(i+1)%len(layouts)], storage, 0.7, 1.3, gaussian(r))
					}
				}
			}
		}
	})
	t.Run("scaling", func(t *testing.T) {
		r := s.rng(t)
		for _, ab := range scalings {
			for _, storage := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
				s.gram(t, kernels.Float32, kernels.Float32, 130, 40, layouts[2], storage, ab[0], ab[1], gaussian(r))
			}
		}
	})
	t.Run("integers", func(t *testing.T) { s.gramIntegers(t) })
}

// compute is the compute type of one source type.
func compute(dt kernels.DType) kernels.DType {
	if dt == kernels.Float64 {
		return kernels.Float64
	}
	return kernels.Float32
}

// newGramDst returns a destination: zeros or numbers in what is read (the lower
// triangle), NaN everywhere else.
func newGramDst(t testing.TB, dt kernels.DType, n int, l layout, storage kernels.Storage, beta float64, next func() float64) *guarded {
	rows, cols := n, n
	if storage == kernels.PackedLower {
		rows, cols = 1, n*(n+1)/2
	}
	dst := newGuarded(t, dt, rows, cols, cols+l.pad, l.offset)
	if beta == 0 {
		return dst
	}
	for i := range n {
		for j := range i + 1 {
			if storage == kernels.PackedLower {
				dst.set(0, i*(i+1)/2+j, next())
			} else {
				dst.set(i, j, next())
			}
		}
	}
	return dst
}

func (s *suite) gram(t *testing.T, dt, out kernels.DType, n, d int, l layout, storage kernels.Storage, alpha, beta float64, next func() float64) {
	t.Helper()
	x := random(t, dt, n, d, l, next)
	if alpha == 0 {
		x.fill(math.NaN) // must not be read
	}
	dst := newGramDst(t, out, n, l, storage, beta, next)
	old := dst.floats()
	err := s.b.Gram(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, alpha, beta, storage, kernels.Options{})
	if !s.do(t, err, compute(dt)) {
		return
	}
	what := fmt.Sprintf("Gram %s->%s %dx%d %s storage %d alpha %v beta %v", dt, out, n, d, l, storage, alpha, beta)
	j := s.judge(t, what, kernels.OpGram, kernels.Problem{Terms: d, Rows: n, Compute: compute(dt), Out: out})
	dst.intact(t, what)
	x.intact(t, what+": x")
	rows := rowsOf(x)
	for i := range n {
		for k := range i + 1 {
			sum, gauge := dot(compute(dt), rows[i], rows[k])
			if storage == kernels.PackedLower {
				at := i*(i+1)/2 + k
				j.check(dst.at(0, at), combine(alpha, beta, sum, gauge, old[at]), i, k)
				continue
			}
			j.check(dst.at(i, k), combine(alpha, beta, sum, gauge, old[i*n+k]), i, k)
			if dst.bits(dst.index(i, k)) != dst.bits(dst.index(k, i)) {
				t.Fatalf("%s: not symmetric, first bad index (%d, %d): %v, %v, seed %d", what, i, k, dst.at(i, k), dst.at(k, i), s.seed)
			}
		}
	}
	if n > 0 && d > 0 && (alpha != 0 || beta != 0) {
		j.done()
	}
}

// gramIntegers checks that integer data give exact sums, in every precision.
func (s *suite) gramIntegers(t *testing.T) {
	r := s.rng(t)
	for _, dt := range dtypes {
		for i, p := range [][3]int{{7, 9, 256}, {65, 255, 256}, {130, 1000, 8}} {
			for precision := range kernels.Strict + 1 {
				n, next := p[0], integers(r, p[2])
				x := random(t, dt, n, p[1], layouts[1], next)
				storage := kernels.Storage(i % 2)
				dst := newGramDst(t, outputs(compute(dt))[0], n, layouts[1], storage, 1, next)
				old := dst.floats()
				o := kernels.Options{Precision: precision}
				if !s.do(t, s.b.Gram(background(), ms(dst.m), ms(x.m), 1, 1, storage, o), compute(dt)) {
					continue
				}
				got, rows := dst.floats(), rowsOf(x)
				for i := range rows {
					for k := range i + 1 {
						at := i*n + k
						if storage == kernels.PackedLower {
							at = i*(i+1)/2 + k
						}
						sum, _ := dot(kernels.Float32, rows[i], rows[k])
						if want := sum.hi + old[at]; got[at] != want {
							t.Fatalf("Gram %s %v precision %d, first bad index (%d, %d): %v, want exactly %v, seed %d", dt, p, precision, i, k, got[at], want, s.seed)
						}
					}
				}
			}
		}
	}
}
