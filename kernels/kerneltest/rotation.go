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
	if !s.do(t, s.b.Rotation(background(), dst, []kernels.Matrix{w0.m}, []kernels.Matrix{wt.m}, kernels.Options{}), computes(w0, wt)) {
		return
	}
	s.rotationCheck(t, dst[0], w0.floats(), wt.floats(), fmt.Sprintf("Rotation %s, %s %dx%d", w0.m.DType, wt.m.DType, w0.m.Rows, w0.m.Cols))
}

func (s *suite) rotationCheck(t *testing.T, got kernels.RotationValue, a, b []float64, what string) {
	t.Helper()
	ab, gauge := dot(kernels.Float64, a, b)
	aa, gA := dot(kernels.Float64, a, a)
	bb, gB := dot(kernels.Float64, b, b)
	p := kernels.Problem{Terms: len(a), Compute: kernels.Float32, Out: kernels.Float64}
	plain := *s
	plain.OneRounding = false // the bound is absolute
	j := plain.judge(t, what, kernels.OpRotation, p)
	distance := exact(1).minus(ab.over(aa.sqrt().times(bb.sqrt())))
	j.check(got.Dot, reference{ab, gauge}, 0)
	j.check(got.Norm0, reference{aa.sqrt(), math.Sqrt(gA)}, 1)
	j.check(got.NormT, reference{bb.sqrt(), math.Sqrt(gB)}, 2)
	j.check(got.Distance, reference{distance, 0}, 3)
	j.done()
	if ratio := bb.over(aa).hi; s.OneRounding && math.Abs(ratio-1) < 0.1 { // float64 sums of tensors of like norm: tiny distances keep their digits
		if err := math.Abs(got.Distance - distance.hi); !(err <= 1e-11*distance.hi+1e-18) {
			t.Fatalf("%s: distance %v, want %v, relative error %v", what, got.Distance, distance.hi, err/distance.hi)
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
