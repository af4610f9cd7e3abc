package kerneltest

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// call is one operation on data that it owns: what the cross-cutting groups run
// through.
type call struct {
	op   kernels.Op
	form string     // where an operation has two ways of going about it
	dst  []*guarded // what it writes
	src  []*guarded
	// results are Go values it writes.
	values func() []float64
	run    func(ctx context.Context, b kernels.Backend, o kernels.Options) error
	// silent operations take no Options: they report no progress.
	silent bool
}

// title names the operation and its form.
func (c *call) title() string {
	if c.form == "" {
		return c.op.String()
	}
	return c.op.String() + " " + c.form
}

// hash condenses every bit that the call wrote.
func (c *call) hash() uint64 {
	h := fnv.New64a()
	var buf [8]byte
	word := func(v uint64) {
		for i := range buf {
			buf[i] = byte(v >> (8 * i))
		}
		h.Write(buf[:])
	}
	for _, g := range c.dst {
		for i := range g.m.Rows {
			for k := range g.m.Cols {
				word(g.bits(g.index(i, k)))
			}
		}
	}
	if c.values != nil {
		for _, v := range c.values() {
			word(floatBits(v))
		}
	}
	return h.Sum64()
}

// builder makes the data of calls: equal values for equal seeds, wherever they
// lie in memory.
type builder struct {
	t      testing.TB
	r      *rand.Rand
	offset int
	pad    int
}

func (b *builder) mat(dt kernels.DType, rows, cols int) *guarded {
	return newGuarded(b.t, dt, rows, cols, cols+b.pad, b.offset).fill(b.r.NormFloat64)
}

func (b *builder) out(dt kernels.DType, rows, cols int) *guarded {
	return newGuarded(b.t, dt, rows, cols, cols+b.pad, b.offset)
}

// calls returns one call of every operation, with several tiles and several
// blocks of terms each.
func (b *builder) calls() []*call {
	f32, f16 := kernels.Float32, kernels.Float16
	return append(b.matrixCalls(f32, f16), b.layerCalls(f32)...)
}

func (b *builder) matrixCalls(f32, f16 kernels.DType) []*call {
	var list []*call
	add := func(c *call) { list = append(list, c) }

	x, g := b.mat(f32, 210, 300), b.out(f32, 210, 210)
	add(&call{op: kernels.OpCopy, dst: []*guarded{b.out(f32, 210, 300)}, src: []*guarded{x}, silent: true})
	list[0].run = func(ctx context.Context, be kernels.Backend, _ kernels.Options) error {
		return be.Copy(ctx, list[0].dst[0].m, x.m)
	}
	half := b.out(f16, 210, 300)
	add(&call{op: kernels.OpConvert, dst: []*guarded{half}, src: []*guarded{x}, silent: true, run: func(ctx context.Context, be kernels.Backend, _ kernels.Options) error {
		return be.Convert(ctx, half.m, x.m)
	}})
	add(&call{op: kernels.OpGram, dst: []*guarded{g}, src: []*guarded{x}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.Gram(ctx, []kernels.Matrix{g.m}, []kernels.Matrix{x.m}, 1, 0, kernels.Full, o)
	}})
	p, q := b.mat(f32, 210, 150), b.out(f32, 300, 150)
	add(&call{op: kernels.OpMatmul, dst: []*guarded{q}, src: []*guarded{x, p}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.Matmul(ctx, []kernels.Matrix{q.m}, []kernels.Matrix{x.m}, []kernels.Matrix{p.m}, kernels.TN, 0.5, 0, o)
	}})
	centered := b.out(f32, 210, 300)
	stats := []kernels.RowStats{{SquaredNorm: make([]float64, 210)}}
	add(&call{op: kernels.OpCenter, dst: []*guarded{centered}, src: []*guarded{x}, values: func() []float64 { return stats[0].SquaredNorm }, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.Center(ctx, []kernels.Matrix{centered.m}, []kernels.Matrix{x.m}, stats, o)
	}})
	hs := make([]kernels.HSICValue, 1)
	add(&call{op: kernels.OpHSIC, src: []*guarded{x, p}, values: func() []float64 { return []float64{hs[0].XY, hs[0].XX, hs[0].YY} }, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.HSIC(ctx, hs, []kernels.Matrix{x.m}, []kernels.Matrix{p.m}, kernels.Unbiased, o)
	}})
	tall, thin := b.mat(f32, 400, 100), b.mat(f32, 400, 64) // cheaper by features than by rows
	fs := make([]kernels.HSICValue, 1)
	add(&call{op: kernels.OpHSIC, form: "features", src: []*guarded{tall, thin}, values: func() []float64 { return []float64{fs[0].XY, fs[0].XX, fs[0].YY} }, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.HSIC(ctx, fs, []kernels.Matrix{tall.m}, []kernels.Matrix{thin.m}, kernels.Unbiased, o)
	}})
	table := kernels.HSICTable{XY: make([]float64, 4)}
	add(&call{op: kernels.OpHSICMatrix, src: []*guarded{x, p}, values: func() []float64 { return table.XY }, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.HSICMatrix(ctx, table, []kernels.Matrix{x.m, p.m}, nil, kernels.Kernel{Kind: kernels.Gaussian}, kernels.Biased, o)
	}})
	k := b.out(f32, 210, 210)
	add(&call{op: kernels.OpRBF, dst: []*guarded{k}, src: []*guarded{x}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.RBF(ctx, []kernels.Matrix{k.m}, []kernels.Matrix{x.m}, kernels.Bandwidth{}, nil, o)
	}})
	long, other := b.mat(f32, 500, 300), b.mat(f32, 500, 300)
	rot := make([]kernels.RotationValue, 1)
	add(&call{op: kernels.OpRotation, src: []*guarded{long, other}, values: func() []float64 { return []float64{rot[0].Dot, rot[0].Norm0, rot[0].NormT, rot[0].Distance} }, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.Rotation(ctx, rot, []kernels.Matrix{long.m}, []kernels.Matrix{other.m}, o)
	}})
	w, lb, la := b.mat(f16, 210, 300), b.mat(f32, 210, 9), b.mat(f32, 9, 300)
	add(&call{op: kernels.OpLowRank, dst: []*guarded{w}, src: []*guarded{lb, la}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.LowRank(ctx, []kernels.Matrix{w.m}, []kernels.Matrix{lb.m}, []kernels.Matrix{la.m}, []float32{0.5}, o)
	}})
	y, ax, aa, ab := b.mat(f32, 210, 120), b.mat(f32, 210, 300), b.mat(f32, 8, 300), b.mat(f32, 120, 8)
	add(&call{op: kernels.OpApplyAdapters, dst: []*guarded{y}, src: []*guarded{ax, aa, ab}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.ApplyAdapters(ctx, y.m, ax.m, []int32{0, 90, 210}, []int32{0, 0}, []kernels.Adapter{{A: aa.m, B: ab.m, Scale: 2}}, o)
	}})
	u, sv, v := b.out(f32, 210, 4), b.out(f32, 1, 4), b.out(f32, 300, 4)
	add(&call{op: kernels.OpSVD, dst: []*guarded{u, sv, v}, src: []*guarded{x}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
		return be.SVD(ctx, []kernels.Matrix{u.m}, []kernels.Matrix{sv.m}, []kernels.Matrix{v.m}, []kernels.Matrix{x.m}, kernels.SVDParams{Oversample: 4, Iterations: 1, Seed: 5}, o)
	}})
	return list
}

