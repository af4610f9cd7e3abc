package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// testAttentionMasks crosses everything that hides keys with everything that
// shares them, and lets the hidden keys hold NaN.
func testAttentionMasks(s *suite, t *testing.T) {
	t.Run("cross", func(t *testing.T) {
		r := s.rng(t)
		for n := range 2 * 3 * 2 * 2 * 3 {
			if s.short && n%5 != 0 { // 5 and the factors of 72 have no common divisor: all values occur
				continue
			}
			heads := [][2]int{{8, 8}, {8, 2}, {4, 1}}[n/24]
			s.attentionPoisoned(t, r, kernels.AttentionParams{
				Heads: heads[0], KVHeads: heads[1], HeadDim: 6,
				Queries: []int32{0, 1, 1, 18, 51}, Keys: []int32{0, 1, 4, 44, 77},
				Causal: n%2 == 1, Window: []int{0, 1, 9}[n/2%3], SoftCap: []float64{0, 3}[n/6%2],
			}, n/12%2 == 1, 1)
		}
	})
	t.Run("long", func(t *testing.T) {
		r := s.rng(t)
		for i, headDim := range []int{64, 80, 256} {
			bounds := []int32{0, 65, 194}
			if i == 1 && !s.short {
				bounds = []int32{0, 300, 364}
			}
			s.attentionPoisoned(t, r, kernels.AttentionParams{
				Heads: 1, KVHeads: 1, HeadDim: headDim, Queries: bounds, Causal: i < 2, Window: []int{64, 0, 20}[i],
			}, i == 2, 1)
		}
	})
	t.Run("large scores", func(t *testing.T) { // about 10⁴: exp overflows unless the maximum is taken off
		r := s.rng(t)
		for _, limit := range []float64{0, 50} {
			s.attentionPoisoned(t, r, kernels.AttentionParams{Heads: 2, KVHeads: 1, HeadDim: 16, Scale: 1, SoftCap: limit, Causal: true, Queries: []int32{0, 40}}, false, 50)
		}
	})
	t.Run("no key", func(t *testing.T) { s.attentionBlind(t) })
	t.Run("no weight", func(t *testing.T) { s.attentionWeightless(t) })
}

// attentionPoisoned puts NaN into one key of each sequence and into all masked
// ones: queries that see it give NaN, all others must not notice.
func (s *suite) attentionPoisoned(t *testing.T, r *rand.Rand, p kernels.AttentionParams, masked bool, size float64) {
	t.Helper()
	what := fmt.Sprintf("Attention %+v, masked %v", p, masked)
	_, ks := sequencesOf(p, 0, 0)
	nq, nk := int(p.Queries[len(p.Queries)-1]), int(ks[len(ks)-1])
	draw := func() float64 { return size * r.NormFloat64() }
	q := placed(t, r, kernels.Float32, nq, p.Heads*p.HeadDim, draw)
	k := placed(t, r, kernels.Float32, nk, p.KVHeads*p.HeadDim, draw)
	v := placed(t, r, pick(r, []kernels.DType{kernels.Float32, kernels.Float16, kernels.BFloat16}), nk, p.KVHeads*p.HeadDim, gaussian(r))
	for i := 1; i < len(ks); i++ {
		if n := int(ks[i] - ks[i-1]); n > 1 {
			k.set(int(ks[i-1])+r.IntN(n), r.IntN(k.m.Cols), math.NaN())
			v.set(int(ks[i-1])+r.IntN(n), r.IntN(v.m.Cols), math.NaN())
		}
	}
	if masked {
		p.KeyMask = make([]bool, nk)
		for i := range p.KeyMask {
			p.KeyMask[i] = r.IntN(3) > 0
			for c := 0; c < k.m.Cols && !p.KeyMask[i]; c++ {
				k.set(i, c, pick(r, []float64{math.NaN(), math.Inf(1), math.Inf(-1)}))
				v.set(i, c, pick(r, []float64{math.NaN(), math.Inf(1)}))
			}
		}
	}
	dst := unset(t, r, kernels.Float32, nq, q.m.Cols)
	sources := watch(t, dst, q, k, v)
	if !s.do(t, s.b.Attention(background(), dst.m, q.m, k.m, v.m, p, kernels.Options{}), kernels.Float32) {
		return
	}
	sources(what)
	rows := attentionRows(p, q, k, v)
	numbers := 0
	j := s.judge(t, what, kernels.OpAttention, kernels.Problem{Terms: p.HeadDim, Rows: nk, Compute: kernels.Float32, Out: kernels.Float32})
	j.matrix(dst, func(i, c int) reference {
		if !math.IsNaN(rows[i][c].want.hi) {
			numbers++
		}
		return rows[i][c]
	})
	j.done()
	if numbers == 0 {
		t.Fatalf("%s: every expected value is NaN: the data prove nothing, seed %d", what, s.seed)
	}
}

