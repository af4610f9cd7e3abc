package kerneltest

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

func (k *bench) weightCases() []illegal {
	b, ctx := k.b, background()
	low := func(w, p, q []kernels.Matrix, sc []float32, o kernels.Options) error {
		return b.LowRank(ctx, w, p, q, sc, o)
	}
	one := []float32{1}
	// w is 6 x 5, b 6 x 4, a 4 x 5; u 6 x 1, s 1 x 1, v 4 x 1.
	u, _ := k.sq.View(0, 0, 6, 1)
	sv, _ := k.sq.View(0, 1, 1, 1)
	v, _ := k.sq.View(0, 2, 4, 1)
	svd := func(us, ss, vs, ws []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
		return b.SVD(ctx, us, ss, vs, ws, p, o)
	}
	y6, _ := k.sq.View(0, 0, 6, 5)
	adapters := []kernels.Adapter{{A: k.row, B: first(k.out.View(0, 0, 4, 1)), Scale: 1}} // 4 -> 4, rank 1
	apply := func(y, x kernels.Matrix, seg, ids []int32, set []kernels.Adapter, o kernels.Options) error {
		return b.ApplyAdapters(ctx, y, x, seg, ids, set, o)
	}
	seg, ids := []int32{0, 2, 6}, []int32{0, -1}
	cases := k.operandCases("LowRank: b", func(m kernels.Matrix) error { return low(ms(y6), ms(m), ms(k.out), one, k.none) })
	cases = append(cases, k.operandCases("SVD: w", func(m kernels.Matrix) error { return svd(ms(u), ms(sv), ms(v), ms(m), kernels.SVDParams{}, k.none) })...)
	cases = append(cases, k.operandCases("ApplyAdapters: x", func(m kernels.Matrix) error { return apply(k.same, m, seg, ids, adapters, k.none) })...)
	cases = append(cases, k.operandCases("ApplyAdapters: y", func(m kernels.Matrix) error { return apply(m, k.same, seg, ids, adapters, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpLowRank, func(o kernels.Options) error { return low(ms(y6), ms(k.x), ms(k.out), one, o) })...)
	cases = append(cases, k.optionCases(kernels.OpSVD, func(o kernels.Options) error { return svd(ms(u), ms(sv), ms(v), ms(k.x), kernels.SVDParams{}, o) })...)
	cases = append(cases, k.optionCases(kernels.OpApplyAdapters, func(o kernels.Options) error { return apply(k.same, k.x, seg, ids, adapters, o) })...)
	return append(cases,
		illegal{"LowRank: scales", kernels.ErrShape, func() error { return low(ms(y6), ms(k.x), ms(k.out), nil, k.none) }},
		illegal{"LowRank: lengths", kernels.ErrShape, func() error { return low(ms(y6), ms(k.x), nil, one, k.none) }},
		illegal{"LowRank: rank", kernels.ErrShape, func() error { return low(ms(y6), ms(k.sq), ms(k.out), one, k.none) }},
		illegal{"LowRank: w shape", kernels.ErrShape, func() error { return low(ms(k.same), ms(k.x), ms(k.out), one, k.none) }},
		illegal{"LowRank: w is b", kernels.ErrAlias, func() error { return low(ms(k.sq), ms(k.sq), ms(k.sq), one, k.none) }},
		illegal{"LowRank: one w twice", kernels.ErrAlias, func() error { return low(ms(y6, y6), ms(k.x, k.x), ms(k.out, k.out), []float32{1, 1}, k.none) }},
		illegal{"SVD: rank", kernels.ErrShape, func() error { return svd(ms(k.y), ms(sv), ms(k.out), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: s shape", kernels.ErrShape, func() error { return svd(ms(u), ms(k.row), ms(v), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: v shape", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(u), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: oversample", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(v), ms(k.x), kernels.SVDParams{Oversample: -1}, k.none) }},
		illegal{"SVD: iterations", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(v), ms(k.x), kernels.SVDParams{Iterations: -1}, k.none) }},
		illegal{"SVD: u overlaps v", kernels.ErrAlias, func() error {
			return svd(ms(u), ms(sv), ms(first(k.sq.View(1, 0, 4, 1))), ms(k.x), kernels.SVDParams{}, k.none)
		}},
		illegal{"SVD: lengths", kernels.ErrShape, func() error { return svd(nil, ms(sv), ms(v), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"ApplyAdapters: segments empty", kernels.ErrShape, func() error { return apply(k.same, k.x, nil, ids, adapters, k.none) }},
		illegal{"ApplyAdapters: segments end early", kernels.ErrShape, func() error { return apply(k.same, k.x, []int32{0, 2, 5}, ids, adapters, k.none) }},
		illegal{"ApplyAdapters: segments start late", kernels.ErrShape, func() error { return apply(k.same, k.x, []int32{1, 2, 6}, ids, adapters, k.none) }},
		illegal{"ApplyAdapters: segments fall", kernels.ErrShape, func() error {
			return apply(k.same, k.x, []int32{0, 5, 4, 6}, []int32{0, 0, 0}, adapters, k.none)
		}},
		illegal{"ApplyAdapters: ids", kernels.ErrShape, func() error { return apply(k.same, k.x, seg, ids[:1], adapters, k.none) }},
		illegal{"ApplyAdapters: id too large", kernels.ErrShape, func() error { return apply(k.same, k.x, seg, []int32{0, 1}, adapters, k.none) }},
		illegal{"ApplyAdapters: id too small", kernels.ErrShape, func() error { return apply(k.same, k.x, seg, []int32{0, -2}, adapters, k.none) }},
		illegal{"ApplyAdapters: A shape", kernels.ErrShape, func() error {
			return apply(k.same, k.x, seg, ids, []kernels.Adapter{{A: k.y, B: k.out}}, k.none)
		}},
		illegal{"ApplyAdapters: B shape", kernels.ErrShape, func() error {
			return apply(k.same, k.x, seg, ids, []kernels.Adapter{{A: k.row, B: k.row}}, k.none)
		}},
		illegal{"ApplyAdapters: y is x", kernels.ErrAlias, func() error { return apply(k.x, k.x, seg, ids, adapters, k.none) }},
	)
}

func first(m kernels.Matrix, err error) kernels.Matrix {
	if err != nil {
		return kernels.Matrix{Rows: -1}
	}
	return m
}

func (k *bench) tokenCases() []illegal {
	b, ctx := k.b, background()
	norm := func(d, x kernels.Matrix, p kernels.NormParams, o kernels.Options) error {
		return b.Norm(ctx, d, x, p, 1, 0, o)
	}
	pos := make([]int32, 6)
	rope := kernels.RoPEParams{HeadDim: 4, InvFreq: []float64{1, 0.1}}
	ids := []int32{0, 1, 2, 3, 4, 5}
	q, err := kernels.OfQuantized(kernels.Q8_0, make([]byte, 6*34), 6, 32)
	wide := first(kernels.Of(make([]float32, 6*32), 6, 32, 32))
	bad := q
	bad.Rows = 7
	type unary struct {
		op  kernels.Op
		run func(d, x kernels.Matrix, o kernels.Options) error
	}
	var cases []illegal
	for _, f := range []unary{
		{kernels.OpNorm, func(d, x kernels.Matrix, o kernels.Options) error { return norm(d, x, kernels.NormParams{}, o) }},
		{kernels.OpRoPE, func(d, x kernels.Matrix, o kernels.Options) error { return b.RoPE(ctx, d, x, pos, rope, o) }},
		{kernels.OpActivate, func(d, x kernels.Matrix, o kernels.Options) error { return b.Activate(ctx, d, x, kernels.SiLU, o) }},
		{kernels.OpGate, func(d, x kernels.Matrix, o kernels.Options) error { return b.Gate(ctx, d, x, x, kernels.SiLU, o) }},
		{kernels.OpAdd, func(d, x kernels.Matrix, o kernels.Options) error { return b.Add(ctx, d, x, 1, o) }},
		{kernels.OpGather, func(d, x kernels.Matrix, o kernels.Options) error { return b.Gather(ctx, d, x, ids, 1, 0, o) }},
		{kernels.OpRowNormalize, func(d, x kernels.Matrix, o kernels.Options) error { return b.RowNormalize(ctx, d, x, o) }},
	} {
		cases = append(cases, k.operandCases(f.op.String()+": x", func(m kernels.Matrix) error { return f.run(k.same, m, k.none) })...)
		cases = append(cases, k.operandCases(f.op.String()+": dst", func(m kernels.Matrix) error { return f.run(m, k.same, k.none) })...)
		cases = append(cases, k.optionCases(f.op, func(o kernels.Options) error { return f.run(k.same, k.x, o) })...)
		cases = append(cases, illegal{f.op.String() + ": part of the source", kernels.ErrAlias, func() error {
			return f.run(first(k.sq.View(0, 1, 6, 4)), first(k.sq.View(0, 0, 6, 4)), k.none)
		}})
	}
	return append(cases,
		illegal{"Norm: unknown", kernels.ErrUnsupported, func() error { return norm(k.same, k.x, kernels.NormParams{Kind: 2}, k.none) }},
		illegal{"Norm: groups", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Groups: 3}, k.none) }},
		illegal{"Norm: negative groups", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Groups: -1}, k.none) }},
		illegal{"Norm: weight", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Weight: k.out}, k.none) }},
		illegal{"Norm: bias with RMS", kernels.ErrUnsupported, func() error { return norm(k.same, k.x, kernels.NormParams{Bias: k.row}, k.none) }},
		illegal{"Norm: epsilon", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Epsilon: -1}, k.none) }},
		illegal{"Norm: epsilon NaN", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Epsilon: math.NaN()}, k.none) }},
		illegal{"Norm: offset", kernels.ErrShape, func() error { return norm(k.same, k.x, kernels.NormParams{Offset: math.Inf(1)}, k.none) }},
		illegal{"Norm: onto the weight", kernels.ErrAlias, func() error {
			return norm(k.row, first(k.x.View(0, 0, 1, 4)), kernels.NormParams{Weight: k.row}, k.none)
		}},
		illegal{"RoPE: positions", kernels.ErrShape, func() error { return b.RoPE(ctx, k.same, k.x, pos[:5], rope, k.none) }},
		illegal{"RoPE: head dimension", kernels.ErrShape, func() error { return b.RoPE(ctx, k.same, k.x, pos, kernels.RoPEParams{HeadDim: 3}, k.none) }},
		illegal{"RoPE: no head dimension", kernels.ErrShape, func() error { return b.RoPE(ctx, k.same, k.x, pos, kernels.RoPEParams{}, k.none) }},
		illegal{"RoPE: frequencies", kernels.ErrShape, func() error {
			return b.RoPE(ctx, k.same, k.x, pos, kernels.RoPEParams{HeadDim: 4, InvFreq: make([]float64, 3)}, k.none)
		}},
		illegal{"RoPE: scale", kernels.ErrShape, func() error {
			return b.RoPE(ctx, k.same, k.x, pos, kernels.RoPEParams{HeadDim: 4, Scale: math.NaN()}, k.none)
		}},
		illegal{"RoPE: frequency NaN", kernels.ErrShape, func() error {
			return b.RoPE(ctx, k.same, k.x, pos, kernels.RoPEParams{HeadDim: 4, InvFreq: []float64{math.NaN()}}, k.none)
		}},
		illegal{"Activate: unknown", kernels.ErrUnsupported, func() error { return b.Activate(ctx, k.same, k.x, 99, k.none) }},
		illegal{"Gate: unknown", kernels.ErrUnsupported, func() error { return b.Gate(ctx, k.same, k.x, k.x, 99, k.none) }},
		illegal{"Gate: up", kernels.ErrShape, func() error { return b.Gate(ctx, k.same, k.x, k.y, kernels.SiLU, k.none) }},
		illegal{"Gather: id too large", kernels.ErrShape, func() error { return b.Gather(ctx, k.row, k.x, []int32{6}, 1, 0, k.none) }},
		illegal{"Gather: id negative", kernels.ErrShape, func() error { return b.Gather(ctx, k.row, k.x, []int32{-1}, 1, 0, k.none) }},
		illegal{"Dequantize: src", kernels.ErrShape, func() error { return b.Dequantize(ctx, wide, bad, nil, k.none) }},
		illegal{"Dequantize: dst", kernels.ErrShape, func() error { return b.Dequantize(ctx, k.x, q, nil, k.none) }},
		illegal{"Dequantize: id", kernels.ErrShape, func() error { return b.Dequantize(ctx, wide, q, []int32{0, 1, 2, 3, 4, 6}, k.none) }},
		illegal{"Dequantize: unknown format", kernels.ErrUnsupported, func() error { return b.Dequantize(ctx, wide, kernels.Quantized{Type: 99}, nil, k.none) }},
		illegal{"Dequantize: the test's own weights", kernels.ErrShape, func() error {
			if err != nil {
				return err
			}
			return b.Dequantize(ctx, wide, q, []int32{}, k.none)
		}},
	)
}

