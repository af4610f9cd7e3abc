package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

var activations = []kernels.Activation{kernels.Identity, kernels.ReLU, kernels.SiLU, kernels.GELU, kernels.GELUTanh}

// activation evaluates f in twice the precision.
func activation(f kernels.Activation, v float64) dd {
	x, one, half := exact(v), exact(1), exact(0.5)
	if math.IsNaN(v) {
		return x
	}
	switch f {
	case kernels.ReLU:
		return exact(math.Max(v, 0))
	case kernels.SiLU:
		return x.over(one.plus(exact(-v).exp()))
	case kernels.GELU:
		rootTwo := exact(2).sqrt()
		return x.times(half).times(one.plus(x.over(rootTwo).erf()))
	case kernels.GELUTanh:
		pi := dd{math.Pi, 0x1.1a62633145c07p-53}
		z := exact(2).over(pi).sqrt().times(x.plus(exact(0.044715).times(x).times(x).times(x)))
		return x.times(half).times(one.plus(z.tanh()))
	default:
		return x
	}
}

// activationData are ordinary values, both tails, zero and NaN.
func activationData(next func() float64) func() float64 {
	special := []float64{0, math.Copysign(0, -1), -5, 5, -20, 20, -90, 90, math.NaN(), 1e-4, -1e-4}
	i := 0
	return func() float64 {
		if i++; i <= len(special) {
			return special[i-1]
		}
		return 3 * next()
	}
}

// testElementwise runs the named sizes through the operations without a row's
// context; which function they apply does not matter here.
func testElementwise(s *suite, t *testing.T) {
	r := s.rng(t)
	for i, p := range s.layerShapes() {
		x, up := placed(t, r, kernels.Float32, p[0], p[1], gaussian(r)), placed(t, r, kernels.Float32, p[0], p[1], gaussian(r))
		row, biased, sum := placed(t, r, kernels.Float32, 1, p[1], gaussian(r)), placed(t, r, kernels.Float32, p[0], p[1], gaussian(r)), placed(t, r, kernels.Float32, p[0], p[1], gaussian(r))
		f := activations[i%2] // identity, ReLU
		v, u, b, old, start := rowsOf(x), rowsOf(up), row.floats(), rowsOf(sum), rowsOf(biased)
		active, gated := unset(t, r, kernels.Float32, p[0], p[1]), unset(t, r, kernels.Float32, p[0], p[1])
		s.must(t, s.b.Activate(background(), active.m, x.m, f, kernels.Options{}), kernels.Float32)
		s.must(t, s.b.Gate(background(), gated.m, x.m, up.m, f, kernels.Options{}), kernels.Float32)
		s.must(t, s.b.Add(background(), biased.m, row.m, 0.5, kernels.Options{}), kernels.Float32)
		s.must(t, s.b.Add(background(), sum.m, x.m, -1, kernels.Options{}), kernels.Float32)
		what := fmt.Sprintf("%s of %dx%d", f, p[0], p[1])
		s.judge(t, "Activate "+what, kernels.OpActivate, kernels.Problem{}).matrix(active, func(i, k int) reference {
			return reference{activation(f, v[i][k]), math.Abs(v[i][k])}
		})
		s.judge(t, "Gate "+what, kernels.OpGate, kernels.Problem{}).matrix(gated, func(i, k int) reference {
			return reference{activation(f, v[i][k]).times(exact(u[i][k])), math.Abs(v[i][k] * u[i][k])}
		})
		s.judge(t, "Add of a row, "+what, kernels.OpAdd, kernels.Problem{}).matrix(biased, func(i, k int) reference {
			return combine(0.5, 1, exact(b[k]), math.Abs(b[k]), start[i][k])
		})
		s.judge(t, "Add, "+what, kernels.OpAdd, kernels.Problem{}).matrix(sum, func(i, k int) reference {
			return combine(-1, 1, exact(v[i][k]), math.Abs(v[i][k]), old[i][k])
		})
	}
}

