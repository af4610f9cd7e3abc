package kerneltest

import (
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// effect says what a planted value does to an element of the result.
type effect uint8

const (
	kept    effect = iota // the element keeps its bits
	reached               // the element is not finite
	open                  // the contract leaves it open
)

// propagation is one operation with one of its sources.
type propagation struct {
	name       string
	ar, ac     int           // the source
	dt         kernels.DType // of the result; Float64 where it stands for Go values
	rows, cols int           // the result
	run        func(dst, x *guarded) error
	effect     func(p plant, row, col int) effect
}

// plant is a value at a place in the source.
type plant struct {
	value float64
	i, j  int
}

// where turns a predicate into an effect.
func where(f func(p plant, row, col int) bool) func(p plant, row, col int) effect {
	return func(p plant, row, col int) effect {
		if f(p, row, col) {
			return reached
		}
		return kept
	}
}

// testPropagation plants NaN and infinities at seeded positions. An element of
// the result that depends on one must not be finite; every other element must
// keep its bits.
func testPropagation(s *suite, t *testing.T) {
	rules := append(s.productPropagation(t), s.comparisonPropagation(t)...)
	rules = append(append(rules, s.updatePropagation(t)...), s.layerPropagation(t)...)
	for _, c := range rules {
		t.Run(c.name, func(t *testing.T) { s.propagate(t, c) })
	}
	t.Run("zero times NaN", func(t *testing.T) { s.zeroTimesNaN(t) })
	t.Run("denormals", func(t *testing.T) { s.denormals(t) })
}

func (s *suite) propagate(t *testing.T, c propagation) {
	t.Helper()
	r := s.rng(t)
	x := random(t, kernels.Float32, c.ar, c.ac, layouts[3], positive(r))
	base := newGuarded(t, c.dt, c.rows, c.cols, c.cols, 0)
	s.must(t, c.run(base, x), kernels.Float32)
	for trial := range 64 {
		p := plant{[]float64{math.NaN(), math.Inf(1), math.Inf(-1)}[trial%3], r.IntN(c.ar), r.IntN(c.ac)}
		keep := x.at(p.i, p.j)
		x.set(p.i, p.j, p.value)
		dst := newGuarded(t, c.dt, c.rows, c.cols, c.cols, 0)
		s.must(t, c.run(dst, x), kernels.Float32)
		x.set(p.i, p.j, keep)
		s.spread(t, c, p, dst, base)
	}
}

// spread checks which elements a planted value reached.
func (s *suite) spread(t *testing.T, c propagation, p plant, dst, base *guarded) {
	t.Helper()
	for row := range dst.m.Rows {
		for col := range dst.m.Cols {
			v, was := dst.at(row, col), base.at(row, col)
			if math.IsNaN(was) || math.IsInf(was, 0) {
				t.Fatalf("%s: (%d, %d) is %v before anything is planted, seed %d", c.name, row, col, was, s.seed)
			}
			finite := !math.IsNaN(v) && !math.IsInf(v, 0)
			switch want := c.effect(p, row, col); {
			case want == reached && finite:
				t.Fatalf("%s: %v at (%d, %d) did not reach (%d, %d): %v, seed %d", c.name, p.value, p.i, p.j, row, col, v, s.seed)
			case want == kept && dst.bits(dst.index(row, col)) != base.bits(base.index(row, col)):
				t.Fatalf("%s: %v at (%d, %d) changed (%d, %d): %v, was %v, seed %d", c.name, p.value, p.i, p.j, row, col, v, was, s.seed)
			}
		}
	}
}

// zeroTimesNaN checks that a zero factor hides nothing.
func (s *suite) zeroTimesNaN(t *testing.T) {
	x, y := newGuarded(t, kernels.Float32, 3, 5, 5, 0).fill(func() float64 { return 0 }), random(t, kernels.Float32, 4, 5, layouts[0], positive(s.rng(t)))
	y.set(2, 3, math.NaN())
	dst := newGuarded(t, kernels.Float32, 3, 4, 4, 0)
	s.must(t, s.b.Matmul(background(), ms(dst.m), ms(x.m), ms(y.m), kernels.NT, 1, 0, kernels.Options{}), kernels.Float32)
	for i := range 3 {
		for k := range 4 {
			if math.IsNaN(dst.at(i, k)) != (k == 2) {
				t.Fatalf("(%d, %d) is %v, seed %d", i, k, dst.at(i, k), s.seed)
			}
		}
	}
}

// denormals checks products that need float64 sums or gradual underflow.
func (s *suite) denormals(t *testing.T) {
	r := s.rng(t)
	x := random(t, kernels.Float32, 5, 9, layouts[1], func() float64 { return math.Ldexp(positive(r)(), -140) })
	y := random(t, kernels.Float32, 6, 9, layouts[1], func() float64 { return math.Ldexp(positive(r)(), 100) })
	dst := newGuarded(t, kernels.Float32, 5, 6, 6, 0)
	s.must(t, s.b.Matmul(background(), ms(dst.m), ms(x.m), ms(y.m), kernels.NT, 1, 0, kernels.Options{}), kernels.Float32)
	j := s.judge(t, "denormals", kernels.OpMatmul, kernels.Problem{Terms: 9})
	p, q := rowsOf(x), rowsOf(y)
	j.matrix(dst, func(i, k int) reference {
		sum, gauge := dot(kernels.Float64, p[i], q[k])
		return reference{sum, gauge}
	})
	j.done()
}
