package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testRotation(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range pairs(sizes) {
			w0, wt := random(t, kernels.Float32, p[0], p[1], layouts[i%len(layouts)], gaussian(r)), random(t, kernels.Float32, p[0], p[1], layouts[(i+1)%len(layouts)], gaussian(r))
			s.rotation(t, w0, wt)
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for i, p := range [][2]int{{1, 1}, {7, 9}, {1, 1000}, {300, 3}, {65, 129}, {3, 40000}, {521, 200}} {
			for k, a := range dtypes {
				w0 := random(t, a, p[0], p[1], layouts[i%len(layouts)], gaussian(r))
				wt := random(t, dtypes[(k+i)%len(dtypes)], p[0], p[1], layouts[k], positive(r))
				s.rotation(t, w0, wt)
			}
		}
	})
	t.Run("small", func(t *testing.T) { // where 1 − cos loses all digits
		r := s.rng(t)
		for _, step := range []float64{1e-2, 1e-5, 1e-8} {
			w0 := random(t, kernels.Float64, 60, 50, layouts[1], gaussian(r))
			wt := newGuarded(t, kernels.Float64, 60, 50, 50, 0)
			for i := range 60 {
				for k := range 50 {
					wt.set(i, k, w0.at(i, k)*(1+step*r.NormFloat64()))
				}
			}
			s.rotation(t, w0, wt)
		}
	})
	t.Run("ratios", func(t *testing.T) {
		s.weak(t, "Rotation/ratios")
		s.rotationRatios(t)
	})
	t.Run("range", func(t *testing.T) {
		s.weak(t, "Rotation/range")
		s.rotationRange(t)
	})
	t.Run("ends", func(t *testing.T) { s.rotationEnds(t) })
	t.Run("degenerate", func(t *testing.T) {
		zero := newGuarded(t, kernels.Float32, 3, 4, 4, 0).fill(func() float64 { return 0 })
		some := random(t, kernels.Float32, 3, 4, layouts[1], positive(s.rng(t)))
		none := newGuarded(t, kernels.Float32, 0, 4, 4, 0)
		dst := make([]kernels.RotationValue, 4)
		err := s.b.Rotation(background(), dst, matrices([]*guarded{zero, some, some, none}), matrices([]*guarded{some, some, zero, none}), kernels.Options{})
		var d *kernels.DegenerateError
		if !errors.As(err, &d) || !slices.Equal(d.Indices, []int{0, 2, 3}) {
			t.Fatalf("got %v, want tensors 0, 2, 3", err)
		}
		for i, v := range dst {
			if math.IsNaN(v.Distance) != (i != 1) {
				t.Errorf("tensor %d: %+v", i, v)
			}
		}
	})
	t.Run("many", func(t *testing.T) { s.rotationMany(t) })
}

func (s *suite) rotation(t *testing.T, w0, wt *guarded) {
	t.Helper()
	dst := make([]kernels.RotationValue, 1)
	err := s.b.Rotation(background(), dst, ms(w0.m), ms(wt.m), kernels.Options{})
	what := fmt.Sprintf("Rotation %s, %s %dx%d", w0.m.DType, wt.m.DType, w0.m.Rows, w0.m.Cols)
	if w0.m.Empty() && !s.unsupported(t, err, computes(w0, wt)) {
		if !errors.Is(err, kernels.ErrDegenerate) || !math.IsNaN(dst[0].Distance) {
			t.Fatalf("%s: %+v, %v", what, dst[0], err)
		}
		return
	}
	if !s.do(t, err, computes(w0, wt)) {
		return
	}
	s.rotationCheck(t, dst[0], w0.floats(), wt.floats(), what)
}

// scaledToOne returns v·2^−k with the largest magnitude below 1, and k.
func scaledToOne(v []float64) ([]float64, int) {
	_, k := math.Frexp(largest(v))
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = math.Ldexp(x, -k)
	}
	return out, k
}

// rotationCheck compares with a reference in double length that no square
// leaves the range of.
func (s *suite) rotationCheck(t *testing.T, got kernels.RotationValue, a, b []float64, what string) {
	t.Helper()
	a, ka := scaledToOne(a)
	b, kb := scaledToOne(b)
	ab, gauge := dot(kernels.Float64, a, b)
	aa, _ := dot(kernels.Float64, a, a)
	bb, _ := dot(kernels.Float64, b, b)
	p := kernels.Problem{Terms: len(a), Compute: kernels.Float32, Out: kernels.Float64}
	plain := *s
	plain.OneRounding = false // the bound is absolute
	j := plain.judge(t, what, kernels.OpRotation, p)
	distance := exact(1).minus(ab.over(aa.sqrt().times(bb.sqrt())))
	n0, nt := aa.sqrt().scaled(ka), bb.sqrt().scaled(kb)
	j.check(got.Dot, reference{ab.scaled(ka + kb), math.Ldexp(gauge, ka+kb)}, 0)
	j.check(got.Norm0, reference{n0, n0.hi}, 1)
	j.check(got.NormT, reference{nt, nt.hi}, 2)
	j.check(got.Distance, reference{distance, 0}, 3)
	j.done()
	for i, pair := range [][2]float64{{got.Norm0, n0.hi}, {got.NormT, nt.hi}} { // small ones must not hide behind the absolute bound
		if limit := 4e-10*pair[1] + 0x1p-1074; !(math.Abs(pair[0]-pair[1]) <= limit) {
			t.Fatalf("%s: norm %d is %v, want %v, seed %d", what, i, pair[0], pair[1], s.seed)
		}
	}
	if ratio := bb.over(aa).scaled(2 * (kb - ka)).hi; s.OneRounding && math.Abs(ratio-1) < 0.1 { // float64 sums of tensors of like norm: tiny distances keep their digits
		if err := math.Abs(got.Distance - distance.hi); !(err <= 1e-11*distance.hi+1e-18) {
			t.Fatalf("%s: distance %v, want %v, relative error %v, seed %d", what, got.Distance, distance.hi, err/distance.hi, s.seed)
		}
	}
}

