package kerneltest

import (
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

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
	weights := func(w, bias kernels.Matrix) error {
		return norm(k.same, k.x, kernels.NormParams{Kind: kernels.LayerNorm, Weight: w, Bias: bias}, k.none)
	}
	cases = append(cases, k.operand("Norm: weight", k.row, func(m kernels.Matrix) error { return weights(m, k.bias) })...)
	cases = append(cases, k.operand("Norm: bias", k.bias, func(m kernels.Matrix) error { return weights(k.row, m) })...)
	cases = append(cases, k.operandCases("Gate: gate", func(m kernels.Matrix) error { return b.Gate(ctx, k.same, m, k.x, kernels.SiLU, k.none) })...)
	cases = append(cases, k.operandCases("Gate: up", func(m kernels.Matrix) error { return b.Gate(ctx, k.same, k.x, m, kernels.SiLU, k.none) })...)
	cases = append(cases, k.operand("Dequantize: dst", k.flat, func(m kernels.Matrix) error { return b.Dequantize(ctx, m, q, nil, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpDequantize, func(o kernels.Options) error { return b.Dequantize(ctx, k.flat, q, nil, o) })...)
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
		illegal{"Norm: onto the bias", kernels.ErrAlias, func() error {
			return norm(k.row, first(k.x.View(0, 0, 1, 4)), kernels.NormParams{Kind: kernels.LayerNorm, Bias: k.row}, k.none)
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
		illegal{"Dequantize: src", kernels.ErrShape, func() error { return b.Dequantize(ctx, k.flat, bad, nil, k.none) }},
		illegal{"Dequantize: dst", kernels.ErrShape, func() error { return b.Dequantize(ctx, k.x, q, nil, k.none) }},
		illegal{"Dequantize: id", kernels.ErrShape, func() error { return b.Dequantize(ctx, k.flat, q, []int32{0, 1, 2, 3, 4, 6}, k.none) }},
		illegal{"Dequantize: unknown format", kernels.ErrUnsupported, func() error { return b.Dequantize(ctx, k.flat, kernels.Quantized{Type: 99}, nil, k.none) }},
		illegal{"Dequantize: the test's own weights", kernels.ErrShape, func() error {
			if err != nil {
				return err
			}
			return b.Dequantize(ctx, k.flat, q, []int32{}, k.none)
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
	cases = append(cases, k.operandCases("Attention: k", func(m kernels.Matrix) error { return run(k.same, k.x, m, k.x, nil, k.none) })...)
	cases = append(cases, k.operandCases("Attention: v", func(m kernels.Matrix) error { return run(k.same, k.x, k.x, m, nil, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpAttention, func(o kernels.Options) error { return run(k.same, k.x, k.x, k.x, nil, o) })...)
	return append(cases,
		illegal{"Attention: dst is q", kernels.ErrAlias, func() error { return run(k.x, k.x, k.same, k.same, nil, k.none) }},
		illegal{"Attention: dst is k", kernels.ErrAlias, func() error { return run(k.x, k.same, k.x, k.same, nil, k.none) }},
		illegal{"Attention: dst is v", kernels.ErrAlias, func() error { return run(k.x, k.same, k.same, k.x, nil, k.none) }},
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
