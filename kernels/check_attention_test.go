package kernels

import (
	"math"
	"strconv"
)

var attentionChecks = []checkCase{{
	op: OpAttention, names: []string{"dst", "q", "k", "v"},
	make: func(m *maker) arguments {
		return arguments{
			lists: [][]Matrix{{m.mat(Float32, 5, 12)}, {m.mat(Float16, 5, 12)}, {m.mat(Float16, 7, 6)}, {m.mat(Float32, 7, 6)}},
			attention: AttentionParams{
				Heads: 4, KVHeads: 2, HeadDim: 3, Causal: true, Queries: []int32{0, 2, 5}, Keys: []int32{0, 3, 7},
				KeyMask: make([]bool, 7), Window: 3, SoftCap: 30,
			},
		}
	},
	check: func(dev Device, a *arguments) error {
		return CheckAttention(dev, a.lists[0][0], a.lists[1][0], a.lists[2][0], a.lists[3][0], a.attention, a.o)
	},
	broken: []breakage{
		{"no bounds", attn(func(p *AttentionParams) { p.Queries, p.Keys = nil, nil }), nil, ""},
		{"one sequence of keys", attn(func(p *AttentionParams) { p.Queries, p.Keys = nil, []int32{0, 7} }), nil, ""},
		{"keys like queries", func(a *arguments) {
			a.attention.Keys, a.attention.KeyMask = nil, nil
			replace(2, 0, Float32, 5, 6)(a)
			replace(3, 0, Float32, 5, 6)(a)
		}, nil, ""},
		{"fewer keys, not causal", attn(func(p *AttentionParams) { p.Keys, p.Causal = []int32{0, 0, 7}, false }), nil, ""},
		{"no heads", attn(func(p *AttentionParams) { p.Heads = 0 }), ErrShape, "0 heads, 2 key heads, head dimension 3"},
		{"no key heads", attn(func(p *AttentionParams) { p.KVHeads = 0 }), ErrShape, "4 heads, 0 key heads, head dimension 3"},
		{"negative key heads", attn(func(p *AttentionParams) { p.KVHeads = -2 }), ErrShape, "4 heads, -2 key heads, head dimension 3"},
		{"no head dimension", attn(func(p *AttentionParams) { p.HeadDim = 0 }), ErrShape, "4 heads, 2 key heads, head dimension 0"},
		{"uneven groups", attn(func(p *AttentionParams) { p.KVHeads = 3 }), ErrShape, "4 heads, 3 key heads, head dimension 3"},
		{"overflow", attn(func(p *AttentionParams) { p.HeadDim = math.MaxInt }), ErrShape, "4 heads of " + strconv.Itoa(math.MaxInt)},
		{"heads", attn(func(p *AttentionParams) { p.Heads = 6 }), ErrShape, "q is 5 x 12, want 5 x 18"},
		{"k", replace(2, 0, Float16, 7, 5), ErrShape, "k is 7 x 5, want 7 x 6"},
		{"v", replace(3, 0, Float16, 6, 6), ErrShape, "v is 6 x 6, want 7 x 6"},
		{"dst", replace(0, 0, Float16, 5, 6), ErrShape, "dst is 5 x 6, want 5 x 12"},
		{"queries", attn(func(p *AttentionParams) { p.Queries[2] = 4 }), ErrShape, "queries runs from 0 to 4, want 0 to 5"},
		{"queries fall", attn(func(p *AttentionParams) { p.Queries[1] = 6 }), ErrShape, "queries[2] = 5 is below 6"},
		{"empty queries", attn(func(p *AttentionParams) { p.Queries = []int32{} }), ErrShape, "queries is empty, want 0, ..., 5"},
		{"keys", attn(func(p *AttentionParams) { p.Keys[0] = 1 }), ErrShape, "keys runs from 1 to 7, want 0 to 7"},
		{"more keys than queries", attn(func(p *AttentionParams) { p.Keys = []int32{0, 3, 5, 7} }), ErrShape, "4 bounds of keys, 3 of queries"},
		{"keys alone", attn(func(p *AttentionParams) { p.Queries = nil }), ErrShape, "3 bounds of keys, 0 of queries"},
		{"no keys", attn(func(p *AttentionParams) { p.Keys = nil }), ErrShape, "5 queries and 7 keys need bounds for the keys"},
		{"causal", attn(func(p *AttentionParams) { p.Keys[1] = 1 }), ErrShape, "causal sequence 0 has 2 queries and 1 keys"},
		{"causal, last sequence", attn(func(p *AttentionParams) { p.Keys[1] = 5 }), ErrShape, "causal sequence 1 has 3 queries and 2 keys"},
		{"causal without bounds", func(a *arguments) { fewKeys(a, nil) }, ErrShape, "causal, with 5 queries and 4 keys"},
		{"causal with one sequence of keys", func(a *arguments) { fewKeys(a, []int32{0, 4}) }, ErrShape, "causal, with 5 queries and 4 keys"},
		{"mask", attn(func(p *AttentionParams) { p.KeyMask = p.KeyMask[:5] }), ErrShape, "key mask of 5 for 7 keys"},
		{"scale", attn(func(p *AttentionParams) { p.Scale = nan }), ErrShape, "scale is NaN"},
		{"soft cap", attn(func(p *AttentionParams) { p.SoftCap = inf }), ErrShape, "soft cap is +Inf"},
		{"negative soft cap", attn(func(p *AttentionParams) { p.SoftCap = -2 }), ErrShape, "soft cap -2, window 3: negative"},
		{"window", attn(func(p *AttentionParams) { p.Window = -4 }), ErrShape, "soft cap 30, window -4: negative"},
		{"in place", func(a *arguments) { a.lists[0] = a.lists[1] }, ErrAlias, "dst overlaps q"},
		{"alias", alias(3, 0, 0, 0), ErrAlias, "dst overlaps v"},
		{"k is v", func(a *arguments) { a.lists[3] = a.lists[2] }, nil, ""},
	},
}}

func attn(edit func(*AttentionParams)) func(*arguments) {
	return func(a *arguments) { edit(&a.attention) }
}

// fewKeys leaves one sequence with fewer keys than queries.
func fewKeys(a *arguments, keys []int32) {
	a.attention.Queries, a.attention.Keys, a.attention.KeyMask = nil, keys, nil
	replace(2, 0, Float32, 4, 6)(a)
	replace(3, 0, Float32, 4, 6)(a)
}