// rotationRatios compares tensors that differ in length: by factors from 1e-8 to
// 1e8, of the same direction, of nearly the same and of another one.
func (s *suite) rotationRatios(t *testing.T) {
	r := s.rng(t)
	const rows, cols = 50, 100
	for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64, kernels.BFloat16} {
		for _, ratio := range []float64{1e-8, 1e-7, 1e-5, 1e-4, 1e-2, 0.4, 0.6, 1, 1.5, 1.9, 2.1, 3, 1e2, 1e4, 1e5, 1e7, 1e8} {
			for _, turn := range []float64{0, 1e-6, 1e-3, 10} {
				w0 := random(t, dt, rows, cols, layouts[1], gaussian(r))
				wt := newGuarded(t, dt, rows, cols, cols+3, 2)
				for i := range rows {
					for k := range cols {
						wt.set(i, k, ratio*(w0.at(i, k)+turn*r.NormFloat64()))
					}
				}
				s.rotation(t, w0, wt)
			}
		}
	}
}

// rotationRange compares tensors whose squares leave the range of the type: only
// a tensor of zeros is degenerate, and the distance does not depend on length.
func (s *suite) rotationRange(t *testing.T) {
	r := s.rng(t)
	ranges := map[kernels.DType][]float64{
		kernels.Float64:  {1e-310, 1e-300, 1e-165, 1e-100, 1e100, 1e160, 1e300},
		kernels.Float32:  {1e-30, 1e-20, 1e20, 1e30},
		kernels.BFloat16: {1e-30, 1e30},
	}
	for dt, list := range ranges {
		for i, size := range list {
			w := random(t, dt, 9, 40, layouts[1], func() float64 { return size * r.NormFloat64() })
			other := random(t, dt, 9, 40, layouts[2], func() float64 { return list[len(list)-1-i] * positive(r)() })
			opposite := newGuarded(t, dt, 9, 40, 40, 0)
			for i := range 9 {
				for k := range 40 {
					opposite.set(i, k, -w.at(i, k))
				}
			}
			dst := make([]kernels.RotationValue, 4)
			if !s.do(t, s.b.Rotation(background(), dst, ms(w.m, w.m, w.m, other.m), ms(w.m, opposite.m, other.m, w.m), kernels.Options{}), dt) {
				continue
			}
			if dst[0].Distance != 0 || dst[1].Distance != 2 {
				t.Fatalf("%s near %g: distance %v of equal tensors, %v of opposite ones, seed %d", dt, size, dst[0].Distance, dst[1].Distance, s.seed)
			}
			s.rotationCheck(t, dst[2], w.floats(), other.floats(), fmt.Sprintf("Rotation %s near %g", dt, size))
			s.rotationCheck(t, dst[3], other.floats(), w.floats(), fmt.Sprintf("Rotation %s to near %g", dt, size))
		}
	}
}

// rotationEnds checks the values that must be exact.
func (s *suite) rotationEnds(t *testing.T) {
	r := s.rng(t)
	for _, dt := range dtypes {
		w := random(t, dt, 33, 300, layouts[1], gaussian(r))
		neg := newGuarded(t, dt, 33, 300, 301, 2)
		for i := range 33 {
			for k := range 300 {
				neg.set(i, k, -w.at(i, k))
			}
		}
		dst := make([]kernels.RotationValue, 2)
		if !s.do(t, s.b.Rotation(background(), dst, []kernels.Matrix{w.m, w.m}, []kernels.Matrix{w.m, neg.m}, kernels.Options{}), compute(dt)) {
			continue
		}
		if dst[0].Distance != 0 || dst[1].Distance != 2 || dst[0].Norm0 != dst[0].NormT {
			t.Errorf("%s: equal %+v, opposite %+v", dt, dst[0], dst[1])
		}
	}
}

// rotationMany compares each row of two states, as block influence does.
func (s *suite) rotationMany(t *testing.T) {
	r := s.rng(t)
	const n, d = 700, 24
	x, y := random(t, kernels.Float32, n, d, layouts[1], gaussian(r)), random(t, kernels.Float32, n, d, layouts[2], gaussian(r))
	var xs, ys []kernels.Matrix
	for i := range n {
		xs, ys = append(xs, sub(t, x.m, i, 0, 1, d)), append(ys, sub(t, y.m, i, 0, 1, d))
	}
	dst := make([]kernels.RotationValue, n)
	s.must(t, s.b.Rotation(background(), dst, xs, ys, kernels.Options{}), kernels.Float32)
	p, q := rowsOf(x), rowsOf(y)
	for i := range n {
		s.rotationCheck(t, dst[i], p[i], q[i], fmt.Sprintf("row %d", i))
	}
}
