package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// ropeCase is one call of RoPE.
type ropeCase struct {
	p         kernels.RoPEParams
	positions []int32
	x, dst    *guarded
}

func testRoPE(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		list := sizes
		if s.short {
			list = []int{0, 1, 2, 17, 65, 129}
		}
		for _, rows := range list {
			for _, headDim := range []int{1, 2, 3, 8, 16, 64, 80, 128} {
				for _, heads := range []int{0, 1, 3} {
					if s.short && rows > 17 && heads != 1 {
						continue
					}
					s.rope(t, randomRoPE(t, r, kernels.Float32, kernels.Float32, rows, heads, headDim))
				}
			}
		}
	})
	t.Run("types", func(t *testing.T) {
		r := s.rng(t)
		for _, types := range typePairs() {
			for range 4 {
				s.rope(t, randomRoPE(t, r, types[0], types[1], 5, 2, 24))
			}
		}
	})
	t.Run("models", func(t *testing.T) {
		r := s.rng(t)
		for _, headDim := range []int{64, 128, 256} {
			for _, fraction := range []int{1, 2, 4} { // rotary dimension / head dimension
				for _, interleaved := range []bool{false, true} {
					c := ropeCase{p: kernels.RoPEParams{HeadDim: headDim, InvFreq: inverseFrequencies(headDim/fraction, 10000), Interleaved: interleaved}}
					c.positions = []int32{0, 1, 2, 511, 8191, 131071, 999999}
					c.x = placed(t, r, kernels.Float32, len(c.positions), 2*headDim, gaussian(r))
					c.dst = unset(t, r, kernels.Float32, len(c.positions), 2*headDim)
					s.rope(t, c)
				}
			}
		}
	})
}

// inverseFrequencies returns base^(−2i/dim), one per pair.
func inverseFrequencies(dim int, base float64) []float64 {
	out := make([]float64, dim/2)
	for i := range out {
		out[i] = math.Pow(base, -2*float64(i)/float64(dim))
	}
	return out
}

func randomRoPE(t testing.TB, r *rand.Rand, src, dst kernels.DType, rows, heads, headDim int) ropeCase {
	t.Helper()
	c := ropeCase{p: kernels.RoPEParams{
		HeadDim:     headDim,
		InvFreq:     inverseFrequencies(headDim, 10000)[:headDim/2-r.IntN(headDim/2+1)/2],
		Scale:       pick(r, []float64{0, 1, 1.25, -0.5}),
		Interleaved: r.IntN(2) == 0,
	}}
	c.positions = make([]int32, rows)
	for i := range c.positions {
		c.positions[i] = pick(r, []int32{0, 1, -3, r.Int32N(4096), r.Int32N(1_000_000), math.MaxInt32, math.MinInt32})
	}
	c.x = placed(t, r, src, rows, heads*headDim, gaussian(r))
	c.dst = outOf(t, r, c.x, dst, false)
	return c
}

// rope runs a case and compares it with the definition.
func (s *suite) rope(t *testing.T, c ropeCase) {
	t.Helper()
	p := c.p
	what := fmt.Sprintf("RoPE %d x %d, head dimension %d, %d pairs, interleaved %v, scale %v, %s to %s, in place %v",
		c.x.m.Rows, c.x.m.Cols, p.HeadDim, len(p.InvFreq), p.Interleaved, p.Scale, c.x.m.DType, c.dst.m.DType, c.dst == c.x)
	xs := rowsOf(c.x)
	wants := make([][]reference, len(xs))
	for i, x := range xs {
		wants[i] = ropeRow(p, x, c.positions[i])
	}
	compute := computes(c.x)
	sources := watch(t, c.dst, c.x)
	err := s.b.RoPE(background(), c.dst.m, c.x.m, c.positions, p, kernels.Options{})
	if !s.do(t, err, computes(c.x, c.dst)) {
		return
	}
	sources(what)
	j := s.judge(t, what, kernels.OpRoPE, kernels.Problem{Terms: 2, Compute: compute, Out: c.dst.m.DType})
	j.matrix(c.dst, want(wants))
	j.done()
	s.ropeStructure(t, what, c, xs)
}

// ropePair returns the columns of the i-th pair within a head.
func ropePair(p kernels.RoPEParams, i int) (first, second int) {
	if p.Interleaved {
		return 2 * i, 2*i + 1
	}
	return i, i + len(p.InvFreq)
}

func ropeScale(p kernels.RoPEParams) float64 {
	if p.Scale == 0 {
		return 1
	}
	return p.Scale
}

func ropeRow(p kernels.RoPEParams, x []float64, position int32) []reference {
	out := make([]reference, len(x))
	for k, v := range x {
		out[k].want = exact(v)
	}
	factor := exact(ropeScale(p))
	for i, f := range p.InvFreq {
		sin, cos := sincos(float64(position) * f)
		sin, cos = sin.times(factor), cos.times(factor)
		for head := 0; head < len(x); head += p.HeadDim {
			a, b := ropePair(p, i)
			xa, xb := exact(x[head+a]), exact(x[head+b])
			gauge := math.Abs(factor.hi) * (math.Abs(xa.hi) + math.Abs(xb.hi))
			out[head+a] = reference{xa.times(cos).minus(xb.times(sin)), gauge}
			out[head+b] = reference{xb.times(cos).plus(xa.times(sin)), gauge}
		}
	}
	return out
}

// ropeStructure checks two properties that need no reference: a rotation keeps
// the norm of each pair, and what lies beyond the pairs is copied.
func (s *suite) ropeStructure(t *testing.T, what string, c ropeCase, xs [][]float64) {
	t.Helper()
	u := c.dst.m.DType.UnitRoundoff() + 16*computes(c.x).UnitRoundoff()
	tiny := 4 * subnormalStep(c.dst.m.DType)
	for i, x := range xs {
		for head := 0; head < len(x); head += c.p.HeadDim {
			for k := range c.p.InvFreq {
				a, b := ropePair(c.p, k)
				before := math.Abs(ropeScale(c.p)) * math.Hypot(x[head+a], x[head+b])
				after := math.Hypot(c.dst.at(i, head+a), c.dst.at(i, head+b))
				if !(math.Abs(after-before) <= 2*u*before+tiny) {
					t.Fatalf("%s: pair %d at (%d, %d) had norm %v and has %v, seed %d", what, k, i, head, before, after, s.seed)
				}
			}
			for k := 2 * len(c.p.InvFreq); k < c.p.HeadDim; k++ {
				if got, copied := c.dst.at(i, head+k), rounded(c.dst.m.DType, x[head+k]); !same(got, copied) {
					t.Fatalf("%s: element (%d, %d) beyond the pairs is %v, want %v, seed %d", what, i, head+k, got, copied, s.seed)
				}
			}
		}
	}
}