func testActivate(s *suite, t *testing.T) {
	r := s.rng(t)
	for i, types := range typePairs() {
		for _, f := range activations {
			for _, p := range [][2]int{{0, 3}, {1, 1}, {3, 17}, {65, 33}} {
				x := placed(t, r, types[0], p[0], p[1], activationData(gaussian(r)))
				old := rowsOf(x)
				dst := outOf(t, r, x, types[1], false)
				check := watch(t, dst, x)
				if !s.do(t, s.b.Activate(background(), dst.m, x.m, f, kernels.Options{}), computes(x)) {
					continue
				}
				what := fmt.Sprintf("Activate %s %s->%s %v case %d", f, types[0], types[1], p, i)
				check(what)
				j := s.judge(t, what, kernels.OpActivate, kernels.Problem{Compute: computes(x), Out: types[1]})
				j.matrix(dst, func(i, k int) reference { return reference{activation(f, old[i][k]), math.Abs(old[i][k])} })
				if p[0] > 1 {
					j.done()
				}
			}
		}
	}
	for _, f := range activations { // infinities
		x := newGuarded(t, kernels.Float32, 1, 2, 2, 0)
		x.set(0, 0, math.Inf(1))
		x.set(0, 1, math.Inf(-1))
		s.must(t, s.b.Activate(background(), x.m, x.m, f, kernels.Options{}), kernels.Float32)
		if low := x.at(0, 1); x.at(0, 0) != math.Inf(1) || f != kernels.Identity && !(low == 0 || math.IsNaN(low)) {
			t.Errorf("%s of ±Inf: %v", f, x.floats())
		}
	}
}

func testGate(s *suite, t *testing.T) {
	r := s.rng(t)
	for _, types := range typePairs() {
		for i, f := range activations {
			gate := placed(t, r, types[0], 33, 70, activationData(gaussian(r)))
			up := placed(t, r, dtypes[i%4], 33, 70, gaussian(r))
			g, u := rowsOf(gate), rowsOf(up)
			dst := unset(t, r, types[1], 33, 70)
			switch {
			case i%3 == 1 && types[0] == types[1]:
				dst = gate
			case i%3 == 2 && up.m.DType == types[1]:
				dst = up
			}
			check := watch(t, dst, gate, up)
			if !s.do(t, s.b.Gate(background(), dst.m, gate.m, up.m, f, kernels.Options{}), computes(gate, up)) {
				continue
			}
			what := fmt.Sprintf("Gate %s %v", f, types)
			check(what)
			j := s.judge(t, what, kernels.OpGate, kernels.Problem{Compute: computes(gate, up), Out: types[1]})
			j.matrix(dst, func(i, k int) reference {
				return reference{activation(f, g[i][k]).times(exact(u[i][k])), math.Abs(g[i][k] * u[i][k])}
			})
			j.done()
		}
	}
}

func testAdd(s *suite, t *testing.T) {
	r := s.rng(t)
	for _, types := range typePairs() {
		for _, p := range [][3]int{{1, 1, 1}, {20, 33, 20}, {20, 33, 1}, {0, 5, 1}, {129, 300, 1}} {
			for _, alpha := range []float64{1, -0.7, 0} {
				x := placed(t, r, types[0], p[2], p[1], gaussian(r))
				if alpha == 0 {
					x.fill(math.NaN)
				}
				dst := placed(t, r, types[1], p[0], p[1], gaussian(r))
				v, old := rowsOf(x), rowsOf(dst)
				check := watch(t, dst, x)
				if !s.do(t, s.b.Add(background(), dst.m, x.m, alpha, kernels.Options{}), computes(x, dst)) {
					continue
				}
				what := fmt.Sprintf("Add %v %v alpha %v", types, p, alpha)
				check(what)
				j := s.judge(t, what, kernels.OpAdd, kernels.Problem{Compute: computes(x, dst), Out: types[1]})
				j.matrix(dst, func(i, k int) reference {
					value := v[i%p[2]][k]
					return combine(alpha, 1, exact(value), math.Abs(value), old[i][k])
				})
				j.done()
			}
		}
	}
}
