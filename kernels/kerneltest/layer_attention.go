package kerneltest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testAttention(s *suite, t *testing.T) {
	lengths := [][]int32{{0, 1}, {0, 17, 17, 82}, {0, 64, 65, 194}, {0, 129}}
	for li, qs := range lengths {
		for hi, h := range [][3]int{{4, 4, 8}, {4, 2, 5}, {3, 1, 16}} {
			t.Run(fmt.Sprintf("lengths %v heads %v", qs, h), func(t *testing.T) {
				r := s.rng(t)
				for k := range 8 {
					p := kernels.AttentionParams{
						Heads: h[0], KVHeads: h[1], HeadDim: h[2], Queries: qs,
						Causal: k%2 == 1, Window: []int{0, 0, 5, 100}[(k/2+hi)%4], SoftCap: []float64{0, 2}[k/4],
						Scale: []float64{0, 0.3}[k%2],
					}
					s.attention(t, r, p, dtypes[(k+li)%4], dtypes[(k+li+k/4)%4], k%3 == 0, 1)
				}
			})
		}
	}
	t.Run("shapes", func(t *testing.T) {
		r := s.rng(t)
		short := *s
		short.short = true // a Latin square of queries, keys and head dimensions
		for i, c := range short.triples(s.costly()) {
			p := kernels.AttentionParams{Heads: 2, KVHeads: 1 + i%2, HeadDim: max(c[2], 1), Queries: []int32{0, int32(c[0])}, Keys: []int32{0, int32(c[1])}}
			p.Causal = c[1] >= c[0] && i%3 == 0
			if c[2] > 100 { // the reference takes long
				p.Heads, p.KVHeads = 1, 1
			}
			s.attention(t, r, p, kernels.Float32, kernels.Float32, false, 1)
		}
	})
	t.Run("fewer queries than keys", func(t *testing.T) {
		r := s.rng(t)
		p := kernels.AttentionParams{Heads: 2, KVHeads: 1, HeadDim: 8, Queries: []int32{0, 3, 3, 60}, Keys: []int32{0, 110, 117, 250}}
		for _, causal := range []bool{false, true} {
			p.Causal = causal
			s.attention(t, r, p, kernels.Float32, kernels.Float32, true, 1)
		}
		p.Window = 7
		s.attention(t, r, p, kernels.Float32, kernels.Float32, false, 1)
	})
	t.Run("one sequence", func(t *testing.T) {
		r := s.rng(t)
		s.attention(t, r, kernels.AttentionParams{Heads: 1, KVHeads: 1, HeadDim: 4, Keys: []int32{0, 100}, Queries: []int32{0, 50}}, kernels.Float32, kernels.Float32, false, 1)
		s.attention(t, r, kernels.AttentionParams{Heads: 1, KVHeads: 1, HeadDim: 4, Causal: true}, kernels.Float32, kernels.Float32, false, 1)
	})
	t.Run("large scores", func(t *testing.T) {
		s.attention(t, s.rng(t), kernels.AttentionParams{Heads: 2, KVHeads: 2, HeadDim: 8, Scale: 1, Causal: true}, kernels.Float64, kernels.Float64, false, 30)
	})
	t.Run("hidden", func(t *testing.T) { s.attentionHidden(t) })
}

// sequencesOf returns the bounds as the operation reads them.
func sequencesOf(p kernels.AttentionParams, queries, keys int) (qs, ks []int32) {
	qs, ks = p.Queries, p.Keys
	if qs == nil {
		qs = []int32{0, int32(queries)}
	}
	if ks == nil {
		if ks = p.Queries; ks == nil {
			ks = []int32{0, int32(keys)}
		}
	}
	return qs, ks
}

func (s *suite) attention(t *testing.T, r *rand.Rand, p kernels.AttentionParams, dt, out kernels.DType, masked bool, size float64) {
	t.Helper()
	nq, nk := 70, 70
	if p.Queries != nil {
		nq = int(p.Queries[len(p.Queries)-1])
		nk = nq
	}
	if p.Keys != nil {
		nk = int(p.Keys[len(p.Keys)-1])
	}
	wide := func() float64 { return size * r.NormFloat64() }
	q := placed(t, r, dt, nq, p.Heads*p.HeadDim, wide)
	k, v := placed(t, r, dt, nk, p.KVHeads*p.HeadDim, wide), placed(t, r, dt, nk, p.KVHeads*p.HeadDim, gaussian(r))
	if masked {
		p.KeyMask = make([]bool, nk)
		for i := range p.KeyMask {
			p.KeyMask[i] = r.IntN(3) > 0
		}
	}
	dst := unset(t, r, out, nq, p.Heads*p.HeadDim)
	c := computes(q)
	if !s.do(t, s.b.Attention(background(), dst.m, q.m, k.m, v.m, p, kernels.Options{}), c) {
		return
	}
	p2 := p
	p2.KeyMask = nil
	what := fmt.Sprintf("Attention %s->%s %d queries %d keys masked %v %+v", dt, out, nq, nk, masked, p2)
	j := s.judge(t, what, kernels.OpAttention, kernels.Problem{Terms: p.HeadDim, Rows: nk, Compute: c, Out: out})
	rows := attentionRows(p, q, k, v)
	j.matrix(dst, func(i, c int) reference { return rows[i][c] })
	if nq > 1 && nk > 0 { // a single query may see nothing
		j.done()
	}
}

