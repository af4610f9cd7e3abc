package kerneltest

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/cambium-kernels/cambium/kernels"
)

// illegal is one call with one wrong argument.
type illegal struct {
	name string
	want error
	run  func() error
}

// bench is the data of the illegal calls: legal operands that a case replaces
// one at a time.
type bench struct {
	b       kernels.Backend
	all     []*guarded
	results [][]*float64   // what a call would write to Go slices, all unsetResult
	x, y    kernels.Matrix // 6 x 4, 6 x 5
	sq, out kernels.Matrix // 6 x 6, 4 x 5
	row     kernels.Matrix // 1 x 4
	same    kernels.Matrix // 6 x 4, a destination
	wide    kernels.Matrix // 6 x 4, float64
	wideSq  kernels.Matrix // 6 x 6, float64
	packed  kernels.Matrix // 1 x 21
	bias    kernels.Matrix // 1 x 4
	u, s, v kernels.Matrix // 6 x 2, 1 x 2, 4 x 2
	low     kernels.Matrix // 2 x 4
	flat    kernels.Matrix // 6 x 32
	none    kernels.Options
}

func newBench(t *testing.T, s *suite) *bench {
	r := s.rng(t)
	k := &bench{b: s.b}
	mat := func(dt kernels.DType, rows, cols int) kernels.Matrix {
		g := random(t, dt, rows, cols, layouts[1], gaussian(r))
		k.all = append(k.all, g)
		return g.m
	}
	f := kernels.Float32
	k.x, k.y, k.sq, k.out, k.row, k.same, k.wide = mat(f, 6, 4), mat(f, 6, 5), mat(f, 6, 6), mat(f, 4, 5), mat(f, 1, 4), mat(f, 6, 4), mat(kernels.Float64, 6, 4)
	k.wideSq, k.packed, k.bias = mat(kernels.Float64, 6, 6), mat(f, 1, 21), mat(f, 1, 4)
	k.u, k.s, k.v, k.low, k.flat = mat(f, 6, 2), mat(f, 1, 2), mat(f, 4, 2), mat(f, 2, 4), mat(f, 6, 32)
	return k
}

// unsetResult fills the Go slices that a refused call must not write.
var unsetResult = math.Float64frombits(sentinel64)

// watch remembers results of a call.
func (k *bench) watch(list ...*float64) {
	for _, v := range list {
		*v = unsetResult
	}
	k.results = append(k.results, list)
}

// floats returns a watched result of n values.
func (k *bench) floats(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		k.watch(&out[i])
	}
	return out
}

// xy returns a watched table with n pairs.
func (k *bench) xy(n int) kernels.HSICTable { return kernels.HSICTable{XY: k.floats(n)} }

func (k *bench) values(n int) []kernels.HSICValue {
	out := make([]kernels.HSICValue, n)
	for i := range out {
		k.watch(&out[i].XY, &out[i].XX, &out[i].YY)
	}
	return out
}

func (k *bench) rotations(n int) []kernels.RotationValue {
	out := make([]kernels.RotationValue, n)
	for i := range out {
		k.watch(&out[i].Dot, &out[i].Norm0, &out[i].NormT, &out[i].Distance)
	}
	return out
}

// untouched fails the test if a call wrote a result.
func (k *bench) untouched(t *testing.T, name string) {
	t.Helper()
	for i, list := range k.results {
		for field, v := range list {
			if floatBits(*v) != sentinel64 {
				t.Errorf("%s: field %d of result %d was touched: %v", name, field, i, *v)
			}
		}
	}
}

// operandCases replaces one operand, in place of k.x, by each kind of bad matrix.
func (k *bench) operandCases(name string, run func(m kernels.Matrix) error) []illegal {
	return k.operand(name, k.x, run)
}

