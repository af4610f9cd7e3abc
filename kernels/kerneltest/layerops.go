package kerneltest

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// testLayerOps checks the operations of a transformer's forward pass.
func testLayerOps(s *suite, t *testing.T) {
	for _, op := range []struct {
		op   kernels.Op
		name string
		test func(*suite, *testing.T)
	}{
		{kernels.OpNorm, "Norm", testNorm},
		{kernels.OpRoPE, "RoPE", testRoPE},
		{kernels.OpAttention, "Attention", testAttention},
		{kernels.OpAttention, "AttentionMasks", testAttentionMasks},
		{kernels.OpActivate, "Activate", testActivate},
		{kernels.OpActivate, "ActivateEdges", testActivateEdges},
		{kernels.OpGate, "Gate", testGate},
		{kernels.OpAdd, "Add", testAdd},
		{kernels.OpGather, "Gather", testGather},
		{kernels.OpRowNormalize, "RowNormalize", testRowNormalize},
		{kernels.OpDequantize, "Dequantize", testDequantize},
	} {
		if s.has(op.op) {
			t.Run(op.name, func(t *testing.T) { op.test(s, t) })
		}
	}
}

// layerShapes returns the shapes of a row-wise operation: the full cross, or a
// quarter of it in which every size occurs as rows and as columns.
func (s *suite) layerShapes() [][2]int {
	all := s.pairs()
	if !s.short {
		return all
	}
	n := len(sizes) + 1
	var out [][2]int
	for k, p := range all {
		if (k/n+k%n)%4 == 0 {
			out = append(out, p)
		}
	}
	return out
}

// typePairs returns all pairs of a source's and a destination's type.
func typePairs() [][2]kernels.DType {
	var out [][2]kernels.DType
	for _, src := range dtypes {
		for _, dst := range dtypes {
			out = append(out, [2]kernels.DType{src, dst})
		}
	}
	return out
}

// placed returns a matrix in a random layout, filled.
func placed(t testing.TB, r *rand.Rand, dt kernels.DType, rows, cols int, next func() float64) *guarded {
	t.Helper()
	return unset(t, r, dt, rows, cols).fill(next)
}

// unset returns a matrix in a random layout whose elements are sentinels: NaN,
// so that reading one shows.
func unset(t testing.TB, r *rand.Rand, dt kernels.DType, rows, cols int) *guarded {
	t.Helper()
	l := pick(r, layouts)
	return newGuarded(t, dt, rows, cols, cols+l.pad, l.offset)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// outOf returns the result's matrix: x itself half of the time where the types
// agree, else a new one, with old values if they are read.
func outOf(t testing.TB, r *rand.Rand, x *guarded, dt kernels.DType, filled bool) *guarded {
	t.Helper()
	if dt == x.m.DType && r.IntN(2) == 0 {
		return x
	}
	if filled {
		return placed(t, r, dt, x.m.Rows, x.m.Cols, gaussian(r))
	}
	return unset(t, r, dt, x.m.Rows, x.m.Cols)
}

// computes returns the compute type of the sources. A destination whose old
// values are read is a source.
func computes(list ...*guarded) kernels.DType {
	for _, g := range list {
		if g != nil && g.m.DType == kernels.Float64 {
			return kernels.Float64
		}
	}
	return kernels.Float32
}

// watch notes the bits of the sources; the returned function fails the test if
// one of them, other than dst, changed.
func watch(t testing.TB, dst *guarded, sources ...*guarded) func(what string) {
	t.Helper()
	snaps := make([][]uint64, len(sources))
	for i, g := range sources {
		if g != nil && g != dst {
			snaps[i] = g.snapshot()
		}
	}
	return func(what string) {
		t.Helper()
		for i, g := range sources {
			if snaps[i] != nil {
				g.unchanged(t, what+": source", snaps[i])
			}
		}
	}
}

// view returns the matrix of g, or an empty one.
func view(g *guarded) kernels.Matrix {
	if g == nil {
		return kernels.Matrix{}
	}
	return g.m
}

// rounded returns v rounded once to the type, as float64.
func rounded(dt kernels.DType, v float64) float64 {
	switch dt {
	case kernels.Float64:
		return v
	case kernels.Float16:
		return float64(kernels.Float16ToFloat32(kernels.Float64ToFloat16(v)))
	case kernels.BFloat16:
		return float64(kernels.BFloat16ToFloat32(kernels.Float64ToBFloat16(v)))
	default:
		return float64(float32(v))
	}
}

// same reports whether two values are the same number with the same sign of
// zero, or both NaN.
func same(a, b float64) bool {
	return math.IsNaN(a) && math.IsNaN(b) || math.Float64bits(a) == math.Float64bits(b)
}

// want turns rows of references into what judge.matrix asks for.
func want(rows [][]reference) func(i, k int) reference {
	return func(i, k int) reference { return rows[i][k] }
}

// scale holds the factors of a result: alpha times the new value plus beta
// times the old one.
type scale struct{ alpha, beta float64 }

var scales = []scale{{1, 0}, {1, 0}, {1, 1}, {0.5, -0.25}, {-2, 0}}
