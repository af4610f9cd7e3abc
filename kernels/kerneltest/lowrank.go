package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testLowRank(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			rank := []int{1, 0, 4, 7, 16, 33}[i%6]
			s.lowRank(t, [3]kernels.DType{}, p[0], p[1], rank, layouts[i%len(layouts)], 0.5, gaussian(r))
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for i, w := range dtypes {
			for k, b := range dtypes {
				for l, a := range dtypes {
					s.lowRank(t, [3]kernels.DType{w, b, a}, 40, 101, 8, layouts[(i+k+l)%len(layouts)], -1.25, positive(r))
				}
			}
		}
	})
	t.Run("long", func(t *testing.T) {
		s.lowRank(t, [3]kernels.DType{}, 100, 97, 700, layouts[1], 2, gaussian(s.rng(t)))
	})
	t.Run("untouched", func(t *testing.T) { s.lowRankUntouched(t) })
	t.Run("integers", func(t *testing.T) {
		r := s.rng(t)
		s.lowRankIntegers(t, 20, integers(r, 256))
		s.lowRankIntegers(t, 255, integers(r, 256))
		s.lowRankIntegers(t, 700, integers(r, 8))
	})
}

func (s *suite) lowRankIntegers(t *testing.T, rank int, next func() float64) {
	t.Helper()
	for precision := range kernels.Strict + 1 {
		w, b, a := random(t, kernels.Float32, 130, 99, layouts[2], next), random(t, kernels.BFloat16, 130, rank, layouts[1], next), random(t, kernels.Float16, rank, 99, layouts[3], next)
		old := w.floats()
		s.must(t, s.b.LowRank(background(), ms(w.m), ms(b.m), ms(a.m), []float32{-1}, kernels.Options{Precision: precision}), kernels.Float32)
		p, q := rowsOf(b), colsOf(a)
		for i := range p {
			for k := range q {
				sum, _ := dot(kernels.Float32, p[i], q[k])
				if want := old[i*99+k] - sum.hi; w.at(i, k) != want {
					t.Fatalf("LowRank rank %d precision %d, first bad index (%d, %d): %v, want exactly %v, seed %d", rank, precision, i, k, w.at(i, k), want, s.seed)
				}
			}
		}
	}
}

func (s *suite) lowRank(t *testing.T, types [3]kernels.DType, out, in, rank int, l layout, scale float32, next func() float64) {
	t.Helper()
	w := random(t, types[0], out, in, l, next)
	b, a := random(t, types[1], out, rank, l, next), random(t, types[2], rank, in, layouts[0], next)
	old := w.floats()
	c := computes(w, b, a)
	if !s.do(t, s.b.LowRank(background(), []kernels.Matrix{w.m}, []kernels.Matrix{b.m}, []kernels.Matrix{a.m}, []float32{scale}, kernels.Options{}), c) {
		return
	}
	what := fmt.Sprintf("LowRank %v %dx%d rank %d", types, out, in, rank)
	j := s.judge(t, what, kernels.OpLowRank, kernels.Problem{Terms: rank, Compute: c, Out: types[0]})
	p, q := rowsOf(b), colsOf(a)
	j.matrix(w, func(i, k int) reference {
		sum, gauge := dot(c, p[i], q[k])
		return combine(float64(scale), 1, sum, gauge, old[i*in+k])
	})
	j.done()
}

// lowRankUntouched checks that nothing changes where the update is zero: the
// sign of a zero, the payload of a NaN.
func (s *suite) lowRankUntouched(t *testing.T) {
	r := s.rng(t)
	for _, dt := range dtypes {
		w := random(t, dt, 20, 30, layouts[1], gaussian(r))
		w.set(1, 2, math.Copysign(0, -1))
		w.setBits(w.index(3, 4), w.sentinel())
		a := random(t, dt, 5, 30, layouts[2], gaussian(r))
		zero := newGuarded(t, dt, 20, 5, 5, 0).fill(func() float64 { return 0 })
		unread := newGuarded(t, dt, 20, 5, 5, 0)
		snap := w.snapshot()
		for _, c := range []struct {
			b     *guarded
			scale float32
		}{{zero, 1.5}, {unread, 0}} {
			if !s.do(t, s.b.LowRank(background(), []kernels.Matrix{w.m}, []kernels.Matrix{c.b.m}, []kernels.Matrix{a.m}, []float32{c.scale}, kernels.Options{}), compute(dt)) {
				continue
			}
			w.unchanged(t, fmt.Sprintf("%s w with a zero update, scale %v", dt, c.scale), snap)
		}
	}
}
