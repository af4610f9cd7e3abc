package kerneltest

import (
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

func testApplyAdapters(s *suite, t *testing.T) {
	t.Run("shapes", func(t *testing.T) {
		list := s.costly()
		short := *s
		short.short = true // a Latin square: there is a fourth size, the rank
		for i, p := range short.triples(list) {
			tokens := int32(p[0])
			segments := []int32{0, tokens / 3, tokens / 3, tokens - tokens/3, tokens}
			rank := list[(i/len(list)+2*i)%len(list)]
			s.adapters(t, [3]kernels.DType{}, segments, []int32{0, 1, -1, 1}, []int{rank, 1}, p[1], p[2], layouts[i%len(layouts)])
		}
	})
	for i, y := range dtypes {
		for k, x := range dtypes {
			t.Run(fmt.Sprintf("%s %s", y, x), func(t *testing.T) {
				s.adapters(t, [3]kernels.DType{y, x, dtypes[(i+k)%len(dtypes)]}, []int32{0, 1, 1, 34, 100, 131}, []int32{2, 0, -1, 1, 2}, []int{1, 16, 105}, 101, 77, layouts[(i+k)%len(layouts)])
			})
		}
	}
	t.Run("one token", func(t *testing.T) {
		s.adapters(t, [3]kernels.DType{}, []int32{0, 1}, []int32{1}, []int{1, 16}, 300, 500, layouts[1])
	})
	t.Run("none", func(t *testing.T) {
		s.adapters(t, [3]kernels.DType{}, []int32{0, 9}, []int32{-1}, nil, 5, 7, layouts[2])
		s.adapters(t, [3]kernels.DType{}, []int32{0}, nil, []int{3}, 5, 7, layouts[2])
	})
}

// adapters applies a set of adapters of the given ranks; types are those of y, x
// and the adapters.
func (s *suite) adapters(t *testing.T, types [3]kernels.DType, segments, ids []int32, ranks []int, in, out int, l layout) {
	t.Helper()
	r := s.rng(t)
	tokens := int(segments[len(segments)-1])
	y, x := random(t, types[0], tokens, out, l, gaussian(r)), random(t, types[1], tokens, in, l, gaussian(r))
	var set []kernels.Adapter
	var as, bs []*guarded
	scales := []float32{0.5, -2, 0.125}
	for i, rank := range ranks {
		a, b := random(t, types[2], rank, in, layouts[i], gaussian(r)), random(t, types[2], out, rank, layouts[i+1], gaussian(r))
		as, bs = append(as, a), append(bs, b)
		set = append(set, kernels.Adapter{A: a.m, B: b.m, Scale: scales[i]})
	}
	old, bits := y.floats(), y.snapshot()
	c := computes(append(as, y, x)...)
	if !s.do(t, s.b.ApplyAdapters(background(), y.m, x.m, segments, ids, set, kernels.Options{}), c) {
		return
	}
	y.intact(t, "ApplyAdapters")
	rows := rowsOf(x)
	for seg, id := range ids {
		for tok := int(segments[seg]); tok < int(segments[seg+1]); tok++ {
			if id < 0 {
				for k := range out {
					if at := y.index(tok, k); y.bits(at) != bits[at] {
						t.Fatalf("token %d without an adapter was touched at %d, seed %d", tok, k, s.seed)
					}
				}
				continue
			}
			rank := as[id].m.Rows
			j := s.judge(t, fmt.Sprintf("ApplyAdapters %v %v token %d of %d, adapter %d of rank %d, %d -> %d", types, l, tok, tokens, id, rank, in, out), kernels.OpApplyAdapters, kernels.Problem{Terms: in, Rows: rank, Compute: c, Out: types[0]})
			low, gauges := make([]dd, rank), make([]float64, rank)
			for q, a := range rowsOf(as[id]) {
				low[q], gauges[q] = dot(c, rows[tok], a)
			}
			for k, b := range rowsOf(bs[id]) {
				var sum dd
				gauge := 0.0
				for q, v := range b {
					sum = sum.plus(exact(v).times(low[q]))
					gauge += math.Abs(v) * gauges[q]
				}
				j.check(y.at(tok, k), combine(float64(set[id].Scale), 1, sum, gauge, old[tok*out+k]), tok, k)
			}
			j.done()
		}
	}
}