// operand replaces the operand good by each kind of bad matrix.
func (k *bench) operand(name string, good kernels.Matrix, run func(m kernels.Matrix) error) []illegal {
	long, narrow, minus, odd, other := good, good, good, good, good
	long.Rows = 1 << 20
	narrow.Stride = good.Cols - 1
	minus.Rows = -1
	odd.DType = 9
	if other.Rows > 1 {
		other.Rows--
	} else {
		other.Cols--
	}
	stray := first(kernels.Foreign(kernels.Device{Kind: kernels.CUDA, Index: 63}, 1<<20, good.DType, good.Rows, good.Cols, good.Cols, nil))
	bare := kernels.Matrix{Rows: good.Rows, Cols: good.Cols, Stride: good.Cols}
	return []illegal{
		{name + " larger than its memory", kernels.ErrShape, func() error { return run(long) }},
		{name + " with stride < cols", kernels.ErrShape, func() error { return run(narrow) }},
		{name + " with negative rows", kernels.ErrShape, func() error { return run(minus) }},
		{name + " of unknown type", kernels.ErrUnsupported, func() error { return run(odd) }},
		{name + " on another device", kernels.ErrDevice, func() error { return run(stray) }},
		{name + " without memory", kernels.ErrShape, func() error { return run(bare) }},
		{name + " of another shape", kernels.ErrShape, func() error { return run(other) }},
	}
}

func testArguments(s *suite, t *testing.T) {
	k := newBench(t, s)
	groups := [][]illegal{k.moveCases(), k.productCases(), k.kernelCases(), k.weightCases(), k.tokenCases(), k.attentionCases()}
	seen := 0
	for _, group := range groups {
		for _, c := range group {
			seen++
			var snaps [][]uint64
			for _, g := range k.all {
				snaps = append(snaps, g.snapshot())
			}
			k.results = nil
			err := noPanic(c.run)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			for i, g := range k.all {
				g.unchanged(t, c.name, snaps[i])
			}
			k.untouched(t, c.name)
		}
	}
	if seen < 400 {
		t.Errorf("%d cases", seen)
	}
	t.Run("empty batches", func(t *testing.T) {
		b := s.b
		for i, err := range []error{
			b.Gram(background(), nil, nil, 1, 0, kernels.Full, k.none),
			b.Matmul(background(), nil, nil, nil, kernels.NT, 1, 0, k.none),
			b.Center(background(), nil, nil, nil, k.none),
			b.HSIC(background(), nil, nil, nil, kernels.Biased, k.none),
			b.HSICMatrix(background(), kernels.HSICTable{}, nil, nil, kernels.Kernel{}, kernels.Biased, k.none),
			b.HSICMatrix(background(), kernels.HSICTable{}, nil, []kernels.Matrix{}, kernels.Kernel{}, kernels.Biased, k.none),
			b.RBF(background(), nil, nil, kernels.Bandwidth{}, nil, k.none),
			b.Rotation(background(), nil, nil, nil, k.none),
			b.LowRank(background(), nil, nil, nil, nil, k.none),
			b.SVD(background(), nil, nil, nil, nil, kernels.SVDParams{}, k.none),
		} {
			if err != nil {
				t.Errorf("empty batch %d: %v", i, err)
			}
		}
	})
}

// noPanic turns a panic into an error that wraps no sentinel.
func noPanic(run func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return run()
}

func ms(list ...kernels.Matrix) []kernels.Matrix { return list }

// optionCases tries bad options of an operation.
func (k *bench) optionCases(op kernels.Op, run func(o kernels.Options) error) []illegal {
	cases := []illegal{{op.String() + ": unknown precision", kernels.ErrUnsupported, func() error { return run(kernels.Options{Precision: 7}) }}}
	if k.b.Info().Device.Kind == kernels.Host {
		cases = append(cases, illegal{op.String() + ": stream on the host", kernels.ErrUnsupported, func() error { return run(kernels.Options{Stream: 1}) }})
	}
	return cases
}

