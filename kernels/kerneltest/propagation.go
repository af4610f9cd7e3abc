package kerneltest

import (
	"context"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// testPropagation plants NaN and infinities at seeded positions. An element of
// the result that depends on one must not be finite; every other element must
// keep its bits.
func testPropagation(s *suite, t *testing.T) {
	const m, n, k = 37, 45, 70
	type rule struct {
		op         kernels.Op
		name       string
		ar, ac     int // the source
		rows, cols int // the result
		run        func(ctx context.Context, dst, x kernels.Matrix) error
		touched    func(i, j, row, col int) bool
	}
	r := s.rng(t)
	other := random(t, kernels.Float32, n, k, layouts[1], positive(r))
	wide := random(t, kernels.Float32, k, n, layouts[2], positive(r))
	b, none := s.b, kernels.Options{}
	sameRow := func(i, _, row, _ int) bool { return row == i }
	for _, c := range []rule{
		{kernels.OpGram, "Gram", m, k, m, m, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Gram(ctx, ms(d), ms(x), 1, 0, kernels.Full, none)
		}, func(i, _, row, col int) bool { return row == i || col == i }},
		{kernels.OpMatmul, "Matmul NT", m, k, m, n, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Matmul(ctx, ms(d), ms(x), ms(other.m), kernels.NT, 1, 0, none)
		}, sameRow},
		{kernels.OpMatmul, "Matmul TN", k, m, m, n, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Matmul(ctx, ms(d), ms(x), ms(wide.m), kernels.TN, 1, 0, none)
		}, func(_, j, row, _ int) bool { return row == j }},
		{kernels.OpMatmul, "Matmul NN", m, k, m, n, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Matmul(ctx, ms(d), ms(x), ms(wide.m), kernels.NN, 1, 0, none)
		}, sameRow},
		{kernels.OpCenter, "Center", m, k, m, k, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Center(ctx, ms(d), ms(x), nil, none)
		}, func(_, j, _, col int) bool { return col == j }},
		{kernels.OpNorm, "Norm", m, k, m, k, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Norm(ctx, d, x, kernels.NormParams{Kind: kernels.LayerNorm, Epsilon: 1e-5}, 1, 0, none)
		}, sameRow},
		{kernels.OpActivate, "Activate", m, k, m, k, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Activate(ctx, d, x, kernels.Identity, none)
		}, func(i, j, row, col int) bool { return row == i && col == j }},
		{kernels.OpGate, "Gate", m, k, m, k, func(ctx context.Context, d, x kernels.Matrix) error {
			return b.Gate(ctx, d, x, x, kernels.Identity, none)
		}, func(i, j, row, col int) bool { return row == i && col == j }},
		{kernels.OpRoPE, "RoPE", m, k, m, k, func(ctx context.Context, d, x kernels.Matrix) error {
			positions := make([]int32, m)
			for i := range positions {
				positions[i] = int32(i) + 1
			}
			return b.RoPE(ctx, d, x, positions, kernels.RoPEParams{HeadDim: k, InvFreq: []float64{1, 0.5}}, none)
		}, func(i, j, row, col int) bool {
			return row == i && (col == j || j < 4 && col < 4 && j%2 == col%2)
		}},
	} {
		if !s.has(c.op) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			r := s.rng(t)
			clean := random(t, kernels.Float32, c.ar, c.ac, layouts[3], positive(r))
			base := newGuarded(t, kernels.Float32, c.rows, c.cols, c.cols, 0)
			s.do(t, c.run(background(), base.m, clean.m), kernels.Float32)
			for trial := range 64 {
				bad := []float64{math.NaN(), math.Inf(1), math.Inf(-1)}[trial%3]
				i, j := r.IntN(c.ar), r.IntN(c.ac)
				keep := clean.at(i, j)
				clean.set(i, j, bad)
				dst := newGuarded(t, kernels.Float32, c.rows, c.cols, c.cols, 0)
				s.do(t, c.run(background(), dst.m, clean.m), kernels.Float32)
				clean.set(i, j, keep)
				s.spread(t, c.name, dst, base, bad, i, j, c.touched)
			}
		})
	}
	if !s.has(kernels.OpMatmul) {
		return
	}
	t.Run("zero times NaN", func(t *testing.T) {
		x, y := newGuarded(t, kernels.Float32, 3, 5, 5, 0).fill(func() float64 { return 0 }), random(t, kernels.Float32, 4, 5, layouts[0], positive(r))
		y.set(2, 3, math.NaN())
		dst := newGuarded(t, kernels.Float32, 3, 4, 4, 0)
		s.do(t, b.Matmul(background(), ms(dst.m), ms(x.m), ms(y.m), kernels.NT, 1, 0, none), kernels.Float32)
		for i := range 3 {
			for k := range 4 {
				if math.IsNaN(dst.at(i, k)) != (k == 2) {
					t.Fatalf("(%d, %d) is %v", i, k, dst.at(i, k))
				}
			}
		}
	})
	t.Run("denormals", func(t *testing.T) { // their products need float64 sums or gradual underflow
		x := random(t, kernels.Float32, 5, 9, layouts[1], func() float64 { return math.Ldexp(positive(r)(), -140) })
		y := random(t, kernels.Float32, 6, 9, layouts[1], func() float64 { return math.Ldexp(positive(r)(), 100) })
		dst := newGuarded(t, kernels.Float32, 5, 6, 6, 0)
		s.do(t, b.Matmul(background(), ms(dst.m), ms(x.m), ms(y.m), kernels.NT, 1, 0, none), kernels.Float32)
		j := s.judge(t, "denormals", kernels.OpMatmul, kernels.Problem{Terms: 9})
		p, q := rowsOf(x), rowsOf(y)
		j.matrix(dst, func(i, k int) reference {
			sum, gauge := dot(kernels.Float64, p[i], q[k])
			return reference{sum, gauge}
		})
		j.done()
	})
}

// spread checks which elements a planted value reached.
func (s *suite) spread(t *testing.T, what string, dst, base *guarded, bad float64, i, j int, touched func(i, j, row, col int) bool) {
	t.Helper()
	for row := range dst.m.Rows {
		for col := range dst.m.Cols {
			v := dst.at(row, col)
			finite := !math.IsNaN(v) && !math.IsInf(v, 0)
			switch {
			case touched(i, j, row, col) && finite:
				t.Fatalf("%s: %v at (%d, %d) did not reach (%d, %d): %v", what, bad, i, j, row, col, v)
			case !touched(i, j, row, col) && dst.bits(dst.index(row, col)) != base.bits(base.index(row, col)):
				t.Fatalf("%s: %v at (%d, %d) changed (%d, %d): %v, was %v", what, bad, i, j, row, col, v, base.at(row, col))
			}
		}
	}
}