// attentionBlind checks that a query which sees no key gives exact zeros, even
// if it holds NaN itself: by the mask, by the window, and by an empty sequence.
func (s *suite) attentionBlind(t *testing.T) {
	r := s.rng(t)
	for _, p := range []kernels.AttentionParams{
		{KeyMask: make([]bool, 30)},
		{KeyMask: make([]bool, 30), Causal: true, SoftCap: 5},
		{Queries: []int32{0, 25}, Keys: []int32{0, 0}},
		{Queries: []int32{0, 25}, Keys: []int32{0, 5}, Window: 3}, // the first query stands at −20
	} {
		p.Heads, p.KVHeads, p.HeadDim = 2, 1, 4
		nq, nk := 30, 30
		if p.Queries != nil {
			nq, nk = 25, int(p.Keys[1])
		}
		q := placed(t, r, kernels.Float32, nq, 8, gaussian(r))
		q.set(1, 3, math.NaN())
		k, v := placed(t, r, kernels.Float32, nk, 4, gaussian(r)), placed(t, r, kernels.Float32, nk, 4, gaussian(r))
		dst := unset(t, r, kernels.Float32, nq, 8)
		if !s.do(t, s.b.Attention(background(), dst.m, q.m, k.m, v.m, p, kernels.Options{}), kernels.Float32) {
			continue
		}
		dst.intact(t, "Attention of queries without a key")
		blind := nq
		if p.Window > 0 {
			blind = nq - nk - p.Window + 1
		}
		for i := range blind {
			for c := range 8 {
				if dst.at(i, c) != 0 {
					t.Fatalf("Attention %+v: query %d sees no key, but its column %d is %v, seed %d", p, i, c, dst.at(i, c), s.seed)
				}
			}
		}
		if blind < nq && dst.at(blind, 0) == 0 {
			t.Fatalf("Attention %+v: query %d sees a key, but is zero, seed %d", p, blind, s.seed)
		}
	}
}

// attentionWeightless checks keys whose score is −Inf: they count for nothing,
// however many of them come before the first key that counts; if there is no
// other the result is 0/0.
func (s *suite) attentionWeightless(t *testing.T) {
	r := s.rng(t)
	const nk = 400
	for _, counting := range []int{0, 1, 150, nk} { // keys with a finite score, the last ones
		q := placed(t, r, kernels.Float32, 3, 2, func() float64 { return 1 })
		k := placed(t, r, kernels.Float32, nk, 2, func() float64 { return 0.25 })
		v := placed(t, r, kernels.Float32, nk, 2, positive(r))
		means := [2]dd{}
		for i := range nk {
			if i < nk-counting {
				k.set(i, 0, math.Inf(-1))
				continue
			}
			for c := range means {
				means[c] = means[c].plus(exact(v.at(i, c)))
			}
		}
		dst := unset(t, r, kernels.Float32, 3, 2)
		p := kernels.AttentionParams{Heads: 1, KVHeads: 1, HeadDim: 2, Queries: []int32{0, 3}, Keys: []int32{0, nk}}
		if !s.do(t, s.b.Attention(background(), dst.m, q.m, k.m, v.m, p, kernels.Options{}), kernels.Float32) {
			continue
		}
		j := s.judge(t, fmt.Sprintf("Attention with %d of %d scores −Inf", nk-counting, nk), kernels.OpAttention,
			kernels.Problem{Terms: 2, Rows: nk, Compute: kernels.Float32, Out: kernels.Float32})
		j.matrix(dst, func(_, c int) reference {
			mean := means[c].over(exact(float64(counting)))
			return reference{mean, 2 * mean.hi}
		})
		j.done()
	}
}
