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
	x, y    kernels.Matrix // 6 x 4, 6 x 5
	sq, out kernels.Matrix // 6 x 6, 4 x 5
	row     kernels.Matrix // 1 x 4
	same    kernels.Matrix // 6 x 4, a destination
	short   kernels.Matrix // no memory for its size
	stray   kernels.Matrix // on another device
	narrow  kernels.Matrix // stride < cols
	minus   kernels.Matrix // negative rows
	odd     kernels.Matrix // unknown type
	wide    kernels.Matrix // 6 x 4, float64
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
	k.short, k.narrow, k.minus, k.odd = k.x, k.x, k.x, k.x
	k.short.Rows = 1 << 20
	k.narrow.Stride = 3
	k.minus.Rows = -1
	k.odd.DType = 9
	stray, err := kernels.Foreign(kernels.Device{Kind: kernels.CUDA, Index: 63}, 1<<20, f, 6, 4, 4, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.stray = stray
	return k
}

// operandCases replaces one operand, which must be 6 x 4 float32, by each kind of
// bad matrix.
func (k *bench) operandCases(name string, run func(m kernels.Matrix) error) []illegal {
	tall := k.x
	tall.Rows = 5
	return []illegal{
		{name + " larger than its memory", kernels.ErrShape, func() error { return run(k.short) }},
		{name + " with stride < cols", kernels.ErrShape, func() error { return run(k.narrow) }},
		{name + " with negative rows", kernels.ErrShape, func() error { return run(k.minus) }},
		{name + " of unknown type", kernels.ErrUnsupported, func() error { return run(k.odd) }},
		{name + " on another device", kernels.ErrDevice, func() error { return run(k.stray) }},
		{name + " without memory", kernels.ErrShape, func() error { return run(kernels.Matrix{Rows: 6, Cols: 4, Stride: 4}) }},
		{name + " of another shape", kernels.ErrShape, func() error { return run(tall) }},
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
			err := noPanic(c.run)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			for i, g := range k.all {
				g.unchanged(t, c.name, snaps[i])
			}
		}
	}
	if seen < 150 {
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
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{Mean: make([]float64, 5)}}, k.none)
		}},
		illegal{"Center: norm length", kernels.ErrShape, func() error {
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{SquaredNorm: make([]float64, 4)}}, k.none)
		}},
		illegal{"Center: squares length", kernels.ErrShape, func() error {
			return b.Center(ctx, ms(k.same), ms(k.x), []kernels.RowStats{{ColumnSquares: make([]float64, 6)}}, k.none)
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

func (k *bench) kernelCases() []illegal {
	b, ctx := k.b, background()
	hsic := func(x, y []kernels.Matrix, e kernels.Estimator, n int, o kernels.Options) error {
		return b.HSIC(ctx, make([]kernels.HSICValue, n), x, y, e, o)
	}
	table := func(d kernels.HSICTable, x, y []kernels.Matrix, kn kernels.Kernel, e kernels.Estimator, o kernels.Options) error {
		return b.HSICMatrix(ctx, d, x, y, kn, e, o)
	}
	xy := func(n int) kernels.HSICTable { return kernels.HSICTable{XY: make([]float64, n)} }
	rbf := func(d, x []kernels.Matrix, bw kernels.Bandwidth, used []float64, o kernels.Options) error {
		return b.RBF(ctx, d, x, bw, used, o)
	}
	rot := func(n int, p, q []kernels.Matrix, o kernels.Options) error {
		return b.Rotation(ctx, make([]kernels.RotationValue, n), p, q, o)
	}
	cases := k.operandCases("HSIC: y", func(m kernels.Matrix) error { return hsic(ms(k.x), ms(m), kernels.Biased, 1, k.none) })
	cases = append(cases, k.operandCases("HSICMatrix: x", func(m kernels.Matrix) error {
		return table(xy(4), ms(k.x, m), nil, kernels.Kernel{}, kernels.Biased, k.none)
	})...)
	cases = append(cases, k.operandCases("RBF: x", func(m kernels.Matrix) error { return rbf(ms(k.sq), ms(m), kernels.Bandwidth{}, nil, k.none) })...)
	cases = append(cases, k.operandCases("Rotation: wt", func(m kernels.Matrix) error { return rot(1, ms(k.x), ms(m), k.none) })...)
	cases = append(cases, k.optionCases(kernels.OpHSIC, func(o kernels.Options) error { return hsic(ms(k.x), ms(k.y), 0, 1, o) })...)
	cases = append(cases, k.optionCases(kernels.OpHSICMatrix, func(o kernels.Options) error { return table(xy(1), ms(k.x), nil, kernels.Kernel{}, 0, o) })...)
	cases = append(cases, k.optionCases(kernels.OpRBF, func(o kernels.Options) error { return rbf(ms(k.sq), ms(k.x), kernels.Bandwidth{}, nil, o) })...)
	cases = append(cases, k.optionCases(kernels.OpRotation, func(o kernels.Options) error { return rot(1, ms(k.x), ms(k.same), o) })...)
	gauss := func(bw kernels.Bandwidth) error {
		return table(xy(1), ms(k.x), nil, kernels.Kernel{Kind: kernels.Gaussian, Bandwidth: bw}, 0, k.none)
	}
	bad := xy(1)
	bad.XX = make([]float64, 2)
	yy := xy(1)
	yy.YY = make([]float64, 1)
	variance := xy(1)
	variance.Variance = make([]float64, 1)
	return append(cases,
		illegal{"HSIC: lengths", kernels.ErrShape, func() error { return hsic(ms(k.x), nil, 0, 1, k.none) }},
		illegal{"HSIC: dst length", kernels.ErrShape, func() error { return hsic(ms(k.x), ms(k.y), 0, 2, k.none) }},
		illegal{"HSIC: unknown estimator", kernels.ErrUnsupported, func() error { return hsic(ms(k.x), ms(k.y), 2, 1, k.none) }},
		illegal{"HSICMatrix: XY length", kernels.ErrShape, func() error { return table(xy(3), ms(k.x, k.y), nil, kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: XX length", kernels.ErrShape, func() error { return table(bad, ms(k.x), nil, kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: YY without y", kernels.ErrShape, func() error { return table(yy, ms(k.x), nil, kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: variance of a linear kernel", kernels.ErrShape, func() error { return table(variance, ms(k.x), nil, kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: unknown kernel", kernels.ErrUnsupported, func() error { return table(xy(1), ms(k.x), nil, kernels.Kernel{Kind: 3}, 0, k.none) }},
		illegal{"HSICMatrix: unknown estimator", kernels.ErrUnsupported, func() error { return table(xy(1), ms(k.x), nil, kernels.Kernel{}, 9, k.none) }},
		illegal{"HSICMatrix: rows of y", kernels.ErrShape, func() error { return table(xy(1), ms(k.x), ms(k.out), kernels.Kernel{}, 0, k.none) }},
		illegal{"HSICMatrix: kernel not square", kernels.ErrShape, func() error { return table(xy(1), ms(k.x), nil, kernels.Kernel{Kind: kernels.Precomputed}, 0, k.none) }},
		illegal{"HSICMatrix: negative variance", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{-1}}) }},
		illegal{"HSICMatrix: variance NaN", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{math.NaN()}}) }},
		illegal{"HSICMatrix: variance count", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Variance: []float64{1, 1}}) }},
		illegal{"HSICMatrix: fraction", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Fraction: -1}) }},
		illegal{"HSICMatrix: sample", kernels.ErrShape, func() error { return gauss(kernels.Bandwidth{Sample: -1}) }},
		illegal{"RBF: dst shape", kernels.ErrShape, func() error { return rbf(ms(k.same), ms(k.x), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: dst type", kernels.ErrUnsupported, func() error { return rbf(ms(k.sq), ms(k.wide), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: neither dst nor used", kernels.ErrShape, func() error { return rbf(nil, ms(k.x), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"RBF: used length", kernels.ErrShape, func() error { return rbf(nil, ms(k.x), kernels.Bandwidth{}, make([]float64, 2), k.none) }},
		illegal{"RBF: infinite variance", kernels.ErrShape, func() error {
			return rbf(ms(k.sq), ms(k.x), kernels.Bandwidth{Variance: []float64{math.Inf(1)}}, nil, k.none)
		}},
		illegal{"RBF: dst is x", kernels.ErrAlias, func() error { return rbf(ms(k.sq), ms(k.sq), kernels.Bandwidth{}, nil, k.none) }},
		illegal{"Rotation: dst length", kernels.ErrShape, func() error { return rot(0, ms(k.x), ms(k.same), k.none) }},
		illegal{"Rotation: lengths", kernels.ErrShape, func() error { return rot(1, ms(k.x), nil, k.none) }},
	)
}