func (k *bench) attentionCases() []illegal {
	b, ctx := k.b, background()
	good := kernels.AttentionParams{Heads: 2, KVHeads: 2, HeadDim: 2}
	run := func(d, q, kk, v kernels.Matrix, change func(p *kernels.AttentionParams), o kernels.Options) error {
		p := good
		if change != nil {
			change(&p)
		}
		return b.Attention(ctx, d, q, kk, v, p, o)
	}
	params := func(name string, change func(p *kernels.AttentionParams)) illegal {
		return illegal{"Attention: " + name, kernels.ErrShape, func() error { return run(k.same, k.x, k.x, k.x, change, k.none) }}
	}
	cases := k.operandCases("Attention: q", func(m kernels.Matrix) error { return run(k.same, m, k.x, k.x, nil, k.none) })
	cases = append(cases, k.operandCases("Attention: dst", func(m kernels.Matrix) error { return run(m, k.same, k.same, k.same, nil, k.none) })...)
	cases = append(cases, k.operandCases("Attention: v", func(m kernels.Matrix) error { return run(k.same, k.x, k.x, m, nil, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpAttention, func(o kernels.Options) error { return run(k.same, k.x, k.x, k.x, nil, o) })...)
	return append(cases,
		illegal{"Attention: dst is q", kernels.ErrAlias, func() error { return run(k.x, k.x, k.same, k.same, nil, k.none) }},
		params("no heads", func(p *kernels.AttentionParams) { p.Heads = 0 }),
		params("heads and key heads", func(p *kernels.AttentionParams) { p.Heads, p.KVHeads = 2, 3 }),
		params("negative head dimension", func(p *kernels.AttentionParams) { p.HeadDim = -2 }),
		params("huge heads", func(p *kernels.AttentionParams) { p.Heads, p.KVHeads = 1<<30, 1<<30 }),
		params("head dimension", func(p *kernels.AttentionParams) { p.HeadDim = 4 }),
		params("key heads", func(p *kernels.AttentionParams) { p.KVHeads = 1 }),
		params("queries end early", func(p *kernels.AttentionParams) { p.Queries = []int32{0, 5} }),
		params("queries empty", func(p *kernels.AttentionParams) { p.Queries = []int32{} }),
		params("keys fall", func(p *kernels.AttentionParams) { p.Queries, p.Keys = []int32{0, 3, 4, 6}, []int32{0, 4, 3, 6} }),
		params("keys and queries", func(p *kernels.AttentionParams) { p.Queries, p.Keys = []int32{0, 3, 6}, []int32{0, 6} }),
		params("causal with fewer keys", func(p *kernels.AttentionParams) {
			p.Causal, p.Queries, p.Keys = true, []int32{0, 4, 6}, []int32{0, 3, 6}
		}),
		params("mask", func(p *kernels.AttentionParams) { p.KeyMask = make([]bool, 5) }),
		params("scale", func(p *kernels.AttentionParams) { p.Scale = math.Inf(1) }),
		params("soft cap", func(p *kernels.AttentionParams) { p.SoftCap = -1 }),
		params("window", func(p *kernels.AttentionParams) { p.Window = -1 }),
		illegal{"Attention: queries and keys without bounds", kernels.ErrShape, func() error {
			return run(k.same, k.x, first(k.x.View(0, 0, 5, 4)), first(k.x.View(0, 0, 5, 4)), func(p *kernels.AttentionParams) { p.Queries = []int32{0, 6} }, k.none)
		}},
		illegal{"Attention: causal, fewer keys", kernels.ErrShape, func() error {
			return run(k.same, k.x, first(k.x.View(0, 0, 5, 4)), first(k.x.View(0, 0, 5, 4)), func(p *kernels.AttentionParams) { p.Causal = true }, k.none)
		}},
		illegal{"Attention: causal, fewer keys with bounds", kernels.ErrShape, func() error {
			return run(k.same, k.x, first(k.x.View(0, 0, 5, 4)), first(k.x.View(0, 0, 5, 4)), func(p *kernels.AttentionParams) { p.Causal, p.Keys = true, []int32{0, 5} }, k.none)
		}},
	)
}
