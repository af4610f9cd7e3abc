package kernels

import "math"

// CheckNorm checks the arguments of [LayerOps.Norm].
func CheckNorm(dev Device, dst, x Matrix, p NormParams, alpha, beta float64, o Options) error {
	c := newChecker(OpNorm, dev, o)
	pd, px, pw, pb := oneDst("dst", dst), one("x", x), one("weight", p.Weight), one("bias", p.Bias)
	c.that(p.Kind <= LayerNorm, ErrUnsupported, "norm %d is unknown", p.Kind)
	c.valid(pd, px, pw, pb)
	c.shape("x", x, dst.Rows, dst.Cols)
	groups := max(p.Groups, 1)
	c.that(p.Groups >= 0 && x.Cols%groups == 0, ErrShape, "%d groups in %d cols", p.Groups, x.Cols)
	if c.ok() && !p.Weight.Empty() {
		c.shape("weight", p.Weight, 1, x.Cols/groups)
	}
	if c.ok() && !p.Bias.Empty() {
		c.that(p.Kind == LayerNorm, ErrUnsupported, "bias with RMSNorm")
		c.shape("bias", p.Bias, 1, x.Cols/groups)
	}
	c.finite("offset", p.Offset)
	c.finite("epsilon", p.Epsilon)
	c.that(p.Epsilon >= 0, ErrShape, "epsilon %v is negative", p.Epsilon)
	c.disjoint(true, pd, px)
	c.disjoint(false, pd, pw, pb)
	return c.err
}

// CheckRoPE checks the arguments of [LayerOps.RoPE].
func CheckRoPE(dev Device, dst, x Matrix, positions []int32, p RoPEParams, o Options) error {
	c := newChecker(OpRoPE, dev, o)
	pd, px := oneDst("dst", dst), one("x", x)
	c.valid(pd, px)
	c.shape("x", x, dst.Rows, dst.Cols)
	c.that(len(positions) == x.Rows, ErrShape, "%d positions for %d rows", len(positions), x.Rows)
	c.that(p.HeadDim > 0 && x.Cols%max(p.HeadDim, 1) == 0, ErrShape, "head dimension %d in %d cols", p.HeadDim, x.Cols)
	c.that(len(p.InvFreq) <= p.HeadDim/2, ErrShape, "%d frequencies for a head dimension of %d", len(p.InvFreq), p.HeadDim)
	c.finite("scale", p.Scale)
	for i, f := range p.InvFreq {
		c.that(!math.IsNaN(f) && !math.IsInf(f, 0), ErrShape, "inverse frequency %d is %v", i, f)
	}
	c.disjoint(true, pd, px)
	return c.err
}

// CheckAttention checks the arguments of [LayerOps.Attention].
func CheckAttention(dev Device, dst, q, k, v Matrix, p AttentionParams, o Options) error {
	c := newChecker(OpAttention, dev, o)
	pd, pq, pk, pv := oneDst("dst", dst), one("q", q), one("k", k), one("v", v)
	c.valid(pd, pq, pk, pv)
	c.that(p.Heads > 0 && p.KVHeads > 0 && p.HeadDim > 0 && p.Heads%max(p.KVHeads, 1) == 0, ErrShape,
		"%d heads, %d key heads, head dimension %d", p.Heads, p.KVHeads, p.HeadDim)
	if c.ok() {
		const most = 1 << 30 // no product below overflows, on 32-bit machines either
		c.that(p.Heads <= most/p.HeadDim, ErrShape, "%d heads of %d", p.Heads, p.HeadDim)
	}
	if c.ok() {
		c.shape("q", q, q.Rows, p.Heads*p.HeadDim)
		c.shape("k", k, k.Rows, p.KVHeads*p.HeadDim)
	}
	c.shape("v", v, k.Rows, k.Cols)
	c.shape("dst", dst, q.Rows, q.Cols)
	c.sequences(p, q.Rows, k.Rows)
	c.that(p.KeyMask == nil || len(p.KeyMask) == k.Rows, ErrShape, "key mask of %d for %d keys", len(p.KeyMask), k.Rows)
	c.finite("scale", p.Scale)
	c.finite("soft cap", p.SoftCap)
	c.that(p.SoftCap >= 0 && p.Window >= 0, ErrShape, "soft cap %v, window %d: negative", p.SoftCap, p.Window)
	c.disjoint(false, pd, pq, pk, pv)
	return c.err
}