// layerCalls returns the calls of LayerOps.
func (b *builder) layerCalls(f32 kernels.DType) []*call {
	const rows, cols = 400, 288 // several strips
	x, up := b.mat(f32, rows, cols), b.mat(f32, rows, cols)
	weight, bias := b.mat(f32, 1, cols), b.mat(f32, 1, cols)
	unary := func(op kernels.Op, run func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error, src ...*guarded) *call {
		dst := b.out(f32, rows, cols)
		return &call{op: op, dst: []*guarded{dst}, src: src, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
			return run(ctx, be, dst.m, o)
		}}
	}
	ids, positions := make([]int32, rows), make([]int32, rows)
	for i := range ids {
		ids[i], positions[i] = int32(b.r.IntN(rows)), int32(i)
	}
	sum := b.mat(f32, rows, cols)
	quant := make([]byte, rows*cols/32*18)
	for i := range quant {
		quant[i] = byte(b.r.Uint32()) & 0x3f
	}
	q40, err := kernels.OfQuantized(kernels.Q4_0, quant, rows, cols)
	if err != nil {
		b.t.Fatal(err)
	}
	return []*call{
		unary(kernels.OpNorm, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Norm(ctx, dst, x.m, kernels.NormParams{Kind: kernels.LayerNorm, Weight: weight.m, Bias: bias.m, Epsilon: 1e-5}, 1, 0, o)
		}, x, weight, bias),
		unary(kernels.OpRoPE, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.RoPE(ctx, dst, x.m, positions, kernels.RoPEParams{HeadDim: 32, InvFreq: []float64{1, 0.1, 0.01}}, o)
		}, x),
		unary(kernels.OpAttention, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Attention(ctx, dst, x.m, up.m, x.m, kernels.AttentionParams{Heads: 9, KVHeads: 9, HeadDim: 32, Causal: true}, o)
		}, x, up),
		unary(kernels.OpActivate, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Activate(ctx, dst, x.m, kernels.GELU, o)
		}, x),
		unary(kernels.OpGate, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Gate(ctx, dst, x.m, up.m, kernels.SiLU, o)
		}, x, up),
		{op: kernels.OpAdd, dst: []*guarded{sum}, src: []*guarded{x}, run: func(ctx context.Context, be kernels.Backend, o kernels.Options) error {
			return be.Add(ctx, sum.m, x.m, 0.5, o)
		}},
		unary(kernels.OpGather, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Gather(ctx, dst, x.m, ids, 2, 0, o)
		}, x),
		unary(kernels.OpDequantize, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.Dequantize(ctx, dst, q40, nil, o)
		}),
		unary(kernels.OpRowNormalize, func(ctx context.Context, be kernels.Backend, dst kernels.Matrix, o kernels.Options) error {
			return be.RowNormalize(ctx, dst, x.m, o)
		}, x),
	}
}
