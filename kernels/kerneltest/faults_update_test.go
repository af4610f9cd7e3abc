package kerneltest_test

import (
	"context"
	"math"

	"github.com/cambium-kernels/cambium/kernels"
)

func (c *careless) Rotation(ctx context.Context, dst []kernels.RotationValue, w0, wt []kernels.Matrix, o kernels.Options) error {
	c.equal("rotation", w0)
	switch {
	case c.trusts("Rotation w0", w0...):
		return nil
	case c.fault == "clears: Rotation":
		clear(dst)
	}
	err := c.Backend.Rotation(ctx, dst, w0, wt, o)
	if err != nil {
		return err
	}
	for i := range dst {
		v := &dst[i]
		c.number("Rotation", &v.Dot, &v.Norm0, &v.NormT, &v.Distance)
		switch {
		case c.fault == "rotation by differences" && w0[i].DType == kernels.Float64 && wt[i].DType == kernels.Float64:
			p, q := doubles(w0[i]), doubles(wt[i])
			square := 0.0
			for r := range w0[i].Rows {
				for k := range w0[i].Cols {
					d := q[r*wt[i].Stride+k] - p[r*w0[i].Stride+k]
					square += d * d
				}
			}
			gap := v.NormT - v.Norm0
			v.Distance = (square - gap*gap) / (2 * v.Norm0 * v.NormT)
		case c.fault == "rotation of tiny tensors" && v.Norm0 < 1e-160:
			v.Distance = math.NaN()
		}
	}
	return nil
}

func (c *careless) LowRank(ctx context.Context, w, b, a []kernels.Matrix, scale []float32, o kernels.Options) error {
	c.one("lowrank", len(w))
	switch {
	case c.trusts("LowRank w", w...), c.trusts("LowRank a", a...):
		return nil
	case c.fault == "first scale for all" && len(scale) > 1:
		same := make([]float32, len(scale))
		for i := range same {
			same[i] = scale[0]
		}
		scale = same
	case c.fault == "wide strides" && len(w) == 1 && w[0].Stride > w[0].Cols+13:
		return nil
	case c.fault == "huge sides" && len(w) == 1 && w[0].Rows > math.MaxInt>>14:
		panic("a loop over nothing")
	}
	err := c.Backend.LowRank(ctx, w, b, a, scale, o)
	for _, m := range w {
		if err == nil {
			c.numbers("LowRank", m)
		}
	}
	return err
}

func (c *careless) ApplyAdapters(ctx context.Context, y, x kernels.Matrix, segments, ids []int32, set []kernels.Adapter, o kernels.Options) error {
	for _, ad := range set {
		if c.trusts("adapter A", ad.A) || c.trusts("adapter B", ad.B) {
			return nil
		}
	}
	err := c.Backend.ApplyAdapters(ctx, y, x, segments, ids, set, o)
	if err == nil {
		c.numbers("ApplyAdapters", y)
	}
	return err
}

func (c *careless) SVD(ctx context.Context, u, s, v, w []kernels.Matrix, p kernels.SVDParams, o kernels.Options) error {
	c.one("svd", len(w))
	if c.trusts("SVD u", u...) || c.trusts("SVD s", s...) || c.trusts("SVD v", v...) {
		return nil
	}
	if c.fault == "first tensor for all" && len(w) > 1 && w[1].Rows == w[0].Rows {
		w = []kernels.Matrix{w[0], w[0]}
	}
	err := c.Backend.SVD(ctx, u, s, v, w, p, o)
	if err != nil {
		return err
	}
	for i := range w {
		first := doubles(s[i])
		switch {
		case c.fault == "first tensor for all" && i > 0 && len(floats(s[i])) > 0:
			floats(s[i])[0] = floats(s[0])[0]
		case c.fault == "svd of tiny matrices" && len(first) > 0 && first[0] < 1e-160:
			data, err := kernels.Floats[float64](s[i])
			if err != nil {
				return err
			}
			clear(data)
		}
	}
	return nil
}

func (c *careless) Norm(ctx context.Context, dst, x kernels.Matrix, p kernels.NormParams, alpha, beta float64, o kernels.Options) error {
	if c.trusts("Norm weight", p.Weight) || c.trusts("Norm bias", p.Bias) {
		return nil
	}
	before := doubles(x)
	err := c.Backend.Norm(ctx, dst, x, p, alpha, beta, o)
	out, wide := kernels.Floats[float64](dst)
	if err != nil || c.fault != "row mean in one chain" || wide != nil || before == nil || p.Kind != kernels.LayerNorm || x.Cols < 4000 {
		return err
	}
	for i := range x.Rows {
		row, sum, squares := before[i*x.Stride:i*x.Stride+x.Cols], 0.0, 0.0
		for _, v := range row {
			sum += v - row[0]
		}
		mean := row[0] + sum/float64(x.Cols)
		for _, v := range row {
			squares += (v - mean) * (v - mean)
		}
		for k, v := range row {
			out[i*dst.Stride+k] = (v - mean) / math.Sqrt(squares/float64(x.Cols)+p.Epsilon)
		}
	}
	return nil
}

func (c *careless) Attention(ctx context.Context, dst, q, k, v kernels.Matrix, p kernels.AttentionParams, o kernels.Options) error {
	if c.trusts("Attention k", k) {
		return nil
	}
	return c.Backend.Attention(ctx, dst, q, k, v, p, o)
}

func (c *careless) Gate(ctx context.Context, dst, gate, up kernels.Matrix, f kernels.Activation, o kernels.Options) error {
	if c.trusts("Gate up", up) {
		return nil
	}
	return c.Backend.Gate(ctx, dst, gate, up, f, o)
}

func (c *careless) Add(ctx context.Context, dst, x kernels.Matrix, alpha float64, o kernels.Options) error {
	err := c.Backend.Add(ctx, dst, x, alpha, o)
	if err == nil {
		c.numbers("Add", dst)
	}
	return err
}