func (k *bench) moveCases() []illegal {
	b, ctx := k.b, background()
	cases := k.operandCases("Copy: src", func(m kernels.Matrix) error { return b.Copy(ctx, k.same, m) })
	cases = append(cases, k.operandCases("Copy: dst", func(m kernels.Matrix) error { return b.Copy(ctx, m, k.same) })...)
	cases = append(cases, k.operandCases("Convert: src", func(m kernels.Matrix) error { return b.Convert(ctx, k.wide, m) })...)
	cases = append(cases, k.operandCases("Convert: dst", func(m kernels.Matrix) error { return b.Convert(ctx, m, k.wide) })...)
	cases = append(cases, k.operand("Center: dst", k.same, func(m kernels.Matrix) error {
		stats := []kernels.RowStats{{Mean: k.floats(4), SquaredNorm: k.floats(6), ColumnSquares: k.floats(4)}}
		return b.Center(ctx, ms(m), ms(k.x), stats, k.none)
	})...)
	cases = append(cases, k.operandCases("Center: x", func(m kernels.Matrix) error { return b.Center(ctx, ms(k.same), ms(m), nil, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpCenter, func(o kernels.Options) error { return b.Center(ctx, ms(k.same), ms(k.x), nil, o) })...)
	alloc := func(dt kernels.DType, rows, cols int) error { _, err := b.Alloc(ctx, dt, rows, cols); return err }
	return append(cases,
		illegal{"Copy: types differ", kernels.ErrUnsupported, func() error { return b.Copy(ctx, k.same, k.wide) }},
		illegal{"Copy: onto itself", kernels.ErrAlias, func() error { return b.Copy(ctx, k.x, k.x) }},
		illegal{"Convert: onto itself", kernels.ErrAlias, func() error { return b.Convert(ctx, k.x, k.x) }},
		illegal{"Alloc: negative rows", kernels.ErrShape, func() error { return alloc(kernels.Float32, -1, 1) }},
		illegal{"Alloc: negative cols", kernels.ErrShape, func() error { return alloc(kernels.Float32, 1, -1) }},
		illegal{"Alloc: unknown type", kernels.ErrUnsupported, func() error { return alloc(9, 1, 1) }},
		illegal{"Center: lengths", kernels.ErrShape, func() error { return b.Center(ctx, ms(k.same), ms(k.x, k.x), nil, k.none) }},
		illegal{"Center: stats length", kernels.ErrShape, func() error { return b.Center(ctx, ms(k.same), ms(k.x), make([]kernels.RowStats, 2), k.none) }},
		illegal{"Center: mean length", kernels.ErrShape, func() error {
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{Mean: k.floats(5)}}, k.none)
		}},
		illegal{"Center: norm length", kernels.ErrShape, func() error {
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{SquaredNorm: k.floats(4)}}, k.none)
		}},
		illegal{"Center: squares length", kernels.ErrShape, func() error {
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{ColumnSquares: k.floats(6)}}, k.none)
		}},
		illegal{"Center: two into one", kernels.ErrAlias, func() error { return b.Center(ctx, ms(k.same, k.same), ms(k.x, k.x), nil, k.none) }},
		illegal{"Center: part of the source", kernels.ErrAlias, func() error {
			d, _ := k.sq.View(0, 1, 6, 4)
			x, _ := k.sq.View(0, 0, 6, 4)
			return b.Center(ctx, ms(d), ms(x), nil, k.none)
		}},
	)
}

