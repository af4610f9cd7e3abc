package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testGather(s *suite, t *testing.T) {
	t.Run("bits", func(t *testing.T) { s.gatherBits(t) })
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, types := range typePairs() {
			for _, sc := range append([]scale{{0, 0.5}, {0, 0}}, scales...) {
				table := unset(t, r, types[0], 7, 33) // with alpha = 0 it stays NaN
				if sc.alpha != 0 {
					table.fill(gaussian(r))
				}
				s.gather(t, r, table, types[1], 11, sc)
			}
		}
	})
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for _, shape := range s.layerShapes() {
			for _, ids := range []int{0, 1, 65} {
				if shape[0] > 0 || ids == 0 {
					s.gather(t, r, placed(t, r, kernels.Float32, shape[0], shape[1], gaussian(r)), kernels.Float32, ids, pick(r, scales))
				}
			}
		}
	})
}

// drawn returns n row indices below rows, the first and the last among them.
func drawn(r *rand.Rand, n, rows int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32(r.IntN(rows))
	}
	if n > 2 {
		ids[0], ids[1], ids[2] = int32(rows-1), 0, 0
	}
	return ids
}

// gatherBits checks that equal types with alpha = 1, beta = 0 copy any bits:
// signalling NaNs, subnormal numbers and signed zeros too.
func (s *suite) gatherBits(t *testing.T) {
	r := s.rng(t)
	for _, dt := range dtypes {
		for _, cols := range []int{1, 8, 33, 257} {
			table := unset(t, r, dt, 19, cols)
			for i := range 19 {
				for k := range cols {
					table.setBits(table.index(i, k), r.Uint64())
				}
			}
			table.setBits(table.index(3, 0), uint64(0x7fa00001)) // a signalling NaN as binary32
			ids := append(drawn(r, 30, 19), 3)
			dst := unset(t, r, dt, len(ids), cols)
			sources := watch(t, dst, table)
			err := s.b.Gather(background(), dst.m, table.m, ids, 1, 0, kernels.Options{})
			if !s.do(t, err, dt) {
				continue
			}
			what := fmt.Sprintf("Gather bits of %s, %d cols", dt, cols)
			sources(what)
			dst.intact(t, what)
			for i, id := range ids {
				for k := range cols {
					if got, w := dst.bits(dst.index(i, k)), table.bits(table.index(int(id), k)); got != w {
						t.Fatalf("%s: element (%d, %d) has bits %#x, row %d of the table %#x, seed %d", what, i, k, got, id, w, s.seed)
					}
				}
			}
		}
	}
}

func (s *suite) gather(t *testing.T, r *rand.Rand, table *guarded, dt kernels.DType, n int, sc scale) {
	t.Helper()
	what := fmt.Sprintf("Gather %d of %d x %d, %s to %s, alpha %v, beta %v", n, table.m.Rows, table.m.Cols, table.m.DType, dt, sc.alpha, sc.beta)
	var ids []int32
	if n > 0 {
		ids = drawn(r, n, table.m.Rows)
	}
	dst := unset(t, r, dt, n, table.m.Cols)
	compute := computes(table)
	if sc.beta != 0 {
		dst.fill(gaussian(r))
		compute = computes(table, dst)
	}
	rows, olds := rowsOf(table), rowsOf(dst)
	sources := watch(t, dst, table)
	err := s.b.Gather(background(), dst.m, table.m, ids, sc.alpha, sc.beta, kernels.Options{})
	if !s.do(t, err, computes(table, dst)) {
		return
	}
	sources(what)
	j := s.judge(t, what, kernels.OpGather, kernels.Problem{Terms: 2, Compute: compute, Out: dt})
	j.matrix(dst, func(i, k int) reference {
		v := rows[ids[i]][k]
		return reference{exact(v), math.Abs(v)}.combined(sc, olds[i][k])
	})
	if sc != (scale{}) {
		j.done()
	}
}

