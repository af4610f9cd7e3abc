package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// edges are arguments at which a careless activation overflows, cancels or
// loses a sign, although it is defined and finite there.
func edges(src, dst kernels.DType) []float64 {
	out := []float64{0x1p-24, -0x1p-24, 1, -1, 4, -4, 5.5, -5.5, 8.25, -8.25, 11, -11, 20, -20, 88, -88, 104, -104, 711, -711, 10000, -10000}
	if src != kernels.Float16 && dst != kernels.Float16 {
		out = append(out, 1e-38, -1e-38, 1e-40, 1e13, -1e13, 3e38, -3e38)
	}
	if src == kernels.Float64 && dst == kernels.Float64 {
		out = append(out, 1e-300, -1e-300, 1e200, -1e200, math.MaxFloat64, -math.MaxFloat64)
	}
	return out
}

// testActivateEdges checks the activations far out, alone and as a gate.
func testActivateEdges(s *suite, t *testing.T) {
	r := s.rng(t)
	for _, types := range typePairs() {
		list := edges(types[0], types[1])
		for _, f := range activations {
			next := 0
			x := placed(t, r, types[0], 1, len(list), func() float64 { next++; return list[next-1] })
			up := placed(t, r, types[0], 1, len(list), func() float64 { return 0.5 })
			values := rowsOf(x)[0]
			gated := unset(t, r, types[1], 1, len(list))
			if !s.do(t, s.b.Gate(background(), gated.m, x.m, up.m, f, kernels.Options{}), computes(x, gated)) {
				continue
			}
			dst := outOf(t, r, x, types[1], false)
			if err := s.b.Activate(background(), dst.m, x.m, f, kernels.Options{}); err != nil {
				t.Fatalf("Activate %s: %v", f, err)
			}
			p := kernels.Problem{Terms: 1, Compute: computes(up), Out: types[1]}
			j := s.judge(t, fmt.Sprintf("Activate %s far out, %s to %s", f, types[0], types[1]), kernels.OpActivate, p)
			j.matrix(dst, func(_, k int) reference {
				return reference{activation(f, values[k]), math.Abs(values[k])}
			})
			j.done()
			j = s.judge(t, fmt.Sprintf("Gate %s far out, %s to %s", f, types[0], types[1]), kernels.OpGate, p)
			j.matrix(gated, func(_, k int) reference {
				return reference{activation(f, values[k]).times(exact(0.5)), math.Abs(values[k]) / 2}
			})
			j.done()
		}
	}
}