// sequences checks the bounds of queries and keys.
func (c *checker) sequences(p AttentionParams, queries, keys int) {
	qs, ks := p.Queries, p.Keys
	if qs != nil {
		c.offsets("queries", qs, queries)
	}
	switch {
	case ks != nil:
		c.offsets("keys", ks, keys)
		c.that(qs != nil && len(qs) == len(ks) || qs == nil && len(ks) == 2, ErrShape, "%d bounds of keys, %d of queries", len(ks), len(qs))
	case qs != nil:
		c.that(queries == keys, ErrShape, "%d queries and %d keys need bounds for the keys", queries, keys)
		return
	default:
		c.that(!p.Causal || keys >= queries, ErrShape, "causal, with %d queries and %d keys", queries, keys)
		return
	}
	for s := 1; c.ok() && p.Causal && qs != nil && s < len(qs); s++ {
		nq, nk := qs[s]-qs[s-1], ks[s]-ks[s-1]
		c.that(nk >= nq, ErrShape, "causal sequence %d has %d queries and %d keys", s-1, nq, nk)
	}
	c.that(!c.ok() || !p.Causal || qs != nil || keys >= queries, ErrShape, "causal, with %d queries and %d keys", queries, keys)
}

// CheckActivate checks the arguments of [LayerOps.Activate].
func CheckActivate(dev Device, dst, x Matrix, f Activation, o Options) error {
	c := newChecker(OpActivate, dev, o)
	pd, px := oneDst("dst", dst), one("x", x)
	c.that(f < activationCount, ErrUnsupported, "activation %d is unknown", f)
	c.valid(pd, px)
	c.shape("x", x, dst.Rows, dst.Cols)
	c.disjoint(true, pd, px)
	return c.err
}

// CheckGate checks the arguments of [LayerOps.Gate].
func CheckGate(dev Device, dst, gate, up Matrix, f Activation, o Options) error {
	c := newChecker(OpGate, dev, o)
	pd, pg, pu := oneDst("dst", dst), one("gate", gate), one("up", up)
	c.that(f < activationCount, ErrUnsupported, "activation %d is unknown", f)
	c.valid(pd, pg, pu)
	c.shape("gate", gate, dst.Rows, dst.Cols)
	c.shape("up", up, dst.Rows, dst.Cols)
	c.disjoint(true, pd, pg, pu)
	return c.err
}

// CheckAdd checks the arguments of [LayerOps.Add].
func CheckAdd(dev Device, dst, x Matrix, alpha float64, o Options) error {
	c := newChecker(OpAdd, dev, o)
	pd, px := oneDst("dst", dst), one("x", x)
	c.valid(pd, px)
	if x.Rows == 1 {
		c.shape("x", x, 1, dst.Cols)
	} else {
		c.shape("x", x, dst.Rows, dst.Cols)
	}
	c.disjoint(false, pd, px)
	return c.err
}

// CheckGather checks the arguments of [LayerOps.Gather].
func CheckGather(dev Device, dst, table Matrix, ids []int32, alpha, beta float64, o Options) error {
	c := newChecker(OpGather, dev, o)
	pd, pt := oneDst("dst", dst), one("table", table)
	c.valid(pd, pt)
	c.shape("dst", dst, len(ids), table.Cols)
	c.rows(ids, table.Rows)
	c.disjoint(false, pd, pt)
	return c.err
}

// rows checks a list of row indices.
func (c *checker) rows(ids []int32, n int) {
	for i, id := range ids {
		c.that(id >= 0 && int(id) < n, ErrShape, "ids[%d] is %d, with %d rows", i, id, n)
	}
}

// CheckDequantize checks the arguments of [LayerOps.Dequantize].
func CheckDequantize(dev Device, dst Matrix, src Quantized, ids []int32, o Options) error {
	c := newChecker(OpDequantize, dev, o)
	pd := oneDst("dst", dst)
	c.valid(pd)
	if err := src.Validate(); err != nil && c.ok() {
		c.that(false, err, "src")
	}
	c.placed("src", src.Device, src.Rows == 0 || src.Cols == 0)
	rows := src.Rows
	if ids != nil {
		rows = len(ids)
		c.rows(ids, src.Rows)
	}
	c.shape("dst", dst, rows, src.Cols)
	c.that(!c.ok() || !quantOverlap(dst, src), ErrAlias, "dst overlaps src")
	return c.err
}

// quantOverlap compares byte ranges: quantised rows have no gaps.
func quantOverlap(dst Matrix, src Quantized) bool {
	lo, hi := dst.byteRange()
	start := src.Address()
	return lo < hi && dst.Device == src.Device && lo < start+uintptr(src.Rows*src.RowBytes()) && start < hi
}

// CheckRowNormalize checks the arguments of [LayerOps.RowNormalize].
func CheckRowNormalize(dev Device, dst, x Matrix, o Options) error {
	c := newChecker(OpRowNormalize, dev, o)
	pd, px := oneDst("dst", dst), one("x", x)
	c.valid(pd, px)
	c.shape("x", x, dst.Rows, dst.Cols)
	c.disjoint(true, pd, px)
	return c.err
}