func testRowNormalize(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		for _, shape := range s.layerShapes() {
			s.rowNormalize(t, r, placed(t, r, kernels.Float32, shape[0], shape[1], gaussian(r)), kernels.Float32)
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, types := range typePairs() {
			for _, size := range []float64{1, 0x1p-9, 3000} {
				x := placed(t, r, types[0], 9, 100, func() float64 { return size * r.NormFloat64() })
				x.set(4, 99, math.NaN()) // the row is NaN, which is not degenerate
				s.rowNormalize(t, r, x, types[1])
			}
		}
	})
	t.Run("range", func(t *testing.T) { // squares leave the range, but only zeros are undefined
		r := s.rng(t)
		for _, dt := range []kernels.DType{kernels.Float32, kernels.Float64, kernels.BFloat16} {
			list := []float64{0x1p-100, 0x1p100}
			if dt == kernels.Float64 {
				list = []float64{0x1p-1000, 0x1p-900, 0x1p-500, 0x1p500, 0x1p900, 0x1p1010}
			}
			for _, size := range list {
				s.rowNormalize(t, r, placed(t, r, dt, 5, 70, func() float64 { return size * r.NormFloat64() }), dt)
			}
		}
	})
	t.Run("zero rows", func(t *testing.T) {
		r := s.rng(t)
		for _, types := range typePairs() {
			x := placed(t, r, types[0], 40, 21, gaussian(r))
			for _, i := range []int{0, 13, 39} {
				for k := range 21 {
					x.set(i, k, math.Copysign(0, float64(k%2)-0.5))
				}
			}
			s.rowNormalize(t, r, x, types[1])
		}
	})
}

// largest returns the largest magnitude; a NaN counts for nothing.
func largest(row []float64) float64 {
	top := 0.0
	for _, v := range row {
		if a := math.Abs(v); a > top {
			top = a
		}
	}
	return top
}

// rowNormalize runs the operation; rows of zeros must be reported.
func (s *suite) rowNormalize(t *testing.T, r *rand.Rand, x *guarded, dt kernels.DType) {
	t.Helper()
	dst := outOf(t, r, x, dt, false)
	what := fmt.Sprintf("RowNormalize %d x %d, %s to %s, in place %v", x.m.Rows, x.m.Cols, x.m.DType, dt, dst == x)
	var zeros []int
	wants := make([][]reference, x.m.Rows)
	for i, row := range rowsOf(x) {
		row, _ = scaledToOne(row) // a power of two does not matter
		var squares dd
		for _, v := range row {
			squares = squares.plus(exact(v).times(exact(v)))
		}
		if squares.hi == 0 && len(row) > 0 {
			zeros = append(zeros, i)
		}
		root := squares.over(exact(float64(len(row)))).sqrt()
		wants[i] = make([]reference, len(row))
		for k, v := range row {
			wants[i][k].want = exact(v).over(root)
		}
	}
	compute := computes(x)
	sources := watch(t, dst, x)
	err := s.b.RowNormalize(background(), dst.m, x.m, kernels.Options{})
	var degenerate *kernels.DegenerateError
	if errors.As(err, &degenerate) {
		if !errors.Is(err, kernels.ErrDegenerate) || degenerate.Op != kernels.OpRowNormalize || !slices.Equal(degenerate.Indices, zeros) {
			t.Fatalf("%s: error %v names %v, want rows %v, seed %d", what, err, degenerate.Indices, zeros, s.seed)
		}
		err = nil
	} else if err == nil && zeros != nil {
		t.Fatalf("%s: no error for the zero rows %v, seed %d", what, zeros, s.seed)
	}
	if !s.do(t, err, computes(x, dst)) {
		return
	}
	sources(what)
	j := s.judge(t, what, kernels.OpRowNormalize, kernels.Problem{Terms: x.m.Cols, Compute: compute, Out: dt})
	j.matrix(dst, want(wants))
	j.done()
}