// attentionRows evaluates softmax(cap(scale·q·kᵀ) + mask)·v as defined.
func attentionRows(p kernels.AttentionParams, q, k, v *guarded) [][]reference {
	if p.Scale == 0 {
		p.Scale = 1 / math.Sqrt(float64(p.HeadDim))
	}
	qr, kr, vr := rowsOf(q), rowsOf(k), rowsOf(v)
	out := make([][]reference, len(qr))
	for i := range out {
		out[i] = make([]reference, q.m.Cols)
	}
	qs, ks := sequencesOf(p, q.m.Rows, k.m.Rows)
	for s := range len(qs) - 1 {
		for i := int(qs[s]); i < int(qs[s+1]); i++ {
			for h := range p.Heads {
				at := i - int(qs[s]) + int(ks[s+1]-ks[s]) - int(qs[s+1]-qs[s])
				attentionRow(p, computes(q, k, v), out[i][h*p.HeadDim:(h+1)*p.HeadDim], qr[i][h*p.HeadDim:(h+1)*p.HeadDim], kr, vr, int(ks[s]), int(ks[s+1]), h*p.KVHeads/p.Heads*p.HeadDim, at)
			}
		}
	}
	return out
}

// attentionRow evaluates one query of one head, whose key position is at.
func attentionRow(p kernels.AttentionParams, compute kernels.DType, out []reference, q []float64, k, v [][]float64, from, to, col, at int) {
	var scores []dd
	var rows []int
	peak, magnitude := math.Inf(-1), 0.0
	for r := from; r < to; r++ {
		pos := r - from
		hidden := p.KeyMask != nil && !p.KeyMask[r] || p.Causal && pos > at ||
			p.Window > 0 && (pos <= at-p.Window || !p.Causal && pos >= at+p.Window)
		if hidden {
			continue
		}
		score, gauge := dot(compute, q, k[r][col:col+p.HeadDim])
		score = score.times(exact(p.Scale))
		if p.SoftCap > 0 {
			score = score.over(exact(p.SoftCap)).tanh().times(exact(p.SoftCap))
		}
		scores, rows = append(scores, score), append(rows, r)
		peak = math.Max(peak, score.hi)
		magnitude = math.Max(magnitude, p.Scale*gauge)
	}
	var total dd
	weights := make([]dd, len(scores))
	for i, score := range scores {
		weights[i] = score.minus(exact(peak)).exp()
		total = total.plus(weights[i])
	}
	for c := range out {
		var wide dd
		var sum compensated
		gauge := 0.0
		for i, r := range rows {
			if compute == kernels.Float64 {
				wide = wide.plus(weights[i].times(exact(v[r][col+c])))
			}
			w := weights[i].hi * v[r][col+c]
			sum.add(w)
			gauge += math.Abs(w)
		}
		if compute != kernels.Float64 {
			wide = sum.dd()
		}
		if len(rows) > 0 {
			out[c] = reference{wide.over(total), gauge / total.hi * (1 + 2*magnitude)}
		}
	}
}

// attentionHidden checks that a hidden key does not matter, whatever it holds,
// and that a query which sees none gives zeros.
func (s *suite) attentionHidden(t *testing.T) {
	r := s.rng(t)
	p := kernels.AttentionParams{Heads: 2, KVHeads: 2, HeadDim: 4, Causal: true, KeyMask: make([]bool, 60)}
	for i := range p.KeyMask {
		p.KeyMask[i] = i >= 2 && i%4 != 0
	}
	q, k, v := placed(t, r, kernels.Float32, 60, 8, gaussian(r)), placed(t, r, kernels.Float32, 60, 8, gaussian(r)), placed(t, r, kernels.Float32, 60, 8, gaussian(r))
	first := newGuarded(t, kernels.Float32, 60, 8, 8, 0)
	s.must(t, s.b.Attention(background(), first.m, q.m, k.m, v.m, p, kernels.Options{}), kernels.Float32)
	for i := range 60 {
		for c := range 8 {
			if !p.KeyMask[i] {
				k.set(i, c, math.NaN())
				v.set(i, c, math.Inf(1))
			}
		}
	}
	second := newGuarded(t, kernels.Float32, 60, 8, 8, 0)
	s.must(t, s.b.Attention(background(), second.m, q.m, k.m, v.m, p, kernels.Options{}), kernels.Float32)
	second.unchanged(t, "attention with other hidden keys", first.snapshot())
	for c := range 8 {
		if first.at(0, c) != 0 || first.at(1, c) != 0 || first.at(2, c) == 0 {
			t.Fatalf("queries without a key: %v, %v; with one: %v", first.at(0, c), first.at(1, c), first.at(2, c))
		}
	}
}
