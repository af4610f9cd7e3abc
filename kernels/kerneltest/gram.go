package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
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
			s.gram(t, r, kernels.Float32, kernels.Float32, p[0], p[1], l, kernels.Storage(i%2), 1, 0, gaussian(r))
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, dt := range dtypes {
			for _, out := range outputs(compute(dt)) {
				for i, p := range [][2]int{{1, 1}, {9, 17}, {33, 500}, {129, 63}, {200, 300}} {
					for _, storage := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
						s.gram(t, r, dt, out, p[0], p[1], layouts[i%len(layouts)], storage, 1, 0, positive(r))
						s.gram(t, r, dt, out, p[0], p[1], layouts[(i+1)%len(layouts)], storage, 0.7, 1.3, gaussian(r))
					}
				}
			}
		}
	})
	t.Run("scaling", func(t *testing.T) {
		r := s.rng(t)
		for _, ab := range scalings {
			for _, storage := range []kernels.Storage{kernels.Full, kernels.PackedLower} {
				s.gram(t, r, kernels.Float32, kernels.Float32, 130, 40, layouts[2], storage, ab[0], ab[1], gaussian(r))
			}
		}
	})
	t.Run("integers", func(t *testing.T) { s.gramIntegers(t) })
	t.Run("ragged", func(t *testing.T) { s.gramRagged(t) })
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

func (s *suite) gram(t *testing.T, r *rand.Rand, dt, out kernels.DType, n, d int, l layout, storage kernels.Storage, alpha, beta float64, next func() float64) {
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
				t.Fatalf("%s: not symmetric at (%d, %d): %v, %v", what, i, k, dst.at(i, k), dst.at(k, i))
			}
		}
	}
	if n > 0 && d > 0 && (alpha != 0 || beta != 0) {
		j.done()
	}
	_ = r
}

// gramIntegers checks that integer data give exact sums.
func (s *suite) gramIntegers(t *testing.T) {
	r := s.rng(t)
	for _, dt := range dtypes {
		for _, p := range [][2]int{{7, 9}, {65, 500}, {130, 1000}} {
			x := random(t, dt, p[0], p[1], layouts[1], integers(r))
			out := outputs(compute(dt))[0]
			dst := newGramDst(t, out, p[0], layouts[1], kernels.Full, 1, integers(r))
			old := dst.floats()
			if !s.do(t, s.b.Gram(background(), []kernels.Matrix{dst.m}, []kernels.Matrix{x.m}, 1, 1, kernels.Full, kernels.Options{}), compute(dt)) {
				continue
			}
			rows := rowsOf(x)
			for i := range rows {
				for k := range i + 1 {
					sum, _ := dot(kernels.Float32, rows[i], rows[k])
					if got := dst.at(i, k); got != sum.hi+old[i*p[0]+k] {
						t.Fatalf("%s %v at (%d, %d): %v, want exactly %v, seed %d", dt, p, i, k, got, sum.hi+old[i*p[0]+k], s.seed)
					}
				}
			}
		}
	}
}

// gramRagged compares a batch of different shapes with its items one by one.
func (s *suite) gramRagged(t *testing.T) {
	r := s.rng(t)
	var xs, together, alone []*guarded
	for i, p := range [][2]int{{5, 3}, {0, 4}, {130, 7}, {97, 200}, {1, 0}, {97, 200}, {97, 200}} {
		l := layouts[i%len(layouts)]
		xs = append(xs, random(t, kernels.Float32, p[0], p[1], l, gaussian(r)))
		together = append(together, newGramDst(t, kernels.Float32, p[0], l, kernels.Full, 0, nil))
		alone = append(alone, newGramDst(t, kernels.Float32, p[0], l, kernels.Full, 0, nil))
	}
	s.must(t, s.b.Gram(background(), matrices(together), matrices(xs), 1, 0, kernels.Full, kernels.Options{}), kernels.Float32)
	for i := range xs {
		s.must(t, s.b.Gram(background(), matrices(alone[i:i+1]), matrices(xs[i:i+1]), 1, 0, kernels.Full, kernels.Options{}), kernels.Float32)
		together[i].unchanged(t, fmt.Sprintf("item %d of a batch against the item alone", i), alone[i].snapshot())
	}
}
