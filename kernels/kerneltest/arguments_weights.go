package kerneltest

import "github.com/cambium-kernels/cambium/kernels"

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
	cases := k.operand("LowRank: w", k.y, func(m kernels.Matrix) error { return low(ms(m), ms(k.x), ms(k.out), one, k.none) })
	cases = append(cases, k.operand("LowRank: a", k.out, func(m kernels.Matrix) error { return low(ms(k.y), ms(k.x), ms(m), one, k.none) })...)
	cases = append(cases, k.operandCases("LowRank: b", func(m kernels.Matrix) error { return low(ms(y6), ms(m), ms(k.out), one, k.none) })...)
	cases = append(cases, k.operandCases("SVD: w", func(m kernels.Matrix) error { return svd(ms(u), ms(sv), ms(v), ms(m), kernels.SVDParams{}, k.none) })...)
	factor := func(u, s, v kernels.Matrix) error {
		return svd(ms(u), ms(s), ms(v), ms(k.x), kernels.SVDParams{}, k.none)
	}
	for _, f := range []struct {
		name string
		good kernels.Matrix
		run  func(m kernels.Matrix) error
	}{
		{"u", k.u, func(m kernels.Matrix) error { return factor(m, k.s, k.v) }},
		{"s", k.s, func(m kernels.Matrix) error { return factor(k.u, m, k.v) }},
		{"v", k.v, func(m kernels.Matrix) error { return factor(k.u, k.s, m) }},
	} {
		cases = append(cases, k.operand("SVD: "+f.name, f.good, f.run)...)
		for _, dt := range []kernels.DType{kernels.Float16, kernels.BFloat16} {
			half := first(kernels.OfBits(dt, make([]uint16, 12), f.good.Rows, f.good.Cols, f.good.Cols))
			cases = append(cases, illegal{"SVD: " + f.name + " of " + dt.String(), kernels.ErrUnsupported, func() error { return f.run(half) }})
		}
	}
	adapter := func(a, b kernels.Matrix) error {
		return apply(k.same, k.x, seg, ids, []kernels.Adapter{{A: a, B: b, Scale: 1}}, k.none)
	}
	cases = append(cases, k.operand("ApplyAdapters: A", k.low, func(m kernels.Matrix) error { return adapter(m, k.v) })...)
	cases = append(cases, k.operand("ApplyAdapters: B", k.v, func(m kernels.Matrix) error { return adapter(k.low, m) })...)
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
		illegal{"LowRank: w is a", kernels.ErrAlias, func() error { return low(ms(k.x), ms(k.sq), ms(k.x), one, k.none) }},
		illegal{"LowRank: one w twice", kernels.ErrAlias, func() error { return low(ms(y6, y6), ms(k.x, k.x), ms(k.out, k.out), []float32{1, 1}, k.none) }},
		illegal{"SVD: rank", kernels.ErrShape, func() error { return svd(ms(k.y), ms(sv), ms(k.out), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: s shape", kernels.ErrShape, func() error { return svd(ms(u), ms(k.row), ms(v), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: v shape", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(u), ms(k.x), kernels.SVDParams{}, k.none) }},
		illegal{"SVD: oversample", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(v), ms(k.x), kernels.SVDParams{Oversample: -1}, k.none) }},
		illegal{"SVD: iterations", kernels.ErrShape, func() error { return svd(ms(u), ms(sv), ms(v), ms(k.x), kernels.SVDParams{Iterations: -1}, k.none) }},
		illegal{"SVD: u overlaps v", kernels.ErrAlias, func() error {
			return svd(ms(u), ms(sv), ms(first(k.sq.View(1, 0, 4, 1))), ms(k.x), kernels.SVDParams{}, k.none)
		}},
		illegal{"SVD: v is w", kernels.ErrAlias, func() error {
			return svd(ms(k.u), ms(k.s), ms(first(k.x.View(0, 0, 4, 2))), ms(k.x), kernels.SVDParams{}, k.none)
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
		illegal{"ApplyAdapters: y is B", kernels.ErrAlias, func() error {
			return apply(first(k.sq.View(0, 0, 6, 4)), k.x, seg, ids, []kernels.Adapter{{A: k.low, B: first(k.sq.View(0, 1, 4, 2))}}, k.none)
		}},
		illegal{"ApplyAdapters: y is x", kernels.ErrAlias, func() error { return apply(k.x, k.x, seg, ids, adapters, k.none) }},
	)
}