func (k *bench) productCases() []illegal {
	b, ctx := k.b, background()
	gram := func(d, x []kernels.Matrix, st kernels.Storage, o kernels.Options) error {
		return b.Gram(ctx, d, x, 1, 0, st, o)
	}
	mul := func(d, x, y []kernels.Matrix, f kernels.Form, o kernels.Options) error {
		return b.Matmul(ctx, d, x, y, f, 1, 0, o)
	}
	cases := k.operandCases("Gram: x", func(m kernels.Matrix) error { return gram(ms(k.sq), ms(m), kernels.Full, k.none) })
	cases = append(cases, k.operand("Gram: dst", k.sq, func(m kernels.Matrix) error { return gram(ms(m), ms(k.x), kernels.Full, k.none) })...)
	cases = append(cases, k.operand("Gram: packed dst", k.packed, func(m kernels.Matrix) error { return gram(ms(m), ms(k.x), kernels.PackedLower, k.none) })...)
	cases = append(cases, k.operandCases("Matmul: a", func(m kernels.Matrix) error { return mul(ms(k.out), ms(m), ms(k.y), kernels.TN, k.none) })...)
	cases = append(cases, k.operandCases("Matmul: b", func(m kernels.Matrix) error { return mul(ms(k.sq), ms(k.x), ms(m), kernels.NT, k.none) })...)
	cases = append(cases, k.operandCases("Matmul: dst", func(m kernels.Matrix) error { return mul(ms(m), ms(k.sq), ms(k.x), kernels.NN, k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpGram, func(o kernels.Options) error { return gram(ms(k.sq), ms(k.x), kernels.Full, o) })...)
	cases = append(cases, k.optionCases(kernels.OpMatmul, func(o kernels.Options) error { return mul(ms(k.sq), ms(k.x), ms(k.x), kernels.NT, o) })...)
	return append(cases,
		illegal{"Gram: lengths", kernels.ErrShape, func() error { return gram(ms(k.sq), nil, kernels.Full, k.none) }},
		illegal{"Gram: unknown storage", kernels.ErrUnsupported, func() error { return gram(ms(k.sq), ms(k.x), 2, k.none) }},
		illegal{"Gram: dst for packed", kernels.ErrShape, func() error { return gram(ms(k.sq), ms(k.x), kernels.PackedLower, k.none) }},
		illegal{"Gram: float64 into float32", kernels.ErrUnsupported, func() error { return gram(ms(k.sq), ms(k.wide), kernels.Full, k.none) }},
		illegal{"Gram: float32 into float64", kernels.ErrUnsupported, func() error { return gram(ms(k.wideSq), ms(k.x), kernels.Full, k.none) }},
		illegal{"Gram: dst within x", kernels.ErrAlias, func() error { return gram(ms(k.sq), ms(k.sq), kernels.Full, k.none) }},
		illegal{"Gram: two into one", kernels.ErrAlias, func() error { return gram(ms(k.sq, k.sq), ms(k.x, k.x), kernels.Full, k.none) }},
		illegal{"Matmul: unknown form", kernels.ErrUnsupported, func() error { return mul(ms(k.sq), ms(k.x), ms(k.x), 3, k.none) }},
		illegal{"Matmul: terms differ", kernels.ErrShape, func() error { return mul(ms(k.sq), ms(k.x), ms(k.y), kernels.NT, k.none) }},
		illegal{"Matmul: terms differ, NN", kernels.ErrShape, func() error { return mul(ms(k.sq), ms(k.x), ms(k.y), kernels.NN, k.none) }},
		illegal{"Matmul: lengths", kernels.ErrShape, func() error { return mul(ms(k.sq), ms(k.x), ms(k.x, k.x), kernels.NT, k.none) }},
		illegal{"Matmul: float64 into float32", kernels.ErrUnsupported, func() error { return mul(ms(k.sq), ms(k.wide), ms(k.x), kernels.NT, k.none) }},
		illegal{"Matmul: float32 into float64", kernels.ErrUnsupported, func() error { return mul(ms(k.wide), ms(k.sq), ms(k.x), kernels.NN, k.none) }},
		illegal{"Matmul: dst is a", kernels.ErrAlias, func() error { return mul(ms(k.sq), ms(k.sq), ms(k.sq), kernels.NN, k.none) }},
		illegal{"Matmul: dst is b", kernels.ErrAlias, func() error { return mul(ms(k.x), ms(k.sq), ms(k.x), kernels.NN, k.none) }},
	)
}
