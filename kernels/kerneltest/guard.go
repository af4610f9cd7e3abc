package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

const (
	guardElems = 67 // before and after, no multiple of a vector

	// Sentinels are quiet NaNs with a payload: reading one poisons a result,
	// writing one shows.
	sentinel16 = 0x7fe5 // a NaN as binary16 and as bfloat16
	sentinel32 = 0x7fe5a5a5
	sentinel64 = 0x7ffde5a5a5a5a5a5
)

// guarded is a host matrix with sentinels before it, behind it and in the
// padding between its rows. Exactly one of the slices is in use.
type guarded struct {
	m     kernels.Matrix
	start int
	f32   []float32
	f64   []float64
	u16   []uint16
}

// newGuarded returns a matrix of sentinels; offset shifts its first element
// against the start of the allocation by so many elements.
func newGuarded(t testing.TB, dt kernels.DType, rows, cols, stride, offset int) *guarded {
	t.Helper()
	g := &guarded{start: guardElems + offset}
	extent := 0
	if rows > 0 && cols > 0 {
		extent = (rows-1)*stride + cols
	}
	n := g.start + extent + guardElems
	var err error
	switch dt {
	case kernels.Float32:
		g.f32 = make([]float32, n)
		g.m, err = kernels.Of(g.f32[g.start:g.start+extent], rows, cols, stride)
	case kernels.Float64:
		g.f64 = make([]float64, n)
		g.m, err = kernels.Of(g.f64[g.start:g.start+extent], rows, cols, stride)
	default:
		g.u16 = make([]uint16, n)
		g.m, err = kernels.OfBits(dt, g.u16[g.start:g.start+extent], rows, cols, stride)
	}
	if err != nil {
		t.Fatalf("test matrix: %v", err)
	}
	for i := range n {
		g.setBits(i, g.sentinel())
	}
	return g
}

func (g *guarded) sentinel() uint64 {
	switch {
	case g.f32 != nil:
		return sentinel32
	case g.f64 != nil:
		return sentinel64
	default:
		return sentinel16
	}
}

func (g *guarded) len() int { return len(g.f32) + len(g.f64) + len(g.u16) }

func (g *guarded) bits(i int) uint64 {
	switch {
	case g.f32 != nil:
		return uint64(math.Float32bits(g.f32[i]))
	case g.f64 != nil:
		return math.Float64bits(g.f64[i])
	default:
		return uint64(g.u16[i])
	}
}

func (g *guarded) setBits(i int, b uint64) {
	switch {
	case g.f32 != nil:
		g.f32[i] = math.Float32frombits(uint32(b))
	case g.f64 != nil:
		g.f64[i] = math.Float64frombits(b)
	default:
		g.u16[i] = uint16(b)
	}
}

func (g *guarded) index(i, j int) int { return g.start + i*g.m.Stride + j }

// at returns element (i, j), exactly.
func (g *guarded) at(i, j int) float64 {
	k := g.index(i, j)
	switch {
	case g.f32 != nil:
		return float64(g.f32[k])
	case g.f64 != nil:
		return g.f64[k]
	case g.m.DType == kernels.Float16:
		return float64(kernels.Float16ToFloat32(g.u16[k]))
	default:
		return float64(kernels.BFloat16ToFloat32(g.u16[k]))
	}
}

// set rounds v to the matrix's type.
func (g *guarded) set(i, j int, v float64) {
	k := g.index(i, j)
	switch {
	case g.f32 != nil:
		g.f32[k] = float32(v)
	case g.f64 != nil:
		g.f64[k] = v
	case g.m.DType == kernels.Float16:
		g.u16[k] = kernels.Float64ToFloat16(v)
	default:
		g.u16[k] = kernels.Float64ToBFloat16(v)
	}
}

// fill sets every element from a generator.
func (g *guarded) fill(next func() float64) *guarded {
	for i := range g.m.Rows {
		for j := range g.m.Cols {
			g.set(i, j, next())
		}
	}
	return g
}

// copyOf sets every element from a matrix of the same shape.
func (g *guarded) copyOf(x *guarded) {
	for i := range g.m.Rows {
		for j := range g.m.Cols {
			g.set(i, j, x.at(i, j))
		}
	}
}

// floats returns the elements as float64, row-major without padding.
func (g *guarded) floats() []float64 {
	out := make([]float64, 0, g.m.Rows*g.m.Cols)
	for i := range g.m.Rows {
		for j := range g.m.Cols {
			out = append(out, g.at(i, j))
		}
	}
	return out
}

// snapshot returns all bits, guards included.
func (g *guarded) snapshot() []uint64 {
	out := make([]uint64, g.len())
	for i := range out {
		out[i] = g.bits(i)
	}
	return out
}

// unchanged fails the test if any bit differs from the snapshot.
func (g *guarded) unchanged(t testing.TB, what string, snap []uint64) {
	t.Helper()
	for i, b := range snap {
		if g.bits(i) != b {
			t.Fatalf("%s was touched: element %d of the allocation (matrix starts at %d, stride %d) %#x -> %#x", what, i, g.start, g.m.Stride, b, g.bits(i))
		}
	}
}

// intact fails the test if a sentinel outside the elements was overwritten.
func (g *guarded) intact(t testing.TB, what string) {
	t.Helper()
	inside := func(i int) bool {
		k := i - g.start
		return k >= 0 && g.m.Stride > 0 && k/g.m.Stride < g.m.Rows && k%g.m.Stride < g.m.Cols
	}
	for i := range g.len() {
		if !inside(i) && g.bits(i) != g.sentinel() {
			t.Fatalf("%s: wrote outside the matrix, at element %d of the allocation (matrix %d x %d starts at %d, stride %d): %#x", what, i, g.m.Rows, g.m.Cols, g.start, g.m.Stride, g.bits(i))
		}
	}
}

// matrices returns the views of a batch.
func matrices(list []*guarded) []kernels.Matrix {
	out := make([]kernels.Matrix, len(list))
	for i, g := range list {
		out[i] = g.m
	}
	return out
}

// The generators. gaussian is the usual data, positive has no cancellation,
// integers up to limit give exact sums as long as those stay below 2^24.
func gaussian(r *rand.Rand) func() float64 { return r.NormFloat64 }

func positive(r *rand.Rand) func() float64 { return func() float64 { return 0.5 + r.Float64() } }

func integers(r *rand.Rand, limit int) func() float64 {
	return func() float64 { return float64(r.IntN(2*limit+1) - limit) }
}

// layout is a way of placing a matrix in memory.
type layout struct {
	pad, offset int // stride = cols + pad
}

// layouts include a narrow column view of a wide matrix: its rows lie further
// apart than a tile is wide.
var layouts = []layout{{0, 0}, {1, 1}, {3, 2}, {13, 7}, {211, 5}}

func (l layout) String() string { return fmt.Sprintf("pad%d+%d", l.pad, l.offset) }

// random returns a guarded matrix with the layout, filled.
func random(t testing.TB, dt kernels.DType, rows, cols int, l layout, next func() float64) *guarded {
	t.Helper()
	return newGuarded(t, dt, rows, cols, cols+l.pad, l.offset).fill(next)
}
